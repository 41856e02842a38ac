"""Formats that are broken on purpose. Three of them are in every run, to prove that the gate can fail."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from quantgate.formats import Format
from quantgate.registry import FunctionCodec

if TYPE_CHECKING:
    from torch import Tensor


def dead_body(x: Tensor) -> Tensor:
    """Every value is 0, the gradient passes: the model's score is log2(128) = 7 to the last bit."""
    return x - x.detach()


def zero_gradient(x: Tensor) -> Tensor:
    """int8 in front, no gradient behind: the curve stays where it starts."""
    scale = x.detach().abs().amax().clamp(min=1e-30) / 127
    return (x / scale).round().mul(scale) + 0 * x


def negated_gradient(x: Tensor) -> Tensor:
    """int8 in front, the straight-through gradient with its sign flipped behind."""
    scale = x.detach().abs().amax().clamp(min=1e-30) / 127
    quantized = (x.detach() / scale).round() * scale
    return quantized - (x - x.detach())


def _format(name: str, function: object) -> Format:
    return Format(name=name, codec=FunctionCodec(function), bits=8)  # type: ignore[arg-type]


#: The negative controls by name.
NEGATIVE_CONTROLS: Mapping[str, Format] = MappingProxyType(
    {
        "dead-body": _format("dead-body", dead_body),
        "zero-gradient": _format("zero-gradient", zero_gradient),
        "negated-gradient": _format("negated-gradient", negated_gradient),
    }
)
