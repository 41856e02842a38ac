"""Names: which are valid, and the message for an unknown one."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping

#: What a name may hold: it becomes part of test ids, file names and canonical names.
NAME = re.compile(r"[A-Za-z0-9_.:@+]+")


class UnknownNameError(ValueError):
    """An unknown name."""


class RegistrationError(ValueError):
    """An invalid registration."""


def check_name(what: str, name: str) -> None:
    """Raise RegistrationError unless `name` matches `NAME`; `what` says what it is the name of."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise RegistrationError(
            f"{what} {name!r}: a name holds letters, digits and _ . : @ + only, since it becomes part of test "
            "ids and file names"
        )


def require_callable(what: str, value: object, *, required: bool = False) -> None:
    """Raise RegistrationError unless `value` can be called; None passes unless it is `required`."""
    if (required or value is not None) and not callable(value):
        raise RegistrationError(f"{what} is a {type(value).__name__}, not a function")


def require_positive(what: str, value: float | None) -> None:
    """Raise RegistrationError unless `value` is None or a positive finite number."""
    if value is not None and not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
        raise RegistrationError(f"{what} is {value!r}, not a positive number")


def unknown(what: str, name: str, known: Iterable[str] | Mapping[str, object]) -> str:
    """The message for an unknown name: the nearest known ones, or all of them where none is near."""
    choices = [choice for choice in known if not choice.startswith("_")]
    begun = [choice for choice in choices if name and choice.startswith(name.lower())]
    near = [*dict.fromkeys([*begun, *difflib.get_close_matches(name.lower(), choices, cutoff=0.5)])][:3]
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known are {', '.join(choices)}."
    return f"unknown {what} {name!r}; {hint}"
