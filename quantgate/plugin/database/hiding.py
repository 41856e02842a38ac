"""What keeps the address from workers, from the programs that tests start, and from what they print."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest

from quantgate.plan.settings import Settings
from quantgate.plugin.options import OPTIONS

_HIDDEN = [option for option in OPTIONS if option.is_hidden]
#: The variables that were taken out of this process' environment.
_TAKEN: pytest.StashKey[tuple[tuple[str, str], ...]] = pytest.StashKey()
_ADDOPTS = "PYTEST_ADDOPTS"


def hide(config: pytest.Config, settings: Settings) -> None:
    """Take hidden options out of this process' variables and arguments, which workers are given, too."""
    taken = {}
    named = None if settings.db is None else settings.db.variable
    for name in filter(None, (*(option.environment for option in _HIDDEN), named)):
        if name in os.environ:
            taken[name] = os.environ.pop(name)
    for option in _HIDDEN:
        setattr(config.option, option.dest, None)
    if any(option.flag in os.environ.get(_ADDOPTS, "") for option in _HIDDEN):
        import shlex  # which no other run pays for

        taken[_ADDOPTS] = os.environ[_ADDOPTS]
        os.environ[_ADDOPTS] = shlex.join(without_hidden(shlex.split(taken[_ADDOPTS])))
    config.stash[_TAKEN] = tuple(taken.items())
    given = config.invocation_params
    config.invocation_params = pytest.Config.InvocationParams(
        args=without_hidden([str(each) for each in given.args]), plugins=given.plugins, dir=given.dir
    )


def hide_from(node: Any) -> None:
    """Take hidden options out of the arguments that pytest-xdist repeats to a worker."""
    node.workerinput["mainargv"] = without_hidden(node.workerinput.get("mainargv", ()))


def restore(config: pytest.Config) -> None:
    """Put the variables back: pytest may be a part of somebody's program, which goes on."""
    for name, value in config.stash.get(_TAKEN, None) or ():
        os.environ[name] = value


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
