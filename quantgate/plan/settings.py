"""The options of a run, parsed from the command line, the environment or the ini file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # every pytest run reads the options; most need no more
    from quantgate.databases.address import Address
    from quantgate.records.cell import Scope, Storage


@dataclass(frozen=True)
class Settings:
    """The options of a run. None leaves the choice to the matrix or the optimizer."""

    formats: tuple[str, ...] | None = None
    optimizers: tuple[str, ...] | None = None
    seeds: tuple[int, ...] | None = None
    widths: tuple[int, ...] | None = None
    steps: int | None = None
    lr: float | None = None
    storage: Storage | None = None
    scope: Scope = "weights"
    device: str = "cpu"
    fail_bpb: float | None = None
    dead_bpb: float | None = None
    corpus: str | None = None
    matrix: str = "pr"
    #: (this shard from 1, how many).
    shard: tuple[int, int] | None = None
    report: Path | None = None
    known_failures: Path | None = None
    baseline: Path | None = None
    update_baseline: bool = False
    #: Where the history is kept; the controller's alone.
    db: Address | None = None
    min_cells: int = 0
    #: Names of the options that were given, whatever their value.
    given: frozenset[str] = frozenset()
