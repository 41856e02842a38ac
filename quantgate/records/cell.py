"""What a cell is and how it is trained: plain values, shared by every layer, with no torch behind them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from quantgate.records.schedule import Schedule
from quantgate.records.verdict import DEFAULT_LIMITS, Lane, Limits

Storage = Literal["master", "inplace"]
Scope = Literal["weights", "weights+activations"]
#: A `trainer` is one from elsewhere: a command whose output is judged, or a run whose logs are.
Kind = Literal["format", "recipe", "trainer", "control", "negative-control"]

DEFAULT_WIDTH = 64
DEFAULT_STEPS = 100

#: The fleet's seeds, in the order in which escalation takes them; 42 to 45 are forbidden there.
SEEDS = (47, 89, 123, 144, 1597, 2584, 4181, 6765, 10946, 17711)

#: The subject name of a control: the format that changes nothing.
CONTROL_FORMAT = "fp32"
#: The kinds of cells that a run trains to prove itself: no subject is judged by them.
CONTROL_KINDS = frozenset({"control", "negative-control"})

#: Width of the model that negative controls are trained in, whatever the run's: a dead body, no gradient and a negated
#: one keep a model of any width from learning, and this one takes a third of the time of the default one.
NEGATIVE_WIDTH = 16


@dataclass(frozen=True)
class Config:
    """How a cell is trained and judged, whatever its subject, optimizer and seed."""

    #: Residual width of the model.
    width: int = DEFAULT_WIDTH
    #: Optimizer steps.
    steps: int = DEFAULT_STEPS
    #: Learning rate; None takes the optimizer's own for this width.
    lr: float | None = None
    #: What is fake-quantized: every weight, or every weight and every input of a linear layer.
    scope: Scope = "weights"
    #: `builtin`, `tinyshakespeare` or the path of a text.
    corpus: str = "builtin"
    #: A torch device.
    device: str = "cpu"
    #: The lines that the final bits per byte is held against.
    limits: Limits = DEFAULT_LIMITS
    #: How the rate moves over the steps, as a share of it; None leaves it as it is.
    schedule: Schedule | None = None
    #: The lane whose rates and tolerances hold; None is that of 100 steps.
    lane: Lane | None = None


@dataclass(frozen=True)
class Cell:
    """One training run that is judged: subject x optimizer x seed x width."""

    subject: str
    kind: Kind
    optimizer: str
    seed: int
    width: int = DEFAULT_WIDTH
    storage: Storage = "master"
    scope: Scope = "weights"
    lane: Lane | None = None

    @property
    def has_seed(self) -> bool:
        """Whether its seed is known: that of a cell which is trained here always is."""
        return True

    @property
    def id(self) -> str:
        """`format-optimizer-sSEED`, with what is not the default appended; stable, it keys the history."""
        parts = [self.subject, self.optimizer]
        if self.has_seed:
            parts.append(f"s{self.seed}")
        if self.width != DEFAULT_WIDTH:
            parts.append(f"w{self.width}")
        if self.storage != "master":
            parts.append(self.storage)
        if self.scope != "weights":
            parts.append("wa")
        if self.lane is not None:
            parts.append(self.lane)
        return "-".join(parts)

    @property
    def trainer(self) -> str | None:
        """The foreign trainer that trains it, `mytrainer` of `mytrainer:int8`; None where the gate does."""
        if self.kind in {"format", "recipe"} or ":" not in self.subject:
            return None
        return self.subject.partition(":")[0]

    @property
    def control(self) -> Cell:
        """The float32 cell of the same trainer, optimizer, seed and width."""
        trainer = self.trainer
        name = CONTROL_FORMAT if trainer is None else f"{trainer}:{CONTROL_FORMAT}"
        return replace(self, subject=name, kind="control", storage="master", scope="weights")

    @property
    def not_applicable(self) -> str | None:
        """Why no such cell is trained: a storage or scope for a recipe or trainer, which decides both for itself."""
        if self.kind == "format" or (self.storage == "master" and self.scope == "weights"):
            return None
        return (
            f"{self.kind} {self.subject!r} says itself what is quantized and stored; storage and scope are for "
            "formats, leave them out or name formats only"
        )

    def __str__(self) -> str:
        text = f"{self.subject} x {self.optimizer}"
        if self.seed != SEEDS[0]:
            text += f", seed {self.seed}"
        if self.width != DEFAULT_WIDTH:
            text += f", width {self.width}"
        if self.storage != "master":
            text += ", in place"
        if self.scope != "weights":
            text += f", {self.scope}"
        if self.lane is not None:
            text += f", {self.lane} lane"
        return text


@dataclass(frozen=True)
class UnseededCell(Cell):
    """The cell of a log that does not state its seed, which then is no part of its name; the number stands for none."""

    @property
    def has_seed(self) -> bool:
        return False
