"""The files: one entry a line, so that a C program reads them with sscanf and a person with diff."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantgate.records.files import read_file


@dataclass(frozen=True)
class Value:
    """What a code stands for."""

    #: The code's bits.
    code: str
    #: The value's float32 bits.
    float32: str


@dataclass(frozen=True)
class Case:
    """What a float32 is encoded to."""

    #: The number's float32 bits.
    float32: str
    #: The code's bits.
    code: str
    #: What it tries: `value`, `tie`, `beside-tie`, `subnormal`, `overflow`, `nan`, `zero`, `random`.
    tries: str = ""


@dataclass(frozen=True)
class Vectors:
    """The vectors of one format, at a scale of 1 and a zero point of 0."""

    format: str
    bits: int
    #: What rounding does, in a sentence.
    rules: str
    spec: str
    #: Every code's value; empty above 16 bits.
    values: tuple[Value, ...]
    encode: tuple[Case, ...]


@dataclass(frozen=True)
class Answers:
    """What an implementation says: codes to values and numbers to codes, as bits."""

    values: dict[int, int]
    encode: dict[int, int]


def to_text(vectors: Vectors) -> str:
    """The vectors as JSON, an entry a line."""
    head = {"format": vectors.format, "bits": vectors.bits, "rules": vectors.rules, "spec": vectors.spec}
    lines = [f"  {json.dumps(name)}: {json.dumps(value)}," for name, value in head.items()]
    values = [f'    {{"code": "{v.code}", "float32": "{v.float32}"}}' for v in vectors.values]
    cases = [
        f'    {{"float32": "{c.float32}", "code": "{c.code}", "tries": "{c.tries}"}}' for c in vectors.encode
    ]
    return "\n".join(
        [
            "{",
            *lines,
            '  "values": [',
            ",\n".join(values),
            "  ],",
            '  "encode": [',
            ",\n".join(cases),
            "  ]",
            "}",
            "",
        ]
    )


def read_answers(path: Path) -> Answers:
    """An implementation's answers: the same lists, filled in by it; whatever else is there is left alone.

    Raises:
        ValueError: The file cannot be read or is no such JSON.
    """
    try:
        found = json.loads(read_file(path))
    except OSError as error:
        raise ValueError(f"the answers {str(path)!r} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"the answers {str(path)!r} are not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"the answers {str(path)!r} are a {type(found).__name__}, not an object")
    return Answers(_pairs(found, "values", "code", "float32"), _pairs(found, "encode", "float32", "code"))


def _pairs(found: dict[str, Any], name: str, asked: str, answered: str) -> dict[int, int]:
    entries = found.get(name, [])
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise ValueError(f"the answers' {name!r} is no list")
    pairs = {}
    for place, entry in enumerate(entries):
        try:
            pairs[_bits(entry[asked])] = _bits(entry[answered])
        except (KeyError, TypeError, ValueError):
            raise ValueError(
                f"entry {place} of the answers' {name!r} is {entry!r}; it must be "
                f'{{"{asked}": "0x...", "{answered}": "0x..."}}'
            ) from None
    return pairs


def _bits(text: Any) -> int:
    if not isinstance(text, str):
        raise TypeError
    return int(text, 16)
