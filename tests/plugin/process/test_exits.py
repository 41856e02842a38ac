"""What ends the process is held back while a subject runs, wherever Python finds it."""

from __future__ import annotations

import os

import pytest

from quantgate.plugin.process.exits import no_exit


@pytest.mark.parametrize("module", ["os", "posix"])
@pytest.mark.parametrize(("name", "given"), [("_exit", (0,)), ("execv", ("true", ["true"]))])
def test_it_is_held_back_and_put_back(module: str, name: str, given: tuple[object, ...]) -> None:
    there = pytest.importorskip(module)
    before = getattr(there, name)
    with (
        no_exit(None),
        pytest.raises(RuntimeError, match=f"^os.{name} would end the whole run, and is held back; "),
    ):
        getattr(there, name)(*given)
    assert getattr(there, name) is before


def test_what_somebody_else_has_put_there_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "_exit", os._exit)  # so that it is put back
    with no_exit(None):
        os._exit = print  # type: ignore[assignment]
    assert os._exit is print
