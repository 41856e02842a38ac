"""Names: which are valid, and the message for an unknown one."""

from __future__ import annotations

import difflib
import inspect
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

#: What a name may hold: it becomes part of test ids, file names and canonical names. One that began with a colon could
#: be a command to a CI service that reads the log (`::error::`), one that began with a dot a hidden file.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@+]*")
#: Names become part of file names, which have 255 characters.
LONGEST_NAME = 128


class UnknownNameError(ValueError):
    """An unknown name."""


class RegistrationError(ValueError):
    """An invalid registration."""


def check_name(what: str, name: str) -> None:
    """Raise RegistrationError unless `name` matches `NAME` and is short; `what` says what it is the name of."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_.:@+]+", name):
        raise RegistrationError(
            f"{what} {name!r}: a name holds letters, digits and _ . : @ + only, since it becomes part of test "
            "ids and file names"
        )
    if not NAME.fullmatch(name):
        raise RegistrationError(
            f"{what} {name!r}: a name begins with a letter, a digit or _, not with {name[0]!r}"
        )
    if len(name) > LONGEST_NAME:
        raise RegistrationError(
            f"{what} {name[:40]!r}...: a name has at most {LONGEST_NAME} characters and this one {len(name)}, since it "
            "becomes part of file names; register it under a shorter one"
        )


def require_callable(what: str, value: object, *, required: bool = False) -> None:
    """Raise RegistrationError unless `value` can be called; None passes unless it is `required`."""
    if (required or value is not None) and not callable(value):
        raise RegistrationError(f"{what} is a {type(value).__name__}, not a function")


def why_not_of_one_argument(function: Any) -> str | None:
    """Why a fake-quantizer cannot be called with a tensor alone; None where it can, or where that cannot be known."""
    if isinstance(function, type):
        return "is a class, not a function of a tensor"
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a C function says nothing of its parameters
        return None
    positional = [
        each for each in parameters if each.kind in {each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD}
    ]
    if not positional and not any(each.kind is each.VAR_POSITIONAL for each in parameters):
        return "takes no tensor"
    needed = [each for each in parameters if each.default is each.empty and each not in positional[:1]]
    names = [each.name for each in needed if each.kind not in {each.VAR_POSITIONAL, each.VAR_KEYWORD}]
    if names:
        return f"needs {', '.join(names)} beside the tensor: bind them with functools.partial"
    return None


def require_factory(what: str, value: Any) -> None:
    """Raise RegistrationError where what is to make quantizers is one: a function of a tensor, or a module."""
    if value is None or isinstance(value, type):
        return
    is_module = callable(getattr(value, "named_parameters", None))  # of torch, which is not loaded for this
    try:
        needed = [
            each.name
            for each in inspect.signature(value).parameters.values()
            if each.default is each.empty and each.kind not in {each.VAR_POSITIONAL, each.VAR_KEYWORD}
        ]
    except (TypeError, ValueError):  # a C function says nothing of its parameters
        needed = []
    if is_module or needed:
        seen = (
            f"is a {type(value).__name__} that is made already" if is_module else f"needs {', '.join(needed)}"
        )
        raise RegistrationError(
            f"{what} {seen}; beside factory= it is called without an argument, and makes the quantizer of one layer's "
            "inputs: a class, or `lambda: function`"
        )


def require_positive(what: str, value: float | None) -> None:
    """Raise RegistrationError unless `value` is None or a positive finite number."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (is_number and math.isfinite(value) and value > 0):
        raise RegistrationError(f"{what} is {value!r}, not a positive number")


def unknown(what: str, name: str, known: Iterable[str] | Mapping[str, object]) -> str:
    """The message for an unknown name: the nearest known ones, or all of them where none is near."""
    choices = [choice for choice in known if not choice.startswith("_")]
    begun = [choice for choice in choices if name and choice.startswith(name.lower())]
    near = [*dict.fromkeys([*begun, *difflib.get_close_matches(name.lower(), choices, cutoff=0.5)])][:3]
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known are {', '.join(choices)}."
    return f"unknown {what} {name!r}; {hint}"
