"""Which runs are the float32 controls of a fleet, and which of them a run is held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from quantgate.logs.aggregate import Run
from quantgate.logs.names import KEY, Key

#: The names that float32 goes by.
FLOAT32 = ("fp32", "f32", "float32", "none", "baseline")

#: What a control shares with a run: all, so that equal curves mean equal numbers, or all but the seed. One of another
#: rate or width is none: what it does better may be its rate's doing.
_SHARED = (("optimizer", "width", "lr", "seed"), ("optimizer", "width", "lr"))


@dataclass(frozen=True)
class Choice:
    """The control of a run."""

    run: Run
    #: Whether it shares optimizer, width, rate and seed.
    exact: bool


def is_control(key: Key, asked: str | None) -> bool:
    """Whether a cell is a control.

    Args:
        key: The cell.
        asked: A glob over its name or format, `column=value,...`, or None for the names of float32.
    """
    if asked is None:
        return key.format.lower() in FLOAT32
    if "=" not in asked:
        return fnmatchcase(key.name, asked) or fnmatchcase(key.format, asked)
    wanted = dict(part.partition("=")[::2] for part in asked.split(","))
    if unknown := set(wanted) - set(KEY):
        raise ValueError(f"--control: unknown column {min(unknown)!r}; known are {', '.join(KEY)}")
    return all(getattr(key, column) == value for column, value in wanted.items())


class Controls:
    """The controls of a fleet, found by what they share with a run."""

    def __init__(self, controls: Mapping[Key, Run]) -> None:
        self._found: dict[tuple[tuple[str, ...], tuple[str, ...]], Run] = {}
        for shared in _SHARED:
            for key, run in controls.items():
                self._found.setdefault((shared, _values(key, shared)), run)

    def of(self, key: Key) -> Choice | None:
        """The control that shares the most with a cell; None where none shares optimizer, width and rate."""
        for shared in _SHARED:
            if (run := self._found.get((shared, _values(key, shared)))) is not None:
                return Choice(run, exact=shared == _SHARED[0])
        return None


def _values(key: Key, roles: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(getattr(key, role) for role in roles)
