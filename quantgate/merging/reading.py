"""What one shard left: its `results.jsonl`, however it ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from quantgate.records.cell import CONTROL_KINDS
from quantgate.records.closing import KIND, Closing
from quantgate.records.files import Line, lines_of
from quantgate.records.result import CellResult
from quantgate.reports.results import FILE_NAME

#: Lines that are no records and are named; the others are counted.
_NAMED = 3


@dataclass(frozen=True)
class Part:
    """The records of one results file, the last of several of one cell."""

    name: str
    results: tuple[CellResult, ...]
    controls: tuple[CellResult, ...]
    #: None where the file was cut before its end.
    closing: Closing | None
    #: What is wrong with single lines, in sentences.
    problems: tuple[str, ...] = ()

    @property
    def shard(self) -> str | None:
        """The shard that it says it is; None for a run that is whole."""
        if self.closing is not None:
            return self.closing.shard
        return next((result.shard for result in self.results if result.shard), None)


@dataclass
class _Lines:
    results: dict[str, CellResult] = field(default_factory=dict)
    controls: dict[tuple[str, str], CellResult] = field(default_factory=dict)
    closing: Closing | None = None
    broken: list[str] = field(default_factory=list)


def read_part(path: Path) -> Part:
    """Read a report folder, or its `results.jsonl`.

    Raises:
        ValueError: Nothing is there, it cannot be read, it holds no line of a report, or its closing line is of another
            schema. A line that is cut or broken among good ones costs that line alone, and is said.
    """
    file = path / FILE_NAME if path.is_dir() else path
    found = _Lines()
    try:
        lines = list(lines_of(file))
    except FileNotFoundError:
        raise ValueError(
            f"{str(file)!r} is not there; name the report folder of a shard, or its {FILE_NAME}"
        ) from None
    except OSError as error:
        raise ValueError(f"{str(file)!r} cannot be read: {error.strerror}") from None
    for line in lines:
        _take(line, f"{path}: line {line.number}", found)
    if not lines:
        found.broken.append(f"{path}: the file is empty: its run ended before its first cell")
    elif found.closing is None and not found.results and not found.controls:
        raise ValueError(f"{found.broken[0]}; no line of this file is a record of quantgate")
    more = len(found.broken) - _NAMED
    return Part(
        str(path),
        tuple(found.results.values()),
        tuple(found.controls.values()),
        found.closing,
        (
            *found.broken[:_NAMED],
            *([f"{path}: {more} more line{'s' * (more != 1)} without a record"] if more > 0 else []),
        ),
    )


def _take(line: Line, place: str, found: _Lines) -> None:
    try:
        record = json.loads(line.text)
    except (ValueError, RecursionError):
        cut = "cut off in the middle: its run was killed while it wrote" if line.cut else "not JSON"
        found.broken.append(f"{place} is {cut}")
        return
    if isinstance(record, Mapping) and record.get("kind") == KIND:
        if found.closing is not None:  # the last of them alone would speak for all
            found.broken.append(f"{place} ends a second run in one file; give each report by itself")
        try:
            found.closing = Closing.from_record(record)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from None
        return
    try:
        result = CellResult.from_record(record)
    except ValueError as error:
        found.broken.append(f"{place}: {error}")
        return
    if result.kind in CONTROL_KINDS:
        found.controls[result.kind, result.cell.id] = result
    else:
        found.results[result.cell.id] = (
            result  # a run writes a second record of a cell where it is the graver one
        )
