"""Which cells turned since an earlier run of the same matrix, and the issue that says so."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quantgate.records.result import CellResult
from quantgate.records.verdict import in_bits
from quantgate.reports.text import printable

#: Rows of the issue; the report has them all, and GitHub takes 65,536 characters.
_MOST_ROWS = 100


@dataclass(frozen=True)
class Turn:
    """A cell that passes and did not, or the other way round."""

    id: str
    before: str
    now: CellResult

    @property
    def is_worse(self) -> bool:
        return not self.now.verdict.passes


def turned(before: Sequence[CellResult], now: Sequence[CellResult]) -> list[Turn]:
    """The cells that turned, those that fail now first; a cell that was not there counts where it fails."""
    then: Mapping[str, CellResult] = {result.cell.id: result for result in before}
    turns = []
    for result in now:
        earlier = then.get(result.cell.id)
        passed = True if earlier is None else earlier.verdict.passes
        if passed != result.verdict.passes:
            turns.append(Turn(result.cell.id, "new" if earlier is None else str(earlier.verdict), result))
    return sorted(turns, key=lambda turn: (not turn.is_worse, turn.id))


def issue(turns: Sequence[Turn]) -> str:
    """The turns as the body of an issue, in Markdown; names from outside are nothing but names in it."""
    worse = sum(turn.is_worse for turn in turns)
    lines = [
        f"{worse} {'cell' if worse == 1 else 'cells'} stopped learning, {len(turns) - worse} learn again.",
        "",
        "| cell | before | now | BPB | control | cause |",
        "|---|---|---|---|---|---|",
    ]
    for turn in turns[:_MOST_ROWS]:
        now = turn.now
        row = (
            _code(turn.id),
            turn.before,
            str(now.verdict),
            _score(now.bpb),
            _score(now.bpb_control),
            now.cause or "",
        )
        lines.append(f"| {' | '.join((row[0], *map(_plain, row[1:])))} |")
    if len(turns) > _MOST_ROWS:
        lines.append(f"\n{len(turns) - _MOST_ROWS} more are in the report.")
    return "\n".join(lines) + "\n"


def _score(score: float | None) -> str:
    return "" if score is None else in_bits(score)


def _code(name: str) -> str:
    """A code span: no mention, link, tag or emphasis is one there."""
    return f"`{printable(name).replace('`', chr(39)).replace('|', '/'):.200}`"


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9 .+-]", "", printable(text))[:40]
