"""Any small grid, by two table lookups.

The upper 16 bits of a float32 cut the number line into bins so narrow that each holds at most one boundary
between two codes. A table says, per bin, which code its start has and at which lower half the next one
begins: `(bins[upper] + lower) >> 16` carries exactly there.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from quantgate.formats.elements.tensors import Table, code_dtype
from quantgate.formats.layout import Codebook

_LOWER = 0xFFFF
_INFINITY = 0x7F800000


@dataclass(frozen=True)
class Boundary:
    """What separates a grid value from the next one up."""

    at: float
    #: Whether `at` itself belongs to the upper value.
    tie_up: bool

    def passed_by(self, value: float) -> bool:
        """Whether `value` belongs to the upper value."""
        return value > self.at or (value == self.at and self.tie_up)


class LookupTable:
    """Nearest grid values by lookup.

    Args:
        values: The grid, ascending.
        boundaries: The `len(values) - 1` boundaries between neighbours.
    """

    def __init__(self, values: Sequence[float], boundaries: Sequence[Boundary]) -> None:
        # Places number the codes as the magnitude grows: first those of positive numbers from 0 up and NaN,
        # then those of negative numbers from 0 down and NaN.
        zero = sum(boundary.passed_by(0.0) for boundary in boundaries)
        up = [
            (0, zero),
            *((_first_above(b.at, b.tie_up), i + 1) for i, b in enumerate(boundaries) if i >= zero),
        ]
        down = [
            (0, zero),
            *((_first_above(abs(b.at), not b.tie_up), i) for i, b in enumerate(boundaries) if i < zero),
        ]
        down[1:] = down[:0:-1]
        indices = [index for _, index in [*up, (0, -1), *down, (0, -1)]]
        self._bins = Table(lambda: torch.tensor(_bins(up, 0) + _bins(down, len(up) + 1), dtype=torch.int32))
        self._indices = Table(lambda: torch.tensor([max(index, 0) for index in indices], dtype=torch.int32))
        nearest = [math.nan if index < 0 else values[index] for index in indices]
        self._values = Table(lambda: torch.tensor(nearest, dtype=torch.float32))

    def nearest(self, v: Tensor) -> Tensor:
        """The grid values nearest to float32 `v`; NaN is kept."""
        return self._values.on(v.device).index_select(0, self._places(v)).view(v.shape)

    def index(self, v: Tensor) -> Tensor:
        """int32 positions on the grid of the values nearest to float32 `v`; 0 for NaN."""
        return self._indices.on(v.device).index_select(0, self._places(v)).view(v.shape)

    def _places(self, v: Tensor) -> Tensor:
        bits = v.flatten().view(torch.int32)
        upper = bits.bitwise_right_shift(16).bitwise_and_(_LOWER)
        start = self._bins.on(v.device).index_select(0, upper)
        return start.add_(bits.bitwise_and(_LOWER)).bitwise_right_shift_(16)


class CodebookKernel:
    """Rounds to and encodes one `Codebook` grid."""

    lossless = False

    def __init__(self, layout: Codebook) -> None:
        self.layout = layout
        self.largest = layout.largest
        self.dtype = code_dtype(layout.bits)
        middles = [Boundary((a + b) / 2, tie_up=False) for a, b in pairwise(layout.values)]
        self._table = LookupTable(layout.values, middles)
        self._values = Table(lambda: torch.tensor(layout.values, dtype=torch.float32))

    def round(self, v: Tensor) -> Tensor:
        """The table's entries nearest to float32 `v`; NaN is kept. Leaves `v` alone."""
        return self._table.nearest(v)

    def encode(self, v: Tensor) -> Tensor:
        """Codes nearest to float32 values."""
        return self._table.index(v).to(self.dtype)

    def decode(self, codes: Tensor) -> Tensor:
        """float32 values of codes.

        Raises:
            ValueError: a code is beyond the table.
        """
        if codes.numel() and int(codes.max()) >= len(self.layout.values):
            raise ValueError(
                f"code {int(codes.max())} is beyond a codebook of {len(self.layout.values)} values: "
                f"the codes are packed or of another format."
            )
        return self._values.on(codes.device)[codes.long()]

    def values(self) -> tuple[float, ...]:
        """The table."""
        return self.layout.values


def _bins(steps: list[tuple[int, int]], first_place: int) -> list[int]:
    """The entries of one sign's 32768 bins; `steps` holds the magnitude bits from which on a code holds."""
    starts = [bits for bits, _ in steps] + [_INFINITY + 1]
    entries = []
    for upper in range(1 << 15):
        low, high = upper << 16, upper << 16 | _LOWER
        place = bisect_right(starts, low) - 1
        beyond = bisect_right(starts, high) - 1
        if beyond > place + 1:
            raise ValueError(
                f"two boundaries lie within the bin at float32 bits 0x{low:08x}: the grid is too fine."
            )
        carry = (1 << 16) - (starts[beyond] & _LOWER) if beyond > place else 0
        entries.append(((first_place + place) << 16) + carry)
    return entries


def _first_above(value: float, inclusive: bool) -> int:
    """Bits of the smallest float32 above `value` (>= 0), or at least `value`."""
    nearest = torch.tensor(value, dtype=torch.float32)
    bits = int(nearest.view(torch.int32))
    reached = float(nearest) >= value if inclusive else float(nearest) > value
    return bits if reached else bits + 1
