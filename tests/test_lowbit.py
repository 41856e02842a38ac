"""The gate itself, on the matrix of the run: `pytest -m lowbit -n auto`."""

from __future__ import annotations

import pytest

from quantgate.plugin.fixtures import LowbitCell

pytestmark = pytest.mark.slow


def test_learns(lowbit_cell: LowbitCell) -> None:
    lowbit_cell.assert_learns()
