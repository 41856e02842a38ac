"""Root of the tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`-m lowbit` runs the gate alone: no other test or conftest is imported, nor what only they need."""
    if config.option.markexpr != "lowbit":
        return None
    is_gate = collection_path.name == "test_lowbit.py" or collection_path == Path(__file__).parent / "tests"
    return None if is_gate else True


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """`-n auto` starts a worker more than there are cores, but for the gate: many a test waits for a run to end."""
    if config.option.markexpr == "lowbit":
        return None
    return (os.cpu_count() or 1) + 1
