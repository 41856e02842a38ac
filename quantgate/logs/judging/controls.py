"""Which runs are the float32 controls of a fleet, and which of them a run is held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from quantgate.logs.aggregate import Run
from quantgate.logs.names import KEY, Key, says_float32, short_names, stem

#: What a log may say in the place of float32.
_UNQUANTIZED = ("none", "baseline")

#: What a control shares with a run: all, so that equal curves mean equal numbers, or all but the seed. One of another
#: rate or width is none: what it does better may be its rate's doing.
#: One whose name is the same but for the format comes first: it is of the same trainer.
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
        return key.format.lower() in _UNQUANTIZED or says_float32(key.format)
    if "=" not in asked:
        return fnmatchcase(key.format, asked) or _is_named(key.name, asked)
    wanted = dict(part.partition("=")[::2] for part in asked.split(","))
    if unknown := set(wanted) - set(KEY):
        raise ValueError(f"--control: unknown column {min(unknown)!r}; known are {', '.join(KEY)}")
    return all(getattr(key, column) == value for column, value in wanted.items())


def _is_named(name: str, asked: str) -> bool:
    """Whether a glob is of a name, of the folders that it begins with, or of the file that the name stands for."""
    parts = name.split("/")
    starts = {"/".join(parts[:many]) for many in range(1, len(parts) + 1)}
    said = asked.rstrip("/")
    wanted = {said, *short_names([said]).values()}
    return any(fnmatchcase(start, each) for start in starts for each in wanted)


class Controls:
    """The controls of a fleet, found by what they share with a run."""

    def __init__(self, controls: Mapping[Key, Run]) -> None:
        self._found: dict[tuple[str | None, tuple[str, ...], tuple[str, ...]], Run] = {}
        for shared in _SHARED:
            for key, run in controls.items():
                for named in (stem(key), None):
                    self._found.setdefault((named, shared, _values(key, shared)), run)

    def of(self, key: Key) -> Choice | None:
        """The control that shares the most with a cell; None where none shares optimizer, width and rate."""
        for shared in _SHARED:
            for named in (stem(key), None):
                if (run := self._found.get((named, shared, _values(key, shared)))) is not None:
                    return Choice(run, exact=shared == _SHARED[0])
        return None


def _values(key: Key, roles: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(getattr(key, role).lower() for role in roles)
