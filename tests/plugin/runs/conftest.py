from __future__ import annotations

import pytest


def pytest_itemcollected(item: pytest.Item) -> None:
    """What is here trains, or starts workers."""
    item.add_marker("slow")
