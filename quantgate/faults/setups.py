"""What the library is made of: a setup is what a cell trains, a fault is a broken one beside its healthy twin."""

from __future__ import annotations

from dataclasses import dataclass

from quantgate.records.cell import Scope, Storage
from quantgate.subjects.kinds import Subject
from quantgate.training.optimizers import OptimizerSpec


@dataclass(frozen=True)
class Setup:
    """What a cell trains: a subject, and what else is not the default."""

    subject: Subject
    storage: Storage = "master"
    scope: Scope = "weights"
    #: None for whichever optimizer the run brings.
    optimizer: OptimizerSpec | None = None
    #: The optimizers whose steps its library's tensors take; empty for all.
    takes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Fault:
    """A broken setup, the cause that must be named, and the same setup without the fault."""

    name: str
    cause: str
    broken: Setup
    healthy: Setup
    #: Causes that would help its author as well.
    also_right: frozenset[str] = frozenset()
