"""How long a cell may take: what pytest-timeout is told, and what the watchdog grants beyond it."""

from __future__ import annotations

import math
import os
from typing import Any

import pytest

#: Seconds that a cell may take, where neither the matrix nor the user's options nor a marker say otherwise.
CELL_TIMEOUT = 60
#: Seconds that the watchdog leaves to whoever else ends a cell: pytest-timeout, which keeps the worker alive.
GRACE = 5


def needs_timeout(item: pytest.Item) -> bool:
    """Whether pytest-timeout is there and was told nothing for this test."""
    return item.config.pluginmanager.hasplugin("timeout") and _given(item) is None


def limit_of(item: pytest.Item, default: float = CELL_TIMEOUT) -> float:
    """The seconds that this test may take; 0 where the user lifts the limit, `default` where nothing says."""
    given = _given(item)
    if given is None:
        return default
    try:
        seconds = float(given)
    except (TypeError, ValueError):  # pytest-timeout refuses it
        return default
    return seconds if math.isfinite(seconds) else 0


def _given(item: pytest.Item) -> Any:
    """The limit of pytest-timeout's marker, option, variable or ini key, in its own order; None where there is none."""
    if marker := item.get_closest_marker("timeout"):
        return marker.args[0] if marker.args else marker.kwargs.get("timeout", 0)
    if not item.config.pluginmanager.hasplugin("timeout"):
        return None
    option = item.config.getoption("timeout", None)
    return (
        option
        if option is not None
        else os.environ.get("PYTEST_TIMEOUT") or item.config.getini("timeout") or None
    )
