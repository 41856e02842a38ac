"""Symmetric integers, ties to even, clamped."""

from __future__ import annotations

import torch
from torch import Tensor

from quantgate.formats.layout import Integer


class IntegerKernel:
    """Rounds to and encodes one symmetric `Integer` grid."""

    lossless = False

    def __init__(self, layout: Integer) -> None:
        self.layout = layout
        self.largest = layout.largest
        self.dtype = torch.int8 if layout.bits <= 8 else torch.int16

    def round(self, v: Tensor) -> Tensor:
        """The grid values nearest to float32 `v`, clamped; NaN is kept. Leaves `v` alone."""
        step = self.layout.step
        y = v.round() if step == 1.0 else v.mul(1.0 / step).round_()
        # Adding 0 turns -0, which integers do not have, into 0.
        y.clamp_(self.layout.qmin, self.layout.qmax).add_(0.0)
        return y if step == 1.0 else y.mul_(step)

    def encode(self, v: Tensor) -> Tensor:
        """Codes of grid values."""
        return (v / self.layout.step).to(self.dtype)

    def decode(self, codes: Tensor) -> Tensor:
        """float32 values of codes."""
        return codes.float() * self.layout.step

    def values(self) -> tuple[float, ...]:
        """The grid, ascending."""
        return tuple(code * self.layout.step for code in range(self.layout.qmin, self.layout.qmax + 1))
