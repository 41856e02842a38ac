"""The protocol of element kernels, and the kernel of each kind of element."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from quantgate.formats.elements.integer import IntegerKernel
from quantgate.formats.elements.lookup import CodebookKernel
from quantgate.formats.elements.minifloat import MinifloatKernel
from quantgate.formats.elements.posit import PositKernel
from quantgate.formats.layout import Element, Integer, Minifloat, Posit


class ElementKernel(Protocol):
    """Rounds float32 values at scale 1 to an element's grid, encodes and decodes them."""

    largest: float
    lossless: bool
    dtype: torch.dtype

    def round(self, v: Tensor) -> Tensor:
        """Nearest grid values, saturating, NaN kept; a new tensor."""

    def encode(self, v: Tensor) -> Tensor:
        """Codes, of dtype `dtype`, of grid values."""

    def decode(self, codes: Tensor) -> Tensor:
        """Values of codes, float32 or float64."""

    def values(self) -> tuple[float, ...] | None:
        """Finite grid values, ascending; None above 16 bits."""


def element_kernel(element: Element) -> ElementKernel:
    """The kernel that runs an element."""
    if isinstance(element, Minifloat):
        return MinifloatKernel(element)
    if isinstance(element, Integer):
        return IntegerKernel(element)
    if isinstance(element, Posit):
        return PositKernel(element)
    return CodebookKernel(element)
