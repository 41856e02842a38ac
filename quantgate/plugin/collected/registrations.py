"""What a test run would register, for commands that are no test run."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Sequence

import pytest

from quantgate.plugin.lifecycle import session_of
from quantgate.plugin.session import GateSession


class _Registrations:
    """Lets pytest load the conftest files that a run here begins with, asks the hook, and collects nothing."""

    error: Exception | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> bool:
        try:
            session_of(session.config)
        except Exception as error:  # the user's own code may raise anything
            self.error = error
        return True


class _Collection:
    """Keeps the session of a run whose tests are collected and not run."""

    session: GateSession | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.session = session_of(session.config)


_ENDED = {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED}


def register_as_tests_do() -> str | None:
    """Register what conftest files, the hook and entry points register in a run of pytest in this folder.

    pytest's own options, of the ini file and of the environment, are left out: no workers, no coverage.

    Returns:
        Why that is not known; None where it is.
    """
    asked = _Registrations()
    options = os.environ.pop("PYTEST_ADDOPTS", None)
    try:
        status, said = _pytest(["-qq", "-o", "addopts=", "-p", "no:cacheprovider"], asked)
    finally:
        if options is not None:
            os.environ["PYTEST_ADDOPTS"] = options
    if asked.error is not None:
        return f"{type(asked.error).__name__}: {asked.error}"
    if status not in _ENDED:
        lines = [line for line in said.splitlines() if line.strip()]
        return lines[-1].removeprefix("E ").strip() if lines else f"pytest ended with status {int(status)}"
    return None


def collect_as_tests_do(arguments: Sequence[str]) -> GateSession:
    """The session of a run of pytest with these arguments, its tests collected and none of them run.

    pytest's options are those of a run: of the ini file and of the environment too. A shard is left out, so that the
    session holds the whole of the matrix.

    Raises:
        ValueError: Such a run would end before its first test; the message is pytest's.
    """
    asked = _Collection()
    whole = ["--collect-only", "-q", "-p", "no:cacheprovider", "--quantgate-shard", "1/1"]
    status, said = _pytest(["-m", "lowbit", *arguments, *whole], asked)
    if status not in _ENDED or asked.session is None:
        raise ValueError(
            f"the tests cannot be collected: {_reason(said) or f'pytest ended with status {status}'}"
        )
    return asked.session


def _reason(said: str) -> str:
    """The line that says why, of all that pytest said."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for begins in (r"[-\w.()]+: error: ", r"ERROR: (?!usage:)(quantgate: )?", r"E\s+(quantgate: )?", ""):
        for line in lines:
            if found := re.match(begins, line):
                return line[found.end() :]
    return ""


def _pytest(arguments: Sequence[str], plugin: object) -> tuple[int, str]:
    """Pytest's exit status, and what it said."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = pytest.main(list(arguments), plugins=[plugin])
    return int(status), said.getvalue()
