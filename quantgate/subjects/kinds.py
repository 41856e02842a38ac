"""The kinds of subjects that the gate judges: formats and recipes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from quantgate.formats import Format

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Recipe:
    """A function that makes a model train in low precision (a QAT library's module swap, say)."""

    name: str
    prepare: Callable[[nn.Module], nn.Module]
    bits: float | None
    lossless: bool = False
    gap_tolerance: float | None = None
    #: `calibrate(model, batches)` runs before the model is judged, with batches of tokens.
    calibrate: Callable[[nn.Module, Any], object] | None = None
    #: Causes that the subject is excused from, each with the reason.
    waive: Mapping[str, str] = field(default_factory=dict, hash=False)


Subject = Format | Recipe


def kind_of(subject: Subject) -> Literal["format", "recipe"]:
    """`format` or `recipe`, as the records say it."""
    return "format" if isinstance(subject, Format) else "recipe"
