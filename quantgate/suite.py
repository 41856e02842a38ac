"""The gate without a test file: `pytest --pyargs quantgate.suite --quantgate-formats mylib.quant:int4`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantgate.plugin.fixtures import LowbitCell


def test_learns(lowbit_cell: LowbitCell) -> None:
    lowbit_cell.assert_learns()
