"""Minifloats: step rounding, and codes from values and back. Source: IEEE 754-2019, section 3.4."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from quantgate.formats.elements.tensors import code_dtype
from quantgate.formats.elements.wide import pack_256, unpack_256
from quantgate.formats.layout import Minifloat

_FLOAT32_EXPONENT = 0x7F800000
_FLOAT64_EXPONENT = 0x7FF << 52


class MinifloatKernel:
    """Rounds to and encodes one `Minifloat` grid."""

    def __init__(self, layout: Minifloat) -> None:
        self.layout = layout
        self.largest = layout.largest
        self.lossless = layout.holds_float32
        self.dtype = torch.uint8 if layout.bits == 256 else code_dtype(layout.bits)
        # Steps below the smallest float32 are never needed.
        self._lowest = 2.0 ** max(layout.smallest_exponent, -149)
        self._highest = max(self._lowest, 2.0 ** math.floor(math.log2(self.largest)))
        self._fraction = 2.0**-layout.fraction_bits
        # torch's casts round to even too and are a single pass.
        native = {(5, 10): torch.float16, (8, 7): torch.bfloat16}
        self._native = native.get((layout.exponent_bits, layout.fraction_bits))

    def round(self, v: Tensor) -> Tensor:
        """The grid values nearest to float32 `v`, saturating; NaN and -0 are kept. Leaves `v` alone."""
        if self.lossless:
            return self._round_float64(v) if v.dtype is torch.float64 else v.clone()
        if self._native is not None:
            return v.clamp(-self.largest, self.largest).to(self._native).float()
        if self.layout.exponent_bits >= 8:
            d = v.clamp(-self.largest, self.largest).double()
            exponent = d.view(torch.int64).bitwise_and(_FLOAT64_EXPONENT).view(torch.float64)
            step = exponent.clamp_(self._lowest, self._highest).mul_(self._fraction)
            return d.div_(step).round_().mul_(step).clamp_(-self.largest, self.largest).float()
        exponent = v.view(torch.int32).bitwise_and(_FLOAT32_EXPONENT).view(torch.float32)
        step = exponent.clamp_(self._lowest, self._highest).mul_(self._fraction)
        return v.div(step).round_().mul_(step).clamp_(-self.largest, self.largest)

    def _round_float64(self, v: Tensor) -> Tensor:
        digits = self.layout.fraction_bits + 1
        if digits >= 53:
            return v.clone()
        # frexp normalizes subnormals, which formats with a wider exponent than float64's hold in full.
        fraction, exponent = torch.frexp(v)
        rounded = _times_power((fraction * 2.0**digits).round_(), exponent.long() - digits)
        return torch.where(v.isfinite(), rounded, v)

    def encode(self, v: Tensor) -> Tensor:
        """Codes of grid values (`round`'s result, or NaN if the format has one)."""
        if self.layout.bits == 256:
            return pack_256(v)
        e, m = self.layout.exponent_bits, self.layout.fraction_bits
        finite = torch.where(v.isfinite(), v, 0.0).double()
        exponent = torch.frexp(finite.abs()).exponent.long().sub_(1).clamp_(min=self.layout.smallest_exponent)
        exponent = torch.where(finite == 0, self.layout.smallest_exponent, exponent)
        # The leading 1 of a normal significand carries into the exponent field, a subnormal has none.
        significand = _times_power(finite.abs(), m - exponent).long()
        codes = ((exponent - self.layout.smallest_exponent) << m) + significand
        if self.layout.specials == "ieee":
            codes = torch.where(v.isinf(), self.layout.largest_code + 1, codes)
        if self.layout.nan_code is not None:
            codes = torch.where(v.isnan(), self.layout.nan_code, codes)
        negative = v.signbit() & ~v.isnan()
        return (codes | (negative.long() << (e + m))).to(self.dtype)

    def decode(self, codes: Tensor) -> Tensor:
        """float64 values of codes."""
        if self.layout.bits == 256:
            return unpack_256(codes)
        e, m = self.layout.exponent_bits, self.layout.fraction_bits
        magnitude = codes.long() & ((1 << (e + m)) - 1)
        field = magnitude >> m
        significand = (magnitude & ((1 << m) - 1)) + ((field > 0).long() << m)
        exponent = field.clamp(min=1) - 1 + self.layout.smallest_exponent
        values = _times_power(significand.double(), exponent - m)
        top = self.layout.largest_code + 1
        if self.layout.specials == "ieee":
            values = torch.where(magnitude == top, math.inf, values)
            values = torch.where(magnitude > top, math.nan, values)
        elif self.layout.specials == "fn":
            values = torch.where(magnitude == top, math.nan, values)
        negative = (codes.long() >> (e + m)) & 1
        return torch.where(negative.bool(), -values, values)

    def values(self) -> tuple[float, ...] | None:
        """Finite values, ascending, 0 once."""
        if self.layout.bits > 16:
            return None
        codes = torch.arange(1 << self.layout.bits).to(self.dtype)
        values = self.decode(codes)
        return tuple(sorted(set(values[values.isfinite()].tolist())))


def _times_power(x: Tensor, exponent: Tensor) -> Tensor:
    """float64 `x * 2**exponent`, rounded once: neither half of the power over- or underflows."""
    exponent = exponent.clamp(-2040, 2040)
    half = exponent >> 1
    first = ((half + 1023) << 52).view(torch.float64)
    second = ((exponent - half + 1023) << 52).view(torch.float64)
    return x * first * second
