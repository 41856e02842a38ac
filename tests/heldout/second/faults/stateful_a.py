"""Faults of stateful factories, first half: observers, averages, delayed scaling, calibration, warm-up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from quantgate.faults.setups import Fault, Setup
from quantgate.formats import Format
from quantgate.subjects.codecs import FunctionCodec
from tests.heldout.second.ops import (
    grad_scale,
    grid,
    minifloat,
    nearest,
    row_scale,
    safe,
    signed_table,
    ste,
    tensor_scale,
)


def e4m3(x: Tensor) -> Tensor:
    """Values on the E4M3 grid, saturated."""
    return x.clamp(-448, 448).to(torch.float8_e4m3fn).float()


class AverageRange:
    """Int8 with an exponential average of the largest value, from 0 on, corrected as Adam's moments are.

    Bug: without the correction the range starts at a hundredth of the largest and takes hundreds of steps.
    """

    def __init__(self, corrected: bool) -> None:
        self.corrected = corrected
        self.average = torch.zeros(())
        self.calls = 0

    def __call__(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.average = 0.99 * self.average.to(x.device) + 0.01 * x.detach().float().abs().amax()
        largest = self.average / (1 - 0.99**self.calls) if self.corrected else self.average
        return ste(x, grid(x, safe(largest / 127), 127))


class DelayedScale:
    """FP8 E4M3 with delayed scaling: the largest of the last 8 calls.

    Bug: `roll` returns a copy that is dropped, and the new maximum is written only while the slot is empty.
    """

    def __init__(self, stuck: bool) -> None:
        self.stuck = stuck
        self.history = torch.zeros(8)

    def __call__(self, x: Tensor) -> Tensor:
        now = x.detach().float().abs().amax().cpu()
        if not self.stuck:
            self.history = self.history.roll(1)
            self.history[0] = now
        elif self.history[0] == 0:
            self.history.roll(1)
            self.history[0] = now
        s = safe(self.history.amax() / 448).to(x.device)
        return ste(x, e4m3(x.detach().float() / s) * s)


class ScaleAndInverse:
    """FP4 E2M1 whose scale and inverse are kept apart, as kernels want them.

    Bug: the inverse is refreshed after it was read: a tensor gets the one of the call before, 1 at first.
    """

    def __init__(self, late: bool) -> None:
        self.late = late
        self.inverse = torch.ones(())
        self.table = signed_table(minifloat(2, 1, 1))

    def __call__(self, x: Tensor) -> Tensor:
        s = tensor_scale(x, 6)
        inverse = self.inverse.to(x.device) if self.late else s
        table = self.table.to(x.device)
        q = table[nearest(x.detach().float() / s, table)] * inverse
        self.inverse = s
        return ste(x, q)


class Calibrating:
    """Int4 per row behind a calibration phase, whose ranges are reported.

    Bug: nothing ends the phase, in which x passes unchanged.
    """

    def __init__(self, ends: bool) -> None:
        self.ends = ends
        self.calibrating = True
        self.largest: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        if self.calibrating:
            now = x.detach().float().abs().amax(-1, keepdim=True)
            fits = self.largest is not None and self.largest.shape == now.shape
            self.largest = torch.maximum(now, self.largest) if fits else now  # type: ignore[arg-type]
            if not self.ends:
                return x * 1.0
        return ste(x, grid(x, row_scale(x, 7), 7))


class GradientWarmUp:
    """Int6 whose straight-through gradient is ramped up.

    Bug: the ramp counts in tokens and is stepped once a call: after 100 steps the gradient is still 1% of it.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self.calls = 0

    def __call__(self, x: Tensor) -> Tensor:
        self.calls += 1
        q = ste(x, grid(x, tensor_scale(x, 31), 31))
        return grad_scale(q, min(1.0, self.calls / self.length))


class OwnPeak:
    """Int8 with a running maximum of its own, which decays by 1% a call."""

    def __init__(self) -> None:
        self.peak: list[Tensor] = []

    def __call__(self, x: Tensor) -> Tensor:
        now = x.detach().float().abs().amax()
        self.peak[:] = [torch.maximum(now, 0.99 * self.peak[0].to(x.device)) if self.peak else now]
        return ste(x, grid(x, safe(self.peak[0] / 127), 127))


class SharedPeak(OwnPeak):
    """Bug: the list is an attribute of the class: all weights, and every later run, share one maximum."""

    peak: ClassVar[list[Tensor]] = []  # type: ignore[misc]

    def __init__(self) -> None:
        pass


class RowsByNorm(nn.Module):
    """Incremental quantization, 4 bits: the rows with the largest norms first, more with each phase.

    Bug: the schedule was never stepped beyond its first phase, so half of the rows stay float32.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        q = grid(x, row_scale(x, 7), 7)
        norms = x.detach().float().norm(dim=-1, keepdim=True)
        line = torch.quantile(norms.flatten(), 1 - self.share)
        return ste(x, torch.where(norms >= line, q, x.detach().float()))


def stateful(
    name: str,
    cause: str,
    bits: float,
    broken: Callable[[], Any],
    right: Callable[[], Any],
    also: frozenset[str] = frozenset(),
) -> Fault:
    """A fault of a factory."""
    return Fault(
        name,
        cause,
        Setup(Format(name, FunctionCodec(factory=broken), bits)),
        Setup(Format(f"{name}_right", FunctionCodec(factory=right), bits)),
        also,
    )


_CASES = (
    stateful(
        "average_range_uncorrected", "scale-stale", 8, lambda: AverageRange(False), lambda: AverageRange(True)
    ),
    stateful(
        "delayed_scale_history_stuck",
        "scale-stale",
        8,
        lambda: DelayedScale(True),
        lambda: DelayedScale(False),
    ),
    stateful(
        "inverse_scale_one_call_late",
        "not-dequantized",
        4,
        lambda: ScaleAndInverse(True),
        lambda: ScaleAndInverse(False),
    ),
    stateful("calibration_never_ends", "no-op", 4, lambda: Calibrating(False), lambda: Calibrating(True)),
    stateful(
        "gradient_warm_up_too_long",
        "gradient-misscaled",
        6,
        lambda: GradientWarmUp(10_000),
        lambda: GradientWarmUp(1),
    ),
    stateful("peak_shared_by_class", "not-reproducible", 8, SharedPeak, OwnPeak, frozenset({"scale-stale"})),
    stateful(
        "incremental_phase_stuck_at_half",
        "partly-applied",
        4,
        lambda: RowsByNorm(0.5),
        lambda: RowsByNorm(1.0),
    ),
)

FAULTS = {fault.name: fault for fault in _CASES}
