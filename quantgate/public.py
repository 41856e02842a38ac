"""The functions behind `import quantgate` that work on the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantgate.formats import Format
from quantgate.subjects.registry import REGISTRY, Subject

if TYPE_CHECKING:
    from quantgate.gate.examination import Examination

register_format = REGISTRY.register_format
register_recipe = REGISTRY.register_recipe
register_optimizer = REGISTRY.register_optimizer


def get_format(name: str) -> Format:
    """The format of that name or alias.

    Raises:
        UnknownNameError: Nothing has that name; the message lists the nearest.
    """
    found = REGISTRY.subject(name)
    if not isinstance(found, Format):
        raise TypeError(f"{name!r} is a recipe, not a format")
    return found


def formats() -> tuple[str, ...]:
    """The names of every format, the built-in ones first."""
    return tuple(REGISTRY.formats())


def optimizers() -> tuple[str, ...]:
    """The names of every optimizer, the built-in ones first."""
    return tuple(REGISTRY.optimizers())


def examine(subject: str | Subject) -> Examination:
    """The probes of a format or recipe in a handful of steps: seconds, not minutes.

    Args:
        subject: A format or recipe, its name, or `module:attribute[@bits]`.

    Raises:
        UnknownNameError: Nothing has that name.
    """
    from quantgate.gate.examination import examine_subject

    return examine_subject(REGISTRY.subject(subject) if isinstance(subject, str) else subject)
