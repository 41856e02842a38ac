"""Records read back from the files of one run or several, to be shown again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from quantgate.records.cell import CONTROL_KINDS
from quantgate.records.files import lines_of, read_file
from quantgate.records.result import CellResult
from quantgate.records.run import RunRecord
from quantgate.reports.results import FILE_NAME, RUN_NAME
from quantgate.reports.story import Story, tell

#: Evidence that readers take for sentences by the name of a cause or a probe.
_TEXTS = ("warnings", "waived", "not_measured")
_DIGITS = 18
_NAME_ONE = f"; name a {FILE_NAME} or the folder that holds it"


class ReadError(ValueError):
    """Files that hold no records."""


def read(paths: Sequence[Path]) -> Story:
    """The story of the runs in these files and folders; of several records of one cell the last counts.

    Args:
        paths: Files of records, `results.jsonl`, or folders that hold one; `run.json` beside it is read too.

    Raises:
        ReadError: A file cannot be read, or a line of it is no record.
    """
    cells: dict[object, CellResult] = {}
    controls: dict[object, CellResult] = {}
    runs: list[RunRecord] = []
    for path in paths:
        file = path / FILE_NAME if path.is_dir() else path
        said: list[RunRecord] = []
        closed: list[RunRecord] = []
        before = len(cells) + len(controls)
        for number, record in _objects(file):
            try:
                if "state" in record:
                    said.append(RunRecord.from_record(record))
                    continue
                if record.get("kind") == "run":
                    closed.append(_closed(record))
                    continue
                result = CellResult.from_record(record)
                _check_evidence(result)
            except ValueError as error:
                raise ReadError(f"{str(file)!r}, line {number}: {error}") from None
            kept = controls if result.kind in CONTROL_KINDS else cells
            kept.pop(result.cell, None)
            kept[result.cell] = result
        if file.name != FILE_NAME and len(cells) + len(controls) == before:
            raise ReadError(f"{str(file)!r} holds no record of a cell{_NAME_ONE}")
        if not said and (beside := file.parent / RUN_NAME).is_file():
            said.append(_run(beside))
        runs += said[-1:] or closed[-1:] or [RunRecord()]
    run = _together(runs)
    # A command can name one file: where the run had it, so that its pictures stay the same, or else where it is.
    files = {"results": str(file), **run.files} if len(paths) == 1 else {}
    return tell(cells.values(), controls.values(), replace(run, files=files))


def _objects(file: Path) -> Iterable[tuple[int, dict[str, Any]]]:
    """The objects of a file's lines with their numbers; a last line that was cut off is left out."""
    try:
        lines = list(lines_of(file))
    except OSError as error:
        hint = "" if file.name == FILE_NAME else _NAME_ONE
        raise ReadError(f"{str(file)!r} cannot be read: {error.strerror}{hint}") from None
    for number, line, cut in lines:
        try:
            record = json.loads(line, parse_int=_number, parse_constant=_refuse)
        except (ValueError, RecursionError):
            if cut:  # the run was killed while it wrote
                return
            raise ReadError(
                f"{str(file)!r}, line {number}: not JSON; each line of a {FILE_NAME} is the record of a cell"
            ) from None
        if not isinstance(record, dict):
            raise ReadError(f"{str(file)!r}, line {number}: not a result record, which is an object")
        yield number, record


def _number(digits: str) -> int | float:
    """A whole number; one that nobody can mean is infinite, which no field of a record takes for a count."""
    return int(digits) if len(digits) <= _DIGITS else float(digits)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _check_evidence(result: CellResult) -> None:
    for name in _TEXTS:
        said = result.evidence.get(name, {})
        if not isinstance(said, Mapping) or not all(isinstance(each, str) for each in said.values()):
            raise ValueError(f"not a result record: evidence.{name} is {said!r:.80}")


def _closed(record: Mapping[str, Any]) -> RunRecord:
    """The run that a closing line tells of, the last of a file and of kind `run`; less is in it than in `run.json`."""
    left_out, known = record.get("left_out"), record.get("known_failures")
    said = {name: record[name] for name in (*_COUNTS, "exit_status", "problems", "options") if name in record}
    if isinstance(left_out, Mapping):
        said["left_out"] = [cell for cell, why in left_out.items() if why == "skipped"]
    if isinstance(known, Mapping):
        said["known"] = {cell: {"reason": "", "cause": cause} for cell, cause in known.items()}
    return RunRecord.from_record({"state": "finished", **said})


def _run(file: Path) -> RunRecord:
    try:
        return RunRecord.from_record(json.loads(read_file(file)))
    except OSError as error:
        raise ReadError(f"{str(file)!r} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ReadError(f"{str(file)!r}: {error}") from None


def _together(runs: Sequence[RunRecord]) -> RunRecord:
    """One record of several runs: shards of a matrix are added up, and the gravest of their ends is the end."""
    if len(runs) == 1:
        return runs[0]
    statuses = [run.exit_status for run in runs if run.exit_status is not None]
    together: dict[str, Any] = {name: sum(getattr(run, name) for run in runs) for name in _COUNTS}
    together |= {name: _distinct(getattr(run, name) for run in runs) for name in _LISTS}
    return replace(
        runs[0],
        state="finished" if all(run.state == "finished" for run in runs) else "unfinished",
        exit_status=min(statuses, key=_gravity) if statuses else None,
        **together,
        known={cell: known for run in runs for cell, known in run.known.items()},
        finished=max((run.finished for run in runs if run.finished), default=None),
    )


_COUNTS = ("planned", "ran", "judged", "skipped", "matrix")
_LISTS = ("problems", "subjects", "optimizers", "left_out")
#: Exit statuses, the gravest first; those that are not listed come after a usage error.
_GRAVEST = (4, 70)


def _gravity(status: int) -> tuple[int, int]:
    return (_GRAVEST.index(status) if status in _GRAVEST else len(_GRAVEST), -status)


def _distinct(texts: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for each in texts for text in each))
