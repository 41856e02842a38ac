"""What a judged fleet looks like in the terminal: the table of a run, what was derived, and who failed in which way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from quantgate.records.result import CellResult
from quantgate.records.verdict import Limits, Verdict
from quantgate.reports import terminal
from quantgate.reports.blocks.line import Line
from quantgate.reports.blocks.table import table
from quantgate.reports.text import printable

#: Larger tables show what does not learn, and count the rest.
MOST_ROWS = 60
#: So many cells of a kind of failure are shown, and the rest counted.
MOST_CELLS = 12


def fleet_text(
    results: Sequence[CellResult],
    controls: Sequence[CellResult],
    said: Sequence[str],
    runs: int,
    samples: int,
) -> str:
    """The report on a fleet."""
    shown = list(results)
    if len(shown) > MOST_ROWS:
        shown = [result for result in results if not result.verdict.passes][:MOST_ROWS]
    title = f"bits a symbol at the end of {runs:,} run{'s' * (runs != 1)}, {samples:,} samples"
    lines = [title, *(f"  {printable(text)}" for text in said), ""]
    lines += [_plain(line) for line in table(shown, controls, Limits())[1:]]
    if len(shown) < len(results):
        lines.append(f"and {len(results) - len(shown):,} more cells, those that learn among them")
    lines += _failures(results)
    if remarks := terminal.remarks(results):
        lines += ["", *map(_plain, remarks)]
    failed = sum(result.verdict.judged and not result.verdict.passes for result in results)
    unjudged = sum(not result.verdict.judged for result in results)
    counts = f"{len(results)} cells / {len(results) - failed - unjudged} learn / {failed} do not / {unjudged} unjudged"
    if controls:
        learn = sum(control.verdict is Verdict.LEARNS for control in controls)
        counts += f", {learn} of {len(controls)} float32 controls learn"
    alone = "no cell was compared with a float32 control, so each verdict is of its curve alone; --control names one"
    compared = any(result.bpb_control is not None for result in results)
    return "\n".join([*lines, "", counts, *([] if compared else [alone])])


def _failures(results: Sequence[CellResult]) -> Iterator[str]:
    """The cells that do not learn, by the shape of their curves; what all of a shape are told is said once."""
    groups: dict[tuple[str, str], list[CellResult]] = {}
    for result in results:
        if not result.verdict.passes:
            key = (str(result.verdict), str(result.evidence.get("shape", "")))
            groups.setdefault(key, []).append(result)
    for (verdict, shape), members in groups.items():
        cells = f"{len(members):,} cell{'s' * (len(members) != 1)}"
        yield from ("", f"{verdict}, {shape}: {cells}" if shape != verdict else f"{verdict}: {cells}")
        for member in members[:MOST_CELLS]:
            yield f"  {printable(member.canon_name)}: {printable(str(member.evidence.get('because', '')))}"
        if len(members) > MOST_CELLS:
            yield f"  and {len(members) - MOST_CELLS:,} more"
        for hint in dict.fromkeys(member.hint for member in members if member.hint):
            yield f"  Hint: {printable(hint)}"


def _plain(line: Line) -> str:
    return "".join(text for text, _ in line)
