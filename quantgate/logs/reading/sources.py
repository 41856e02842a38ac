"""What is wanted of a log, and what comes out of any: files and databases alike."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from quantgate.logs.aggregate import Run
from quantgate.logs.names import Key

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclass(frozen=True)
class Wanted:
    """Which columns and rows of a log are read."""

    #: Columns by role, where they are not to be found by the usual names.
    columns: Mapping[str, str] = field(default_factory=dict)
    #: A pattern of text lines, or the name of a logger.
    pattern: str | None = None
    #: SQL's LIKE over names: `IGLA-TIER1-%`.
    like: str | None = None
    #: Seconds before now; older samples are left out.
    since: float | None = None


@dataclass(frozen=True)
class Reading:
    """What was read."""

    runs: Iterator[Run]
    #: Whether the column of scores is named as bits are.
    bits_named: bool
    #: What was found, a sentence each.
    said: tuple[str, ...]
    #: The best score of each cell, where that is all that is kept; None where its place is empty.
    best: Mapping[Key, float | None] = field(default_factory=dict)


def parse_since(text: str) -> float:
    """`24h`, `30d` in seconds.

    Raises:
        ValueError: It is no such span.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text.strip())
    if found is None or float(found[1]) == 0:
        raise ValueError(f"--since {text!r}: write a number and s, m, h, d or w, such as 24h")
    return float(found[1]) * _UNITS[found[2]]
