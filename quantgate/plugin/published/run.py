"""The record of a run, for those who read it when the run is gone."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from quantgate.plugin.expected.outcome import files_of
from quantgate.plugin.options import OPTIONS, Option
from quantgate.records.cell import Cell
from quantgate.records.run import RunRecord

if TYPE_CHECKING:
    import pytest

    from quantgate.plugin.session import GateSession

#: Options that the verdict on a cell depends on. The others say where results go; one of them holds an address.
_REPEATED = frozenset(
    {
        "formats", "optimizers", "seeds", "widths", "steps", "lr", "storage", "scope", "device", "fail-bpb",
        "dead-bpb", "corpus", "matrix", "known-failures", "baseline",
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
        options=repeated(config),
        files=files_of(session.settings).to_record(),
    )


def now() -> str:
    """The time, in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def address(config: pytest.Config, nodeid: str) -> str:
    """A test as a command line names it where the run was started, from where its options name files too.

    pytest's own name of a test is from its root folder, and lacks the file of one outside of it.
    """
    if nodeid.startswith("::") and len(config.args) == 1:
        return f"{config.args[0].partition('::')[0]}{nodeid}"
    file, mark, rest = nodeid.partition("::")
    return os.path.relpath(config.rootpath / file, config.invocation_params.dir) + mark + rest


def repeated(config: pytest.Config) -> tuple[str, ...]:
    """What a command line needs so that a cell is judged again as it was: options of this package and of pytest's.

    What the ini file says holds for both, as long as both read the same one.
    """
    return (*_of_pytest(config), *_of_the_gate(config))


def _of_pytest(config: pytest.Config) -> Iterable[str]:
    if config.getoption("pyargs"):
        yield "--pyargs"
    if config.getoption("inifilename"):
        yield f"--config-file={config.getoption('inifilename')}"
    names = {option.dest for option in OPTIONS if option.name in _REPEATED} | {"timeout"}
    for said in config.getoption("override_ini") or ():
        if said.partition("=")[0] in names:
            yield f"--override-ini={said}"
    for plugin in config.getoption("plugins") or ():
        if not plugin.startswith("no:"):
            yield f"-p{plugin}"
    if config.getoption("markexpr") and "-m" in config.getini(
        "addopts"
    ):  # which deselects low-bit tests, say
        yield f"-m{config.getoption('markexpr')}"
    timeout = config.getoption("timeout", None) or os.environ.get("PYTEST_TIMEOUT")
    if timeout and config.pluginmanager.hasplugin("timeout"):
        yield f"--timeout={str(timeout).removesuffix('.0')}"


def _of_the_gate(config: pytest.Config) -> Iterable[str]:
    for option in OPTIONS:
        if option.name in _REPEATED and (text := _text(config, option)):
            yield f"{option.flag}={text}"
        elif option.name == "min-cells" and config.getini(option.dest):
            yield f"{option.flag}=1"  # one cell is asked for


def _text(config: pytest.Config, option: Option) -> str:
    given = config.getoption(option.dest, None)
    return str(given) if given is not None else os.environ.get(option.environment, "")
