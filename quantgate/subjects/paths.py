"""Subjects by path: what stands behind `module:attribute`, `factory:module:Class` and `recipe:module:function`.

Each may end in `@bits`.
"""

from __future__ import annotations

import difflib
import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from quantgate.formats import Format
from quantgate.subjects.names import UnknownNameError, unknown, why_not_of_one_argument

Role = Literal["function", "factory", "recipe"]
_ROLES: tuple[Role, ...] = ("factory", "recipe")


@dataclass(frozen=True)
class Target:
    """What a path leads to."""

    #: A Format, or a function that the role says how to call.
    found: Any
    role: Role
    #: What stands after `@`.
    bits: float | None


def _where(module_name: str, error: BaseException) -> str:
    """What keeps a module from being found; nothing where it is its own code that failed."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return ""
    first = module_name.partition(".")[0]
    if error.name == first and (Path(first).is_dir() or Path(f"{first}.py").is_file()):
        return "; it lies in this folder, where `python -m pytest` looks and `pytest` does not: use that, or install it"
    return "; is it on the path?" if f"{module_name}.".startswith(f"{error.name}.") else ""


def resolve(path: str) -> Target:
    """Import the format, function, factory or recipe of a path.

    Raises:
        UnknownNameError: The module cannot be imported, it has no such attribute (the message lists the nearest), the
            attribute cannot be called as its role asks, or what follows `@` is no number.
    """
    place, _, bits = path.partition("@")
    role: Role = next((each for each in _ROLES if place.startswith(f"{each}:")), "function")
    module_name, colon, attribute = place.removeprefix(f"{role}:").partition(":")
    if bits and not re.fullmatch(r"\d+(\.\d+)?", bits):
        raise UnknownNameError(f"{path!r}: {bits!r} after @ is not a number of bits; write {place}@4, say")
    if colon and ":" in attribute:
        near = difflib.get_close_matches(module_name.lower(), _ROLES, n=1, cutoff=0.5)
        meant = f"; did you mean {near[0]}:{path.partition(':')[2]}?" if near else ""
        raise UnknownNameError(
            f"{path!r}: unknown prefix {module_name!r}; known are {', '.join(f'{each}:' for each in _ROLES)}{meant}"
        )
    if not colon:
        raise UnknownNameError(f"{path!r}: no attribute after the module; write {role}:module:name")
    try:
        found: Any = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # a module's own code may raise anything
        said = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
        raise UnknownNameError(
            f"{path!r}: module {module_name!r} cannot be imported ({said}){_where(module_name, error)}"
        ) from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise UnknownNameError(unknown(f"attribute of {module_name}", part, dir(found)))
        found = getattr(found, part)
    if isinstance(found, Format) and role == "function":
        return Target(found, role, float(bits) if bits else None)
    if not callable(found):
        raise UnknownNameError(f"{path!r} is a {type(found).__name__}, neither a function nor a Format")
    if role == "function" and (why := why_not_of_one_argument(found)):
        makes = "" if why.startswith("needs") else f"; factory:{place} makes one for each parameter"
        raise UnknownNameError(f"{path!r} {why}{makes}")
    return Target(found, role, float(bits) if bits else None)
