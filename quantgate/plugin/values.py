"""What the values of options are parsed by; each raises ValueError, which says what was seen and what is taken."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantgate.databases.address import Address

_SWITCHES = {"yes": True, "no": False, "true": True, "false": False, "1": True, "0": False}


def names(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names:
        raise ValueError("an empty list; give names separated by commas")
    return tuple(dict.fromkeys(names))


def integers(least: int, what: str) -> Callable[[str], tuple[int, ...]]:
    one = integer(least, what)
    return lambda text: tuple(one(part) for part in names(text))


def integer(least: int, what: str) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", text) or int(text) < least:
            raise ValueError(f"{text!r} is not {what} (a whole number of at least {least})")
        return int(text)

    return parse


def seeds(text: str) -> tuple[int, ...]:
    seeds = integers(0, "a seed")(text)
    if forbidden := [seed for seed in seeds if 42 <= seed <= 45]:
        raise ValueError(f"seed {forbidden[0]}: the fleet forbids 42 to 45; its own are 47, 89, 123, 144")
    return seeds


def widths(text: str) -> tuple[int, ...]:
    widths = integers(16, "a width")(text)
    if odd := [width for width in widths if width % 32 and width != 16]:
        raise ValueError(f"width {odd[0]}: attention needs 16 or a multiple of 32")
    return widths


def positive(text: str) -> float:
    try:
        value = float(text) if text.isascii() else math.nan
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{text!r} is not a positive number")
    return value


def choice(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"{text!r} is none of {', '.join(choices)}")
        return text

    return parse


def device(text: str) -> str:
    if not re.fullmatch(r"[a-z]+(:[0-9]+)?", text):
        raise ValueError(f"{text!r} is not a torch device; cpu, cuda and cuda:1 are")
    return text


def nonempty(text: str) -> str:
    if not text:
        raise ValueError("an empty value")
    return text


def shard(text: str) -> tuple[int, int]:
    if text == "auto":
        from quantgate.plan.engines import position  # which few runs ask

        return position(os.environ)
    match = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(f"{text!r} is not a shard; write 2/8 for the second of eight, or auto")
    return int(match[1]), int(match[2])


def switch(text: str) -> bool:
    if text.lower() not in _SWITCHES:
        raise ValueError(f"{text!r} is none of {', '.join(_SWITCHES)}")
    return _SWITCHES[text.lower()]


def path(text: str) -> Path:
    try:
        encoded = os.fsencode(nonempty(text))
    except UnicodeEncodeError:
        encoded = b"\0"
    if b"\0" in encoded:
        raise ValueError(f"{text!r} is no path of this system")
    return Path(text)


def database(text: str) -> Address:
    from quantgate.history.address import find_history

    return find_history(nonempty(text))


def private_database(text: str) -> Address:
    from quantgate.history.address import find_history

    return find_history(nonempty(text), is_private=True)
