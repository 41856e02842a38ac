"""Scales that are stale, zero, or overflow."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from quantgate.faults import Fault
from tests.heldout.faults.entries import made, pair
from tests.heldout.faults.grids import uint4_rows
from tests.heldout.parts import TINY, Grid, amax, element, groups, ste


class _Percentile(nn.Module):
    """int4 clipped at the 99th percentile, which is looked up once if it is frozen."""

    def __init__(self, frozen: bool) -> None:
        super().__init__()
        self.frozen = frozen
        self.clip: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.clip is None or not self.frozen:
            self.clip = torch.quantile(x.detach().abs().flatten(), 0.99).clamp(min=TINY)
        return ste(self._grid)(x)

    def _grid(self, x: Tensor) -> Tensor:
        assert self.clip is not None
        return (x * 7 / self.clip).round().clamp(-7, 7) * self.clip / 7


class _AmaxHistory(nn.Module):
    """Delayed scaling: e4m3 by the largest amax of the last calls; the cursor has to move on."""

    history: Tensor

    def __init__(self, advances: bool, length: int = 8) -> None:
        super().__init__()
        self.register_buffer("history", torch.zeros(length), persistent=False)
        self.cursor, self.advances, self.filled = 0, advances, False

    def forward(self, x: Tensor) -> Tensor:
        found = x.detach().abs().amax()
        if not self.filled:
            self.history = found.repeat(len(self.history))
            self.filled = True
        top = self.history[1:].amax().clamp(min=TINY)
        self.history[self.cursor] = found
        if self.advances:
            self.cursor = (self.cursor + 1) % len(self.history)
        return ste(lambda v: element("fp8_e4m3")((v * 448 / top).clamp(-448, 448)) * top / 448)(x)


class _Observer(nn.Module):
    """int6 by the largest magnitude seen; the observer is switched off after some calls."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.left = calls
        self.top: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.left > 0 or self.top is None:
            self.top = amax(x.detach())
            self.left -= 1
        scale = self.top / 31
        return ste(lambda v: (v / scale).round().clamp(-31, 31) * scale)(x)


def _int8_blocks(of: Callable[[Tensor], Tensor]) -> Grid:
    """int8 in blocks of 32, by a power of two above the magnitude that is asked for."""

    def grid(x: Tensor) -> Tensor:
        scale = 2.0 ** torch.ceil(torch.log2(of(x).clamp(min=TINY))) / 127
        return (x / scale).round().clamp(-127, 127) * scale

    return groups(32, grid)


def _twn(guarded: bool) -> Grid:
    """Ternary weight networks: the scale is the mean of what is above 0.7 mean |x|."""

    def grid(x: Tensor) -> Tensor:
        kept = x.abs() > 0.7 * x.abs().mean()
        count = kept.sum()
        scale = (x.abs() * kept).sum() / (count.clamp(min=1) if guarded else count)
        return x.sign() * kept * scale

    return grid


def _mxfp4_blocks(guarded: bool) -> Grid:
    def grid(x: Tensor) -> Tensor:
        top = x.abs().amax(-1, keepdim=True)
        exponent = torch.floor(torch.log2(top.clamp(min=TINY) if guarded else top)) - 2
        scale = 2.0**exponent
        return element("fp4_e2m1")(x / scale) * scale

    return groups(32, grid)


def _uint4_unguarded(x: Tensor) -> Tensor:
    low, high = x.amin(-1, keepdim=True), x.amax(-1, keepdim=True)
    scale = (high - low) / 15
    return ((x - low) / scale).round().clamp(0, 15) * scale + low


def _fp8_cast(target: float) -> Grid:
    """Casts to e5m2, whose largest value is 57344, with amax at `target`."""

    def grid(x: Tensor) -> Tensor:
        scale = amax(x) / target
        return (x / scale).to(torch.float8_e5m2).to(x.dtype) * scale

    return grid


def faults() -> Iterator[Fault]:
    """The faults of this class."""
    cause = "scale-stale"
    yield made(cause, "int4_percentile_frozen", lambda: _Percentile(True), lambda: _Percentile(False), 4)
    yield made(cause, "fp8_history_not_advanced", lambda: _AmaxHistory(False), lambda: _AmaxHistory(True), 8)
    yield made(cause, "int6_observer_off_after_two", lambda: _Observer(2), lambda: _Observer(10**9), 6)
    yield pair(
        cause,
        "int8_block_scale_of_first_element",
        ste(_int8_blocks(lambda x: x[..., :1].abs())),
        ste(_int8_blocks(lambda x: x.abs().amax(-1, keepdim=True))),
        8,
    )

    cause = "scale-zero"
    yield pair(cause, "ternary_mean_of_nothing", ste(_twn(False)), ste(_twn(True)), 1.58)
    yield pair(cause, "mxfp4_log2_of_zero", ste(_mxfp4_blocks(False)), ste(_mxfp4_blocks(True)), 4)
    yield pair(cause, "uint4_constant_row", ste(_uint4_unguarded), ste(uint4_rows), 4)

    yield pair("non-finite", "fp8_e5m2_cast_overflows", ste(_fp8_cast(65536.0)), ste(_fp8_cast(57344.0)), 8)
