"""The file of a baseline: a line that names its schema, then a record a cell, in the order of their ids.

A record is one of `results.jsonl` with no more evidence than a comparison needs, and, where it was accepted, `accepted`
with the reason and the day. A run's `results.jsonl` is read as a baseline too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from quantgate.records.closing import KIND
from quantgate.records.files import Line, lines_of
from quantgate.records.result import CellResult
from quantgate.records.verdict import Verdict

SCHEMA = 1
_HEADER = "quantgate_baseline"
#: The kinds of cells that have a baseline; controls are judged in every run.
_KINDS = frozenset({"format", "recipe", "trainer"})
#: The evidence that a comparison needs: whose seed judged, bits and tolerance; beside it, whether reruns are alike.
_EVIDENCE = ("judged_seed", "bits", "tolerance", "because")
NOT_REPRODUCIBLE = "not-reproducible"


class BaselineError(ValueError):
    """A baseline that cannot be read or written."""


class MissingBaselineError(BaselineError):
    """There is no such file."""


@dataclass(frozen=True)
class Entry:
    """What a cell was, and why that was accepted."""

    result: CellResult
    #: `reason` and `on`, the day; None where a run wrote it.
    accepted: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Baseline:
    """Cells as they were, by id."""

    entries: Mapping[str, Entry]
    #: Whether it was read from a run's `results.jsonl`, which only runs write.
    is_report: bool = False

    def updated(self, results: Iterable[CellResult], accepted: Mapping[str, Any] | None = None) -> Baseline:
        """The baseline with these results in it; those that were not judged change nothing."""
        new = {each.cell.id: Entry(_thin(each), accepted) for each in results if is_kept(each)}
        return Baseline({**self.entries, **new})


def is_kept(result: CellResult) -> bool:
    """Whether a result may stand in a baseline: of a subject, and judged."""
    return result.kind in _KINDS and result.verdict.judged


def is_reproducible(result: CellResult) -> bool:
    """Whether no probe saw that a rerun gives other values."""
    warnings = result.evidence.get("warnings")
    return not isinstance(warnings, Mapping) or NOT_REPRODUCIBLE not in warnings


def read(path: Path, what: str = "baseline") -> Baseline:
    """Read a baseline, or the `results.jsonl` of a run.

    Args:
        path: The file.
        what: What it is called in messages.

    Raises:
        MissingBaselineError: There is no such file.
        BaselineError: It cannot be read, is empty, cut, or of another schema; the message names the line.
    """
    name = f"{what} {str(path)!r}"
    try:
        lines = list(lines_of(path))
    except FileNotFoundError:
        raise MissingBaselineError(f"{name} is not there") from None
    except IsADirectoryError:
        raise BaselineError(f"{name} is a folder; name the file in it: results.jsonl, say") from None
    except OSError as error:
        raise BaselineError(f"{name} cannot be read: {error.strerror}") from None
    if not lines:
        raise BaselineError(f"{name} is empty; was the run that wrote it ended?")
    header = _parsed(name, lines[0])
    is_report = _HEADER not in header
    if not is_report and header[_HEADER] != SCHEMA:
        raise BaselineError(
            f"{name} is of another schema; this quantgate reads schema {SCHEMA}: take the quantgate that wrote it, or "
            "make it anew"
        )
    entries = {}
    for line in lines if is_report else lines[1:]:
        record = _parsed(name, line)
        if record.get("kind") == KIND:  # how the run ended
            continue
        try:
            entry = Entry(CellResult.from_record(record), _accepted(record))
        except ValueError as error:
            raise BaselineError(f"{name}, line {line.number}: {error}") from None
        if entry.result.kind in _KINDS and entry.result.verdict is not Verdict.UNJUDGED:
            entries[entry.result.cell.id] = entry
    if not entries:
        raise BaselineError(f"{name} holds no judged cell; there is nothing to compare with")
    return Baseline(entries, is_report)


def write(path: Path, baseline: Baseline) -> None:
    """Replace the file, whole: a reader never sees half of it.

    Raises:
        BaselineError: It cannot be written.
    """
    lines = [json.dumps({_HEADER: SCHEMA})]
    for _, entry in sorted(baseline.entries.items()):
        record = entry.result.to_record()
        if entry.accepted is not None:
            record["accepted"] = dict(entry.accepted)
        lines.append(json.dumps(record, allow_nan=False))
    target = path.resolve()  # of a link, what it points to
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise BaselineError(f"baseline {str(path)!r} cannot be written: {error.strerror}") from None


def _parsed(name: str, line: Line) -> Mapping[str, Any]:
    try:
        record = json.loads(line.text)
    except UnicodeDecodeError:
        raise BaselineError(
            f"{name} is no text: it holds a JSON object a line, without compression"
        ) from None
    except RecursionError:
        raise BaselineError(f"{name}, line {line.number}: nested too deep for a record") from None
    except ValueError:
        raise BaselineError(
            f"{name}, line {line.number} is no JSON, or was cut in mid-line; make it anew, or take the line out"
        ) from None
    if not isinstance(record, dict):
        raise BaselineError(f"{name}, line {line.number} is no record: a JSON object a line is")
    return record


def _accepted(record: Mapping[str, Any]) -> Mapping[str, Any] | None:
    accepted = record.get("accepted")
    return accepted if isinstance(accepted, dict) else None


def _thin(result: CellResult) -> CellResult:
    evidence = {name: result.evidence[name] for name in _EVIDENCE if name in result.evidence}
    if not is_reproducible(result):
        evidence["warnings"] = {NOT_REPRODUCIBLE: ""}
    return replace(result, evidence=evidence, hint=None, baseline=None, known=None, provenance=None)
