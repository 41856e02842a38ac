"""What a subject's code is run under, piece by piece; the attacks ask the whole."""

from __future__ import annotations

import faulthandler
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from quantgate.gate.astray import AstrayError
from quantgate.plugin.process.keeper import Keeper, keeper
from quantgate.plugin.process.sweeper import Sweeper
from quantgate.plugin.process.timeouts import CELL_TIMEOUT, limit_of, needs_timeout
from quantgate.plugin.process.watchdog import where_it_stood

LOG = """Timeout (0:00:07)!
Thread 0x00007f (most recent call first):
  File "/usr/lib/python3.12/collections/__init__.py", line 600 in deque
  File "/home/me/.venv/site-packages/torch/nn/functional.py", line 5 in linear
  File "/home/me/project/mylib/quant.py", line 12 in spins
  File "/home/me/src/quantgate/training/fakequant.py", line 43 in called
"""


def test_where_it_stood_is_the_users_innermost_line() -> None:
    assert where_it_stood(LOG, "/home/me/src/quantgate") == "quant.py:12"
    assert where_it_stood("", "/home/me/src/quantgate") == ""


def test_a_watchdog_is_off_when_its_block_has_ended() -> None:
    with tempfile.TemporaryFile("w") as log, keeper().keeping(0.2, log):
        pass
    time.sleep(0.4)  # it would have ended this process


def test_nothing_is_ended_while_somebody_debugs(monkeypatch: pytest.MonkeyPatch) -> None:
    armed: list[float] = []
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda seconds, **_: armed.append(seconds))
    debugged = object.__new__(Keeper)
    debugged.__dict__.update(vars(keeper()), _resting=False)
    with debugged.keeping(7, 2):
        pass
    debugged.rest()
    with debugged.keeping(7, 2):
        pass

    assert armed == [7]


def test_a_child_that_ends_by_itself_is_no_matter() -> None:
    with tempfile.TemporaryFile("w") as log, keeper().keeping(30, log):
        child = os.fork()
        if child == 0:
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_an_interrupt_from_outside_passes_and_ones_own_does_not() -> None:
    with (
        tempfile.TemporaryFile("w") as log,
        pytest.raises(AstrayError, match=r"^KeyboardInterrupt: mine, raised by its own code$"),
        keeper().keeping(30, log),
    ):
        raise KeyboardInterrupt("mine")


def test_a_sweeper_removes_the_folder_of_a_process_that_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    code = (
        "import os, sys; from pathlib import Path; from quantgate.plugin.process.sweeper import Sweeper; "
        "Sweeper(Path(sys.argv[1])); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)
    deadline = time.monotonic() + 20
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.05)

    assert not folder.exists()


def test_and_at_once_where_it_is_told_to(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    Sweeper(folder).sweep()

    assert not folder.exists()


@pytest.mark.parametrize(
    ("arguments", "mark", "limit", "needs"),
    [
        ((), "", CELL_TIMEOUT, True),
        (("--timeout=9",), "", 9, False),
        (("--timeout=0",), "", 0, False),
        (("-o", "timeout=8"), "", 8, False),
        (("--timeout=9",), "@pytest.mark.timeout(7)", 7, False),
        ((), "@pytest.mark.timeout(timeout=6)", 6, False),
        (("-p", "no:timeout", "-W", "ignore"), "", CELL_TIMEOUT, False),
    ],
)
def test_the_limit_of_a_cell_is_pytest_timeouts(
    pytester: pytest.Pytester, arguments: tuple[str, ...], mark: str, limit: float, needs: bool
) -> None:
    path = pytester.makepyfile(f"import pytest\n\n\n{mark}\ndef test_x(): ...\n")
    (item,) = (
        pytester.genitems([pytester.getpathnode(path)])
        if not arguments
        else _items(pytester, path, arguments)
    )

    assert (limit_of(item), needs_timeout(item)) == (limit, needs)
    assert limit_of(item, 900) == (900 if limit == CELL_TIMEOUT else limit)


def _items(pytester: pytest.Pytester, path: Path, arguments: tuple[str, ...]) -> list[pytest.Item]:
    config = pytester.parseconfigure(*arguments, str(path))
    return list(pytester.genitems([pytester.getnode(config, path)]))
