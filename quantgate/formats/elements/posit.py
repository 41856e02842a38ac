"""Posits: rounding on the encoding. Source: Standard for Posit Arithmetic (2022), sections 3 and 4.

A posit with `n` bits and two exponent bits spends `r` bits on the regime of `2**(4 * k)`, two on the exponent
and the remaining `f = n - 3 - r` on the fraction. Within a binade where `f >= 0` this is rounding to a fixed
step. Where `f < 0`, far from 1, exponent bits are rounded off and the grid is geometric; few elements lie
there, and they take the exact path over the integers. In 8 bits more of them do, and all are looked up.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from quantgate.formats.elements.lookup import Boundary, LookupTable
from quantgate.formats.elements.tensors import Table, code_dtype
from quantgate.formats.layout import Posit

_MAGNITUDE = 0x7FFFFFFF
_EXPONENT = 0x7F800000
#: Bits below the regime in a float32: two of the exponent field and the fraction.
_TAIL = 25


class PositKernel:
    """Rounds to and encodes one `Posit` grid."""

    lossless = False

    def __init__(self, layout: Posit) -> None:
        self.layout = layout
        self.largest = layout.largest
        self.dtype = code_dtype(layout.bits)
        self._addends = Table(self._build_addends)
        self._table = self._build_table() if layout.bits <= 8 else None

    def round(self, v: Tensor) -> Tensor:
        """The grid values nearest to float32 `v` on the encoding; NaN is kept. Leaves `v` alone."""
        if self._table is not None:
            return self._table.nearest(v)
        # Adding and subtracting 1.5 * 2**23 steps rounds to a multiple of the step, ties to even, and turns
        # -0 into 0. Taking 1 off the bits sends 0 to the NaN entry, whose addend is 0, and leaves powers of
        # two, which are on the grid, in the binade below.
        binade = (
            v.view(torch.int32)
            .bitwise_and(_MAGNITUDE)
            .sub_(1)
            .bitwise_and_(_EXPONENT)
            .bitwise_right_shift_(23)
        )
        addend = self._addends.on(v.device).index_select(0, binade.flatten()).view(v.shape)
        y = v.add(addend).sub_(addend)
        # The addend of the binades that this cannot round is NaN.
        if math.isnan(float(y.sum())):
            left = y.isnan()
            y[left] = self.decode(self.encode(v[left])).float()
        return y

    def _build_table(self) -> LookupTable:
        # One more bit gives the midpoints of the encoding: between the codes c and c + 1 lies 2 * c + 1. At 0
        # there is none, as no number rounds to 0.
        half = 1 << (self.layout.bits - 1)
        codes = list(range(1 - half, half))
        middles = PositKernel(Posit(self.layout.bits + 1)).decode(torch.tensor(codes) * 2 + 1).tolist()
        boundaries = [
            Boundary(0.0 if code in (-1, 0) else middle, tie_up=code % 2 == 1)
            for code, middle in zip(codes[:-1], middles, strict=False)
        ]
        return LookupTable(self.decode(torch.tensor(codes)).tolist(), boundaries)

    def _build_addends(self) -> Tensor:
        addends = [self._addend(field - 127) for field in range(255)]
        return torch.tensor([*addends, 0.0], dtype=torch.float32)

    def _addend(self, exponent: int) -> float:
        k = exponent >> 2
        fraction_bits = self.layout.bits - 3 - (k + 2 if k >= 0 else 1 - k)
        if fraction_bits >= 23:
            return 0.0
        # With 22 bits the sum would leave the addend's binade.
        if fraction_bits < 0 or fraction_bits == 22 or exponent == -127:
            return math.nan
        # With no fraction bit, the last bit of the code is the exponent's: an odd addend swaps the tie.
        odd = fraction_bits == 0 and exponent % 2 == 0
        return float((1.5 * 2.0**23 + odd) * 2.0 ** (exponent - fraction_bits))

    def encode(self, v: Tensor) -> Tensor:
        """Codes nearest to any float32 values, rounded here."""
        n = self.layout.bits
        magnitude = v.abs().clamp(1.0 / self.largest, self.largest)
        bits = magnitude.view(torch.int32).long() + (1 << 23)
        k = (bits >> _TAIL) - 32
        regime_length = torch.where(k >= 0, k + 2, 1 - k).clamp_(max=2 * n)
        regime = torch.where(k >= 0, (1 << (k.clamp(0, n) + 2)) - 2, 1)
        unrounded = (regime << _TAIL) | (bits & ((1 << _TAIL) - 1))
        cut = regime_length + _TAIL - (n - 1)
        kept = unrounded >> cut.clamp(min=0) << (-cut).clamp_(min=0)
        twice_rest = (unrounded & ((1 << cut.clamp(min=0)) - 1)) * 2
        unit = torch.where(cut > 0, 1 << cut.clamp(min=0), 1)
        kept += (twice_rest > unit) | ((twice_rest == unit) & (kept & 1).bool())
        codes = torch.where(v < 0, -kept, kept)
        codes = torch.where(v == 0, 0, torch.where(v.isnan(), 1 << (n - 1), codes))
        return (codes & ((1 << n) - 1)).to(self.dtype)

    def decode(self, codes: Tensor) -> Tensor:
        """float64 values of codes."""
        n = self.layout.bits
        pattern = codes.long() & ((1 << n) - 1)
        negative = pattern >> (n - 1) == 1
        body = torch.where(negative, (1 << n) - pattern, pattern) & ((1 << (n - 1)) - 1)
        ones = body >> (n - 2) == 1
        # The regime is the run of equal leading bits: clear it to zeros and look for the first 1.
        rest = torch.where(ones, ((1 << (n - 1)) - 1) ^ body, body)
        highest = torch.where(rest > 0, torch.frexp(rest.double()).exponent - 1, -1)
        run = n - 2 - highest
        k = torch.where(ones, run - 1, -run)
        # The tail is cut off at the right; the bits that are not there are 0.
        tail_length = highest.clamp(min=0)
        tail = (body & ((1 << tail_length) - 1)) << (n - tail_length)
        exponent = 4 * k + (tail >> (n - 2))
        fraction = (tail & ((1 << (n - 2)) - 1)).double() * 2.0 ** -(n - 2)
        values = (1.0 + fraction) * ((exponent + 1023) << 52).view(torch.float64)
        values = torch.where(negative, -values, values)
        values = torch.where(pattern == 0, 0.0, values)
        return torch.where(pattern == 1 << (n - 1), math.nan, values)

    def values(self) -> tuple[float, ...] | None:
        """Finite values, ascending."""
        if self.layout.bits > 16:
            return None
        values = self.decode(torch.arange(1 << self.layout.bits))
        return tuple(values[values.isfinite()].sort().values.tolist())
