"""The cells that tests are offered as they are collected, and what was registered too late for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from quantgate.plan.matrix import config_of, plan
from quantgate.plan.settings import Settings
from quantgate.plan.shards import take_shard
from quantgate.plugin.options import override
from quantgate.records.cell import Cell
from quantgate.subjects.registry import Registry


@dataclass
class Offering:
    """Offers the tests of one process their cells.

    Args:
        settings: The parsed options.
        registry: Where names are looked up.
    """

    settings: Settings
    registry: Registry
    #: Every cell that a test of this run was offered, whether the test was then selected or not.
    offered: dict[Cell, None] = field(default_factory=dict)
    #: The same before sharding: what all shards of this run are offered.
    whole: dict[Cell, None] = field(default_factory=dict)
    #: The subjects and optimizers of those cells' matrices before sharding; and whether a marker narrowed any of them.
    _names: set[str] = field(default_factory=set)
    _narrowed: bool = False
    #: What was registered when a test was first offered cells.
    _registered: tuple[str, ...] | None = None

    @property
    def matrix(self) -> tuple[Cell, ...]:
        """The whole matrix, before sharding, of what is registered by now."""
        return plan(self.settings, self.registry)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The matrix, or this shard of it."""
        return self._shard(self.matrix)

    def _shard(self, whole: tuple[Cell, ...]) -> tuple[Cell, ...]:
        return take_shard(whole, self.settings.shard, config_of(self.settings).steps)

    def offer(self, marker: Mapping[str, Any]) -> tuple[Cell, ...]:
        """The cells of a test with these arguments of its `lowbit` marker, which are now part of this run's matrix.

        Raises:
            OptionError: The marker names no option of a cell.
            UnknownNameError: It names an unknown format or optimizer.
            PlanError: What it names cannot be trained in this run's matrix.
        """
        settings = override(self.settings, marker, "the lowbit marker") if marker else self.settings
        whole = plan(settings, self.registry)
        cells = self._shard(whole)
        self.offered |= dict.fromkeys(cells)
        self.whole |= dict.fromkeys(whole)
        if self._registered is None:
            self._registered = self._all_registered()
        self._names |= {n for cell in whole for n in (cell.trainer or cell.subject, cell.optimizer)}
        self._narrowed |= bool({"formats", "optimizers"} & set(marker))
        return cells

    @property
    def is_used(self) -> bool:
        """Whether any test was offered cells, be it none of a matrix of which this shard holds nothing."""
        return self._registered is not None

    def outgrown(self) -> bool:
        """Whether more was registered since a test was first offered cells; then every test is to be offered anew."""
        grown = self._registered is not None and self._registered != self._all_registered()
        if grown:
            self.offered.clear()
            self.whole.clear()
            self._names.clear()
            self._registered = None
        return grown

    def _all_registered(self) -> tuple[str, ...]:
        return (*self.registry.registered(), *self.registry.registered_optimizers())

    def left_out(self) -> str | None:
        """What is registered and in no cell, although nothing narrowed the matrix; None where nothing is.

        It was registered when the tests had been collected, so that other cells were trained in its place.
        """
        if not self._names or self._narrowed:
            return None
        settings = self.settings
        subjects = () if settings.formats is not None else self.registry.registered()
        optimizers = () if settings.optimizers is not None else self.registry.registered_optimizers()
        missing = [name for name in (*subjects, *optimizers) if name not in self._names]
        if not missing:
            return None
        named = ", ".join(f"{name!r} ({self.registry.place(name)})" for name in missing)
        return (
            f"registered and in no cell of this run: {named}; the tests had been collected by then. Register it while "
            "a conftest or a test module is imported, or in the hook pytest_quantgate_register"
        )
