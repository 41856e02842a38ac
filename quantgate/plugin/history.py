"""The door to the history: its address is hidden from the workers, and the run is recorded when it has ended."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from quantgate.plugin.lifecycle import settings_of
from quantgate.plugin.options import OPTIONS
from quantgate.reports.text import printable

if TYPE_CHECKING:
    from quantgate.databases.address import Address
    from quantgate.records.result import CellResult

_HIDDEN = [option for option in OPTIONS if option.is_hidden]
#: The variables that were taken out of this process' environment.
_TAKEN: pytest.StashKey[dict[str, str]] = pytest.StashKey()
_ADDOPTS = "PYTEST_ADDOPTS"


class History:
    """The history that the controller records its run in.

    Args:
        address: Its database; None where none is asked for.
        folder: What the commit is asked of, when the run begins.
    """

    def __init__(self, address: Address | None, folder: Path) -> None:
        self._address = address
        #: What became of the run, a sentence each, and whether it was recorded.
        self.said: tuple[str, ...] = ()
        self.is_recorded = True
        if address is not None:
            from quantgate.history.commit import find_commit

            self._commit = find_commit(folder)

    def record(self, results: Sequence[CellResult], exit_status: int) -> None:
        """Record the cells of the run; whatever happens, the run goes on to its end."""
        if self._address is None or not results:
            return
        try:
            from quantgate.history.deliver import deliver
            from quantgate.history.run import Run

            run = Run.now(results, exit_status, self._commit.sha, self._commit.branch)
            done = deliver(run, self._address)
        except Exception as error:  # an installation that is broken, say: the cells are judged all the same
            self.said, self.is_recorded = (f"not recorded: {type(error).__name__}",), False
            return
        self.said = tuple(printable(line) for line in done.lines)
        self.is_recorded = done.recorded


def hide(config: pytest.Config) -> None:
    """Take hidden options out of what workers, and programs that tests start, are given: variables and arguments."""
    taken = config.stash.setdefault(_TAKEN, {})
    address = settings_of(config).db
    named = None if address is None else address.variable
    for name in filter(None, (*(option.environment for option in _HIDDEN), named)):
        if name in os.environ:
            taken[name] = os.environ.pop(name)
    for option in _HIDDEN:
        setattr(config.option, option.dest, None)
    if any(option.flag in os.environ.get(_ADDOPTS, "") for option in _HIDDEN):
        import shlex  # which no other run pays for

        taken[_ADDOPTS] = os.environ[_ADDOPTS]
        os.environ[_ADDOPTS] = shlex.join(without_hidden(shlex.split(taken[_ADDOPTS])))
    given = config.invocation_params
    config.invocation_params = pytest.Config.InvocationParams(
        args=without_hidden([str(each) for each in given.args]), plugins=given.plugins, dir=given.dir
    )


def hide_from(node: Any) -> None:
    """Take hidden options out of the arguments that pytest-xdist repeats to a worker."""
    node.workerinput["mainargv"] = without_hidden(node.workerinput.get("mainargv", ()))


def restore(config: pytest.Config) -> None:
    """Put the variables back: pytest may be a part of somebody's program, which goes on."""
    os.environ.update(config.stash.get(_TAKEN, {}))


def without_hidden(arguments: Sequence[str]) -> list[str]:
    """The arguments without `--quantgate-db X` and `--quantgate-db=X`."""
    flags = {option.flag for option in _HIDDEN}
    left: list[str] = []
    skips = False
    for argument in arguments:
        if not skips and argument.partition("=")[0] not in flags:
            left.append(argument)
        skips = not skips and argument in flags
    return left
