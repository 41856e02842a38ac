"""The record of a run, for those who read it when the run is gone."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from quantgate.plugin.options import OPTIONS, Option
from quantgate.records.cell import Cell
from quantgate.records.run import RunRecord

if TYPE_CHECKING:
    import pytest

    from quantgate.plugin.session import GateSession

#: Options that a cell's result depends on. The others say where results go; one of them holds an address.
_REPEATED = frozenset(
    {
        "formats", "optimizers", "seeds", "widths", "steps", "lr", "storage", "scope", "device", "fail-bpb",
        "dead-bpb", "corpus", "matrix",
    }
)  # fmt: skip


def opened(session: GateSession, config: pytest.Config, cells: Iterable[Cell]) -> RunRecord:
    """What is known of a run before it ends: its matrix, its limits, and how to judge a cell of it again.

    Args:
        session: Its settings.
        config: Where its options were given.
        cells: The matrix, in its order.
    """
    cells = tuple(cells)
    return RunRecord(
        fail_bpb=session.config.limits.fail_bpb,
        dead_bpb=session.config.limits.dead_bpb,
        subjects=tuple(dict.fromkeys(cell.subject for cell in cells)),
        optimizers=tuple(dict.fromkeys(cell.optimizer for cell in cells)),
        options=tuple(_given(config)),
    )


def now() -> str:
    """The time, in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def address(config: pytest.Config, nodeid: str) -> str:
    """A test as a command line names it: pytest's name of one outside of its root folder lacks the file."""
    if nodeid.startswith("::") and len(config.args) == 1:
        return f"{config.args[0].partition('::')[0]}{nodeid}"
    return nodeid


def _given(config: pytest.Config) -> Iterable[str]:
    """The options of the command line and the environment that a cell's result depends on, as flags."""
    if config.getoption("pyargs"):
        yield "--pyargs"
    for option in OPTIONS:
        if option.name in _REPEATED and (text := _text(config, option)):
            yield f"{option.flag}={text}"


def _text(config: pytest.Config, option: Option) -> str:
    given = config.getoption(option.dest, None)
    return str(given) if given is not None else os.environ.get(option.environment, "")
