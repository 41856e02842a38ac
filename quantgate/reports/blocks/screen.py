"""Text for a screen of so many columns: sentences folded, and Markdown with its tables aligned."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from itertools import zip_longest

_BETWEEN = 2
_Rows = Sequence[Sequence[str]]


def folded(text: str, width: int) -> str:
    """Each line broken at spaces, its rest indented by two more than its start."""
    return "\n".join(_folded(line, width) for line in text.splitlines())


def _folded(line: str, width: int) -> str:
    indent = len(line) - len(line.lstrip()) + 2
    return textwrap.fill(
        line,
        max(width, indent + 20),
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def laid_out(markdown: str, width: int) -> str:
    """Headings underlined, paragraphs folded, tables aligned; commands keep their backticks.

    Knows what this package's own texts are made of: headings, paragraphs and tables, each after an empty line.
    """
    return "\n\n".join(_block(block, width) for block in markdown.strip().split("\n\n"))


def _block(block: str, width: int) -> str:
    lines = block.splitlines()
    if heading := re.fullmatch(r"(#+) (.*)", block):
        return f"{heading[2]}\n{('=' if heading[1] == '#' else '-') * len(heading[2])}"
    if all(line.startswith("|") for line in lines):
        rows = [[_spoken(cell.strip()) for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
        return "\n".join(aligned(rows[0], rows[2:], [rule.endswith(":") for rule in rows[1]], width))
    return textwrap.fill(_spoken(" ".join(lines)), width, break_long_words=False, break_on_hyphens=False)


def _spoken(text: str) -> str:
    """Without the marks of emphasis; a lone star is a star."""
    kept = re.split(r"(`[^`]*`)", text)
    return "".join(
        part if part.startswith("`") else re.sub(r"(\*{1,2})(?=\S)(.+?)(?<=\S)\1", r"\2", part)
        for part in kept
    )


def aligned(head: Sequence[str], rows: _Rows, numbers: Sequence[bool], width: int) -> Iterator[str]:
    """A table whose columns stand under each other, texts folded; where they do not fit, each row is a block.

    Args:
        head: The names of the columns.
        rows: Their cells.
        numbers: Of each column, whether it is of numbers: to the right, and never folded.
        width: Columns of the screen.
    """
    columns = list(zip(*rows, strict=True))
    words = [
        max(len(word) for word in (*name.split(), *(column if is_number else " ".join(column).split()), ""))
        for name, column, is_number in zip(head, columns, numbers, strict=True)
    ]
    gap = next((each for each in (_BETWEEN, 1) if sum(words) + each * (len(words) - 1) <= width), None)
    if gap is None:
        yield from _apart(head, rows, width)
        return
    wanted = [max(least, *map(len, column)) for least, column in zip(words, columns, strict=True)]
    widths = _widened(words, wanted, width - gap * (len(words) - 1))
    for cells in (head, ["-" * each for each in widths], *rows):
        yield from _row(cells, widths, numbers, " " * gap)


def _widened(least: Sequence[int], wanted: Sequence[int], room: int) -> list[int]:
    """What room is left goes to the columns that need the least of it, so that few are folded."""
    widths, spare = list(least), room - sum(least)
    for place in sorted(range(len(least)), key=lambda place: wanted[place] - least[place]):
        more = min(spare, wanted[place] - least[place])
        widths[place] += more
        spare -= more
    return widths


def _row(cells: Sequence[str], widths: Sequence[int], numbers: Sequence[bool], gap: str) -> Iterator[str]:
    wrapped = [
        textwrap.wrap(cell, width, break_long_words=False, break_on_hyphens=False)
        for cell, width in zip(cells, widths, strict=True)
    ]
    for parts in zip_longest(*wrapped, fillvalue=""):
        placed = [
            part.rjust(width) if is_number else part.ljust(width)
            for part, width, is_number in zip(parts, widths, numbers, strict=True)
        ]
        yield gap.join(placed).rstrip()


def _apart(head: Sequence[str], rows: _Rows, width: int) -> Iterator[str]:
    for name, *cells in rows:
        yield name
        yield from (
            _folded(f"  {what}: {cell}", width) for what, cell in zip(head[1:], cells, strict=True) if cell
        )
