"""Text from outside, made safe to print."""

from __future__ import annotations

import re

#: What a runner of GitHub's workflows takes for a command: at the start of a line, and the older kind anywhere in it.
_COMMANDS = re.compile(r"^(\s*):(?=:)|(?<=##)\[")


def printable(text: str) -> str:
    """`text` without control characters and commands: a name from outside drives nothing."""
    if text.isprintable() and "::" not in text and "##[" not in text:
        return text
    seen = text if text.isprintable() else "".join(map(_escaped, text))
    return _COMMANDS.sub(lambda found: r"\x5b" if found[0] == "[" else rf"{found[1]}\x3a", seen)


def _escaped(char: str) -> str:
    return char if char.isprintable() else char.encode("unicode_escape").decode()


def printable_lines(text: str) -> str:
    """`text` with its lines kept, and every other control character and command escaped."""
    return "\n".join(map(printable, text.split("\n")))


def counted(number: int, what: str) -> str:
    """`1 cell`, `1,656 cells`."""
    return f"{number:,} {what}{'s' * (number != 1)}"
