"""The hook that quantgate offers to conftest files and other plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from quantgate.subjects.registry import Registry


@pytest.hookspec
def pytest_quantgate_register(registry: Registry) -> None:
    """Called once in each process, while pytest is configured: register formats, recipes, optimizers and trainers."""
