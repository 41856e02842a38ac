"""Subjects by path: what stands behind `module:attribute` and `module:attribute@bits`."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from quantgate.formats import Format
from quantgate.subjects.names import UnknownNameError, unknown

if TYPE_CHECKING:
    from torch import Tensor


def resolve(path: str) -> tuple[Format | Callable[[Tensor], Tensor], float | None]:
    """Import the format or function of a path; (what it is, its bits where the path says so).

    Raises:
        UnknownNameError: The module cannot be imported, it has no such attribute (the message lists the nearest), the
            attribute is neither a function nor a Format, or what follows `@` is no number.
    """
    place, _, bits = path.partition("@")
    module_name, _, attribute = place.partition(":")
    if bits and not re.fullmatch(r"\d+(\.\d+)?", bits):
        raise UnknownNameError(f"{path!r}: {bits!r} after @ is not a number of bits; write {place}@4, say")
    try:
        target: Any = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # a module's own code may raise anything
        said = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
        raise UnknownNameError(
            f"{path!r}: module {module_name!r} cannot be imported ({said}); is it on the path?"
        ) from error
    for part in attribute.split("."):
        if not hasattr(target, part):
            raise UnknownNameError(unknown(f"attribute of {module_name}", part, dir(target)))
        target = getattr(target, part)
    if not callable(target) and not isinstance(target, Format):
        raise UnknownNameError(f"{path!r} is a {type(target).__name__}, neither a function nor a Format")
    return target, float(bits) if bits else None
