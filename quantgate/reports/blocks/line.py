"""Lines of a terminal: pieces of text with their markup, and how a result is shown in one."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping

from quantgate.records.result import CellResult
from quantgate.records.verdict import Verdict, in_bits

#: A piece of a line and how it is marked up (pytest's terminal writer's names).
Piece = tuple[str, Mapping[str, bool]]
Line = list[Piece]

#: Columns where nothing says how many there are.
WIDTH = 80
PLAIN: Mapping[str, bool] = {}
FAILED: Mapping[str, bool] = {"red": True}
KNOWN: Mapping[str, bool] = {"yellow": True}
_COLOURS: dict[Verdict, Mapping[str, bool]] = {
    Verdict.LEARNS: {"green": True},
    Verdict.HEALTHY: {"green": True},
    Verdict.FAULTY: {"red": True},
    Verdict.LAGS: {"yellow": True},
    Verdict.NO_OP: {"purple": True},
    Verdict.UNJUDGED: {"cyan": True},
}
#: What marks a cell that passes with a warning.
WARNED = "!"
#: Stands for a space at which a line is not broken: a command is copied whole.
_KEPT = "\x00"


def colour(result: CellResult) -> Mapping[str, bool]:
    """How a result is marked up."""
    return _COLOURS.get(result.verdict, FAILED) if result.known is None else KNOWN


def score(result: CellResult) -> str:
    """`5.22 learns`, or the verdict alone where nothing was scored."""
    return str(result.verdict) if result.bpb is None else f"{in_bits(result.bpb)} {result.verdict}"


def cell_text(result: CellResult) -> str:
    """A cell of the table: its score, its verdict, and whether it is known or warned of."""
    if result.known is not None:
        return f"{score(result)} (known)"
    return f"{score(result)} {WARNED}" if is_warned(result) else score(result)


def is_warned(result: CellResult) -> bool:
    """Whether it passes, and a probe has something to say."""
    return result.verdict.passes and bool(result.evidence.get("warnings"))


def fold(line: Line, width: int) -> list[Line]:
    """A line broken at spaces so that none is longer than `width`, the later ones indented by two more.

    What stands between backticks stays together. The first piece keeps its markup; a folded rest is plain.
    """
    text = "".join(piece for piece, _ in line)
    if len(text) <= width:
        return [line]
    indent = len(text) - len(text.lstrip()) + 2
    whole = re.sub(r"`[^`]*`", lambda found: found[0].replace(" ", _KEPT), text)
    first, *rest = textwrap.wrap(
        whole,
        max(width, indent + 20),
        subsequent_indent=" " * indent,
        drop_whitespace=True,
        break_long_words=False,
        break_on_hyphens=False,
    )
    head, markup = line[0]
    shown = first.replace(_KEPT, " ")
    is_split = len(line) > 1 and shown.startswith(head)
    start: Line = [(head, markup), (shown[len(head) :], PLAIN)] if is_split else [(shown, markup)]
    after = markup if len(line) == 1 else PLAIN
    return [start, *([(each.replace(_KEPT, " "), after)] for each in rest)]
