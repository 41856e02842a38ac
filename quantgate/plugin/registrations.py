"""What a test run would register, for commands that are no test run."""

from __future__ import annotations

import contextlib
import io
import os

import pytest

from quantgate.plugin.lifecycle import session_of


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


def register_as_tests_do() -> str | None:
    """Register what conftest files, the hook and entry points register in a run of pytest in this folder.

    pytest's own options, of the ini file and of the environment, are left out: no workers, no coverage.

    Returns:
        Why that is not known; None where it is.
    """
    asked = _Registrations()
    said = io.StringIO()
    options = os.environ.pop("PYTEST_ADDOPTS", None)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            status = pytest.main(["-qq", "-o", "addopts=", "-p", "no:cacheprovider"], plugins=[asked])
    finally:
        if options is not None:
            os.environ["PYTEST_ADDOPTS"] = options
    if asked.error is not None:
        return f"{type(asked.error).__name__}: {asked.error}"
    ended = {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED}
    if status not in ended:
        lines = [line for line in said.getvalue().splitlines() if line.strip()]
        return lines[-1].removeprefix("E ").strip() if lines else f"pytest ended with status {int(status)}"
    return None
