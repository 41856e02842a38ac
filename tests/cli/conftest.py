"""The command line, in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from quantgate.cli.main import main
from quantgate.subjects.registry import REGISTRY


class Said(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str


Command = Callable[..., Said]


@pytest.fixture
def quantgate(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs the command line; the path and the registry are as before afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    for held in ("_formats", "_recipes", "_optimizers", "_trainers"):
        monkeypatch.setattr(REGISTRY, held, {})

    def run(*arguments: str) -> Said:
        try:
            status = main(arguments)
        except SystemExit as ended:
            status = int(ended.code or 0)
        finally:
            for name in ("conftest", "test_lowbit"):  # of the current folder: the next one has its own
                sys.modules.pop(name, None)
        return Said(status, *capsys.readouterr())

    return run


LIBRARY = """
import torch

def fine(x):
    return x + ((x * 64).round() / 64 - x).detach()

def blocked(x):
    return (x * 64).round() / 64

def fails(x):
    raise KeyError("scale")

def of_matrices(x):
    rows, columns = x.shape
    return fine(x)

def leaves(x):
    raise SystemExit(0)

def vanishes(x):
    import os
    os._exit(0)
"""


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a module in the current folder."""
    name = "quantizers_of_test_cli"
    (tmp_path / f"{name}.py").write_text(LIBRARY)
    monkeypatch.chdir(tmp_path)
    yield name
    sys.modules.pop(name, None)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
