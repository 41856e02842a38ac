"""The negative controls: three deliberately broken formats, which every run trains to prove that it can fail."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from quantgate.formats import BUILTIN, Format
from quantgate.records.cell import DEFAULT_WIDTH, NEGATIVE_WIDTH, Cell
from quantgate.subjects.codecs import FunctionCodec
from quantgate.training.fakequant import Quantizer, straight_through


class _Int8WithGradientTimes(torch.autograd.Function):
    """int8 forward; backward multiplies the straight-through gradient by a factor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return BUILTIN["int8"].fake_quantize(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.factor, None


def _int8_with_gradient_times(factor: float) -> Quantizer:
    def quantize(x: Tensor) -> Tensor:
        q: Tensor = _Int8WithGradientTimes.apply(x, factor)  # type: ignore[no-untyped-call]
        return q

    return quantize


#: A dead body, a zero gradient, a negated gradient.
NEGATIVE_CONTROLS: Mapping[str, Format] = MappingProxyType(
    {
        name: Format(name, FunctionCodec(quantize), bits=8)
        for name, quantize in (
            ("dead-body", straight_through(torch.zeros_like)),
            ("zero-gradient", _int8_with_gradient_times(0.0)),
            ("negated-gradient", _int8_with_gradient_times(-1.0)),
        )
    }
)


def negative_controls(cells: Sequence[Cell], unlearned: Collection[Cell] = ()) -> tuple[Cell, ...]:
    """The negative controls of a run: under the optimizer and seed of its first cell of the default width.

    Args:
        cells: Of the run, in its order.
        unlearned: Controls that are known not to learn. A format that fails beside them proves nothing, so another
            control is taken, unless none is left.
    """
    controls = [cell.control for cell in cells if cell.control not in unlearned]
    if not controls:
        return ()
    first = min(controls, key=lambda control: abs(control.width - DEFAULT_WIDTH))
    broken = replace(first, kind="negative-control", width=NEGATIVE_WIDTH)
    return tuple(replace(broken, subject=name) for name in NEGATIVE_CONTROLS)
