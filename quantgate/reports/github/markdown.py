"""Text from outside in GitHub's Markdown, where it means nothing but itself."""

from __future__ import annotations

import re

from quantgate.reports.text import printable

#: What Markdown gives a meaning to within a line; a backslash takes it away.
_MARKS = re.compile(r"[\\`*_{}\[\]#|~$^!]|:(?=/)|(?<=www)\.", re.IGNORECASE)
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
#: `@somebody` and `#12`, which GitHub links wherever they stand: a space without width keeps them apart.
_REFERENCES = re.compile(r"([@#])(?=\w)")
_LONGEST = 2000


def prose(text: str) -> str:
    """A sentence within a line, after other text: what begins a list or a heading is not looked for."""
    marked = _MARKS.sub(lambda mark: f"\\{mark[0]}", printable(text[:_LONGEST]))
    return "".join(_ENTITIES.get(char, char) for char in _REFERENCES.sub("\\1\u200b", marked))


def code(text: str, *, in_table: bool = False) -> str:
    """A name or a command as code, in which nothing has a meaning; `|` ends a cell of a table even there."""
    safe = printable(text)
    fence = "`" * (max((len(run) for run in re.findall("`+", safe)), default=0) + 1)
    pad = " " if safe.startswith(("`", " ")) or safe.endswith(("`", " ")) or not safe else ""
    return f"{fence}{pad}{safe.replace('|', chr(92) + '|') if in_table else safe}{pad}{fence}"


def block(text: str, language: str) -> str:
    """Lines as a block of code."""
    fence = "`" * max(3, max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    lines = "\n".join(printable(line) for line in text.split("\n"))
    return f"{fence}{language}\n{lines}\n{fence}"
