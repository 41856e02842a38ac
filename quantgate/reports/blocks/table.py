"""The table: formats down, optimizers across, in as many groups of columns as the width asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from quantgate.records.result import CellResult
from quantgate.records.verdict import Limits
from quantgate.reports.blocks.line import (
    PLAIN,
    WARNED,
    WIDTH,
    Line,
    cell_text,
    colour,
    is_warned,
)
from quantgate.reports.blocks.setting import lines as limit_lines
from quantgate.reports.blocks.setting import training
from quantgate.reports.story import title
from quantgate.reports.text import printable

CONTROL_ROW = "(float32 control)"
#: A name that is longer than this share of the width has a line of its own.
_NAME_SHARE = 0.4
_BETWEEN = 2

_Rows = Mapping[str, Mapping[str, CellResult]]


def table(
    results: Sequence[CellResult], controls: Sequence[CellResult], limits: Limits, width: int = WIDTH
) -> list[Line]:
    """The table of a run: a heading, then for each group of optimizers a row for each subject and variant, the
    controls first.
    """
    shown = [*(c for c in controls if c.kind == "control"), *results]
    if not shown:
        return []
    rows: dict[str, dict[str, CellResult]] = {}
    for result in shown:
        rows.setdefault(_row_name(result), {})[result.optimizer] = result
    longest = int(width * _NAME_SHARE)
    name_width = max((len(name) for name in rows if len(name) <= longest), default=_BETWEEN) + _BETWEEN
    lines: list[Line] = [[(_title(shown, limits), PLAIN)]]
    for place, columns in enumerate(_groups(shown, width - name_width)):
        lines += [[("", PLAIN)]] if place else []
        lines += _group(rows, columns, name_width)
    if any(map(is_warned, results)):
        lines.append([(f"{WARNED} passes with a warning, which stands below", PLAIN)])
    return lines


def _title(shown: Sequence[CellResult], limits: Limits) -> str:
    return printable(f"BPB after {training(shown)}: {limit_lines(limits, shown)}")


def _groups(shown: Sequence[CellResult], room: int) -> Iterator[dict[str, int]]:
    """The optimizers, as many as stand beside each other, each with the width of its column."""
    widths: dict[str, int] = {}
    for result in shown:
        least = max(len(printable(result.optimizer)), len(cell_text(result)))
        widths[result.optimizer] = max(widths.get(result.optimizer, 0), least)
    group: dict[str, int] = {}
    for optimizer, column in widths.items():
        if group and sum(group.values()) + _BETWEEN * len(group) + column > room:
            yield group
            group = {}
        group[optimizer] = column
    yield group


def _group(rows: _Rows, columns: Mapping[str, int], name_width: int) -> Iterator[Line]:
    heads = (printable(name).ljust(width + _BETWEEN) for name, width in columns.items())
    yield [((" " * name_width + "".join(heads)).rstrip(), PLAIN)]
    for name, cells in rows.items():
        present = [optimizer for optimizer in columns if optimizer in cells]
        if not present:
            continue
        if len(name) + _BETWEEN > name_width:
            yield [(name, PLAIN)]
            name = ""
        line: Line = [(name.ljust(name_width), PLAIN)]
        for optimizer, width in columns.items():
            found = cells.get(optimizer)
            padded = 0 if optimizer == present[-1] else width + _BETWEEN
            text = "" if found is None else cell_text(found)
            line.append((text.ljust(padded), PLAIN if found is None else colour(found)))
            if optimizer == present[-1]:
                break
        yield line


def _row_name(result: CellResult) -> str:
    name = result.subject
    if result.kind == "control":
        trainer = result.cell.trainer
        name = CONTROL_ROW if trainer is None else f"({trainer} {result.format})"
    return printable(f"{name} {title(result.cell)}".strip())
