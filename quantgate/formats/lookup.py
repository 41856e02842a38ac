"""Any small grid, by two table lookups.

The upper 16 bits of a float32 cut the number line into bins so narrow that each holds at most one boundary
between two codes. A table says, per bin, which code its start has and at which lower half the next one
begins: `(bins[upper] + lower) >> 16` carries exactly there.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import pairwise

import torch
from torch import Tensor

from quantgate.formats.layout import Codebook
from quantgate.formats.tensors import Table, code_dtype

_LOWER = 0xFFFF
_INFINITY = 0x7F800000


class CodebookKernel:
    """Rounds to and encodes one `Codebook` grid."""

    has_nan = False
    lossless = False

    def __init__(self, layout: Codebook) -> None:
        self.layout = layout
        self.largest = layout.largest
        self.dtype = code_dtype(layout.bits)
        up, down = self._steps()
        # Places number the codes as the magnitude grows: first those of positive numbers from 0 up and NaN,
        # then those of negative numbers from 0 down and NaN.
        codes = [code for _, code in up] + [code for _, code in down]
        self._bins = Table(lambda: torch.tensor(_bins(up, 0) + _bins(down, len(up)), dtype=torch.int32))
        self._codes = Table(lambda: torch.tensor([max(code, 0) for code in codes], dtype=self.dtype))
        values = [math.nan if code < 0 else layout.values[code] for code in codes]
        self._values = Table(lambda: torch.tensor(values, dtype=torch.float32))

    def round(self, v: Tensor) -> Tensor:
        """The table's entries nearest to float32 `v`; NaN is kept. Leaves `v` alone."""
        return self._values.on(v.device).index_select(0, self._places(v)).view(v.shape)

    def encode(self, v: Tensor) -> Tensor:
        """Codes nearest to float32 values."""
        return self._codes.on(v.device).index_select(0, self._places(v)).view(v.shape)

    def decode(self, codes: Tensor) -> Tensor:
        """float32 values of codes."""
        table = torch.tensor(self.layout.values, dtype=torch.float32, device=codes.device)
        return table[codes.long()]

    def values(self) -> tuple[float, ...]:
        """The table."""
        return self.layout.values

    def _places(self, v: Tensor) -> Tensor:
        bits = v.flatten().view(torch.int32)
        upper = bits.bitwise_right_shift(16).bitwise_and_(_LOWER)
        start = self._bins.on(v.device).index_select(0, upper)
        return start.add_(bits.bitwise_and(_LOWER)).bitwise_right_shift_(16)

    def _steps(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """For both signs: the magnitude bits from which on a code holds, ascending; -1 stands for NaN."""
        values = self.layout.values
        middles = [(a + b) / 2 for a, b in pairwise(values)]
        first_up = sum(middle < 0 for middle in middles)
        # The middle itself belongs to the lower code: on the way up it is the last magnitude of that code,
        # on the way down the first.
        up = [(0, first_up)] + [
            (_bits_above(middle), code + 1) for code, middle in enumerate(middles) if middle >= 0
        ]
        down = [(0, sum(middle < 0 for middle in middles))] + [
            (_bits_from(-middle), code) for code, middle in reversed(list(enumerate(middles))) if middle < 0
        ]
        return [*up, (_INFINITY + 1, -1)], [*down, (_INFINITY + 1, -1)]


def _bins(steps: list[tuple[int, int]], first_place: int) -> list[int]:
    """The table entries of one sign's 32768 bins."""
    starts = [bits for bits, _ in steps]
    entries = []
    for upper in range(1 << 15):
        low, high = upper << 16, upper << 16 | _LOWER
        place = bisect_right(starts, low) - 1
        beyond = bisect_right(starts, high) - 1
        if beyond > place + 1:
            raise ValueError(
                f"two boundaries of the codebook lie within the bin at 0x{low:08x}: it is too fine."
            )
        carry = (1 << 16) - (starts[beyond] & _LOWER) if beyond > place else 0
        entries.append((first_place + place << 16) + carry)
    return entries


def _float32_bits(value: float) -> int:
    return int(torch.tensor(value, dtype=torch.float32).view(torch.int32))


def _bits_from(value: float) -> int:
    """Bits of the smallest float32 that is at least `value` (>= 0)."""
    bits = _float32_bits(value)
    nearest = float(torch.tensor(value, dtype=torch.float32))
    return bits if nearest >= value else bits + 1


def _bits_above(value: float) -> int:
    """Bits of the smallest float32 above `value` (>= 0)."""
    bits = _float32_bits(value)
    nearest = float(torch.tensor(value, dtype=torch.float32))
    return bits if nearest > value else bits + 1
