"""Names on the command line: what a run of the tests knows by a name, a command knows too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from quantgate.subjects.names import UnknownNameError

Found = TypeVar("Found")


def look_up(name: str, find: Callable[[str], Found]) -> Found:
    """`find(name)`; where nothing has that name, again with what conftest files, the hook and entry points register.

    Raises:
        UnknownNameError: Nothing has that name then either; the message says so where they could not be read.
    """
    try:
        return find(name)
    except UnknownNameError:
        if ":" in name:
            _say_that_it_is_a_trainers(name)
            raise
    from quantgate.plugin.collected.registrations import register_as_tests_do

    failed = register_as_tests_do()
    try:
        return find(name)
    except UnknownNameError as error:
        if failed is None:
            raise
        raise UnknownNameError(f"{error} What the tests register could not be read: {failed}") from None


def _say_that_it_is_a_trainers(name: str) -> None:
    from quantgate.subjects.tables import trainers_in

    trainer = name.partition(":")[0]
    if any(each.name == trainer for each, _ in trainers_in(Path.cwd())):
        raise UnknownNameError(
            f"{name!r} is a cell of the trainer {trainer!r}, which no probe can ask; a run of the tests trains it: "
            f"pytest --pyargs quantgate.suite --quantgate-formats {name}"
        ) from None
