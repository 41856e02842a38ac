"""Text from outside, made safe to print."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` without control characters: a name from outside must not drive the terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def printable_lines(text: str) -> str:
    """`text` with its lines kept and every other control character escaped."""
    return "\n".join(map(printable, text.split("\n")))
