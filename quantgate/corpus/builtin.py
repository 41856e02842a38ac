"""The builtin corpus: play-like text from a small grammar, the same bytes on every machine.

The random numbers are the output of SHAKE-128 (FIPS 202) and every choice is integer arithmetic, so the text
depends on neither the version of Python nor the platform nor the hash seed.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable
from functools import cache
from typing import Final, TypeAlias

from quantgate.corpus.lexicon import PHRASES, SPEAKERS, SPEECH_LINES, WORDS

#: The speech under way at this many bytes is the last one.
SIZE: Final = 256 * 1024
#: Of the whole text. A change to the grammar, the words or the seed changes it, and every curve with it.
SHA256: Final = "b25dbfbe058b043d18c46f1542cd8325b8a3c562693ef47ca88bb89edab3c180"

_SEED: Final = b"quantgate builtin corpus 1"
_DRAWS: Final = 1 << 18

#: A weighted choice: an entry that is there twice is taken twice as often.
_Table: TypeAlias = "list[str | tuple[str | _Table, ...]]"


def _by_rank(words: str) -> list[str]:
    """The words of a list, most frequent first, repeated by Zipf's law with an offset: 1 / (rank + 6)."""
    ranked = [word.replace("_", " ") for word in words.split()]
    scale = len(ranked) + 6
    return [word for rank, word in enumerate(ranked) for _ in range(2 * scale // (rank + 6))]


def _with_s(word: str) -> str:
    """The plural of a noun, or the third person of a verb."""
    irregular = {"be": "is", "have": "has", "life": "lives", "wolf": "wolves", "thief": "thieves"}
    if word in irregular:
        return irregular[word]
    if word.endswith("man"):
        return word[:-3] + "men"
    if word.endswith(("s", "sh", "ch", "x", "z", "o")):
        return word + "es"
    if word.endswith("y") and word[-2] not in "aeou":
        return word[:-1] + "ies"
    return word + "s"


def _grammar() -> dict[str, _Table]:
    tables: dict[str, _Table] = {name: [*_by_rank(words)] for name, words in WORDS.items()}
    for name in ("noun", "verb"):
        tables[name + "s"] = [*map(_with_s, _by_rank(WORDS[name]))]
    for name in PHRASES:
        tables[name] = []
    for name, templates in PHRASES.items():
        for template in templates:
            # Odd parts are names; reversed, because the generator works through them from the end of a stack.
            parts = (tables[part] if i % 2 else part for i, part in enumerate(re.split(r"{(\w+)}", template)))
            tables[name].append(tuple(part for part in parts if part != "")[::-1])
    return tables


def _phrases(draw: Callable[[], int]) -> Callable[[_Table], str]:
    """A function that makes one phrase of a table; ``draw`` gives 16 random bits."""

    def phrase(table: _Table) -> str:
        words: list[str] = []
        stack: list[str | _Table] = [table]
        while stack:
            part = stack.pop()
            if isinstance(part, list):
                choice = part[draw() * len(part) >> 16]
                if isinstance(choice, tuple):
                    stack.extend(choice)
                    continue
                part = choice
            words.append(part)
        text = "".join(words)
        return text[0].upper() + text[1:]

    return phrase


@cache
def generate() -> bytes:
    """The text: speeches, each a speaker's line ``NAME:`` and its verse lines, with an empty line between.

    Made once a process.
    """
    draws = struct.unpack(f"<{_DRAWS}H", hashlib.shake_128(_SEED).digest(2 * _DRAWS))
    draw = iter(draws).__next__
    phrase = _phrases(draw)
    tables = _grammar()
    line, cry, mark, end = tables["line"], tables["cry"], tables["mark"], tables["end"]
    speakers = _by_rank(SPEAKERS)
    lengths = [int(length) for length in SPEECH_LINES.split()]
    out: list[str] = []
    size = 0
    while size < SIZE:
        count = lengths[draw() * len(lengths) >> 16]
        speech = [f"{speakers[draw() * len(speakers) >> 16]}:\n"]
        for number in range(1, count + 1):
            text = phrase(cry if count == 1 else line)
            speech.append(f"{text}{phrase(end if number == count else mark)}\n")
        speech.append("\n")
        size += sum(map(len, speech))
        out += speech
    text = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", "".join(out))
    return text.encode("ascii")
