from __future__ import annotations

import pytest

from tests.plugin.conftest import _own_registry, _trained_before, local, mode, project, pytester

__all__ = ["_own_registry", "_trained_before", "local", "mode", "project", "pytester"]


def pytest_itemcollected(item: pytest.Item) -> None:
    """Every attack is a run of pytest."""
    if {"local", "project"} & set(getattr(item, "fixturenames", ())):
        item.add_marker("slow")
