"""The public functions that read and write the registry."""

from __future__ import annotations

from quantgate.formats import Format
from quantgate.subjects.registry import REGISTRY

register_format = REGISTRY.register_format
register_recipe = REGISTRY.register_recipe
register_optimizer = REGISTRY.register_optimizer
register_trainer = REGISTRY.register_trainer


def get_format(name: str) -> Format:
    """The format of that name or alias.

    Raises:
        UnknownNameError: Nothing has that name; the message lists the nearest.
        TypeError: It is a recipe's name.
    """
    found = REGISTRY.subject(name)
    if not isinstance(found, Format):
        raise TypeError(f"{name!r} is a recipe, not a format")
    return found


def list_formats() -> tuple[str, ...]:
    """The names of every format, the built-in ones first."""
    return tuple(REGISTRY.formats())


def list_optimizers() -> tuple[str, ...]:
    """The names of every optimizer, the built-in ones first."""
    return tuple(REGISTRY.optimizers())
