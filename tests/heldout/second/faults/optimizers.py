"""Faults of low-bit optimizers: maps, scales, packing, corrections, masters, noise and state."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from quantgate.faults.setups import Fault, Setup
from quantgate.formats import BUILTIN
from quantgate.training.optimizers import ADAMW_LR, OptimizerSpec
from tests.heldout.second.low_bit import (
    CodedAdam,
    State,
    signed_codes,
    signed_values,
    stochastic_bf16,
    unsigned_codes,
    unsigned_values,
)


class Adam8Root(CodedAdam):
    """8-bit Adam in blocks of 64: codes of the square roots of both moments."""

    power = 2.0

    def keep_first(self, m: Tensor) -> Any:
        return signed_codes(m, 127, 2.0)

    def read_first(self, kept: tuple[Tensor, Tensor], p: Tensor) -> Tensor:
        return signed_values(*kept, 127, 2.0, p)

    def keep_second(self, v: Tensor) -> Any:
        return unsigned_codes(v, 255, self.power)

    def read_second(self, kept: tuple[Tensor, Tensor], p: Tensor) -> Tensor:
        return unsigned_values(*kept, 255, self.power, p)


class Adam8Linear(Adam8Root):
    """Bug: v itself is mapped linearly, to nearest: what is below 1/510 of its block's largest becomes 0."""

    power = 1.0


class Adam4Packed(Adam8Root):
    """4-bit first moment, two codes a byte, low nibble first."""

    swapped = False

    def keep_first(self, m: Tensor) -> Any:
        codes, largest = signed_codes(m, 7, 2.0, size=32)
        low, high = (codes[:, 0::2] + 8).to(torch.uint8), (codes[:, 1::2] + 8).to(torch.uint8)
        return low | (high << 4), largest

    def read_first(self, kept: tuple[Tensor, Tensor], p: Tensor) -> Tensor:
        packed, largest = kept
        pair = [(packed & 15).to(torch.int8) - 8, (packed >> 4).to(torch.int8) - 8]
        if self.swapped:
            pair.reverse()
        return signed_values(torch.stack(pair, 2).flatten(1), largest, 7, 2.0, p)


class Adam4NibblesSwapped(Adam4Packed):
    """Bug: unpacked high nibble first, so that neighbours trade their momentum at each step."""

    swapped = True


class Adam8ScaledBlocks(Adam8Root):
    """8-bit second moment whose block maxima are stored in float32."""

    def keep_second(self, v: Tensor) -> Any:
        codes, largest = super().keep_second(v)
        return codes, self.scale(largest)

    def scale(self, largest: Tensor) -> Tensor:
        """A block's largest as it is stored."""
        return largest


class Adam8ScalesInFp8(Adam8ScaledBlocks):
    """Bug: double quantization casts the maxima (1e-9) to E4M3 without a second scale: all of them are 0."""

    def scale(self, largest: Tensor) -> Tensor:
        return largest.clamp(max=448).to(torch.float8_e4m3fn).float()


class AdamBf16State(CodedAdam):
    """Moments in bfloat16, both bias corrections."""

    limit = float("inf")

    def keep_first(self, m: Tensor) -> Any:
        return m.bfloat16()

    def read_first(self, kept: Tensor, p: Tensor) -> Tensor:
        return kept.float()

    def keep_second(self, v: Tensor) -> Any:
        # The second moment moves by 0.1% a step, less than bfloat16's half step: it is rounded at random.
        return stochastic_bf16(v).bfloat16()

    def read_second(self, kept: Tensor, p: Tensor) -> Tensor:
        return kept.float()


class AdamBf16NoSecondCorrection(AdamBf16State):
    """Bug: the second moment's correction is missing: the first steps are 31 times too large."""

    def corrections(self, step: int, betas: tuple[float, float]) -> tuple[float, float]:
        return 1 - betas[0] ** step, 1.0


class AdamKahan(CodedAdam):
    """bfloat16 weights, with what rounding loses kept in a Kahan buffer (optimi, torchdistx)."""

    def write(self, p: Tensor, change: Tensor, state: State) -> None:
        rest = state.get("rest", torch.zeros_like(p))
        wanted = p + (change + rest)
        kept = wanted.bfloat16().float()
        state["rest"] = wanted - kept
        p.copy_(kept)


class AdamNoMaster(CodedAdam):
    """Bug: bfloat16 weights and nothing beside them: steps below half a unit in the last place vanish."""

    def write(self, p: Tensor, change: Tensor, state: State) -> None:
        p.copy_((p + change).bfloat16().float())


class AdamStochastic(CodedAdam):
    """bfloat16 weights, rounded at random at each write."""

    def write(self, p: Tensor, change: Tensor, state: State) -> None:
        p.copy_(stochastic_bf16(p + change))


class AdamStochasticReseeded(CodedAdam):
    """Bug: the generator is made anew with one seed at each write: each element draws the same number."""

    def write(self, p: Tensor, change: Tensor, state: State) -> None:
        generator = torch.Generator(p.device).manual_seed(1234)
        p.copy_(stochastic_bf16(p + change, generator))


class AdamKeyedByShape(Adam8Root):
    """Bug: state is looked up by shape (a pool of buffers), so tensors of one shape share their moments."""

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        super().__init__(params, lr)
        self.pool: dict[tuple[int, ...], State] = {}

    def state_of(self, p: Tensor) -> State:
        return self.pool.setdefault(tuple(p.shape), {})


def over(cls: Callable[..., Optimizer]) -> Callable[[nn.Module, float], Optimizer]:
    """A build that holds every parameter."""
    return lambda model, lr: cls(list(model.parameters()), lr)


def over_large(cls: Callable[..., Optimizer]) -> Callable[[nn.Module, float], Optimizer]:
    """A build that holds what has more than a third of the largest parameter's elements."""

    def build(model: nn.Module, lr: float) -> Optimizer:
        floor = max(p.numel() for p in model.parameters()) // 3
        return cls([p for p in model.parameters() if p.numel() > floor], lr)

    return build


def adam_setup(name: str, build: Callable[..., Any]) -> Setup:
    """An Adam-like optimizer on int8 weights."""
    return Setup(BUILTIN["int8"], optimizer=OptimizerSpec(name, build, ADAMW_LR, True, "adamw"))


_STATE = "optimizer-state"

_CASES: tuple[tuple[str, str, Callable[..., Any], Callable[..., Any], frozenset[str]], ...] = (
    ("adam8_linear_second_moment", _STATE, over(Adam8Linear), over(Adam8Root), frozenset()),
    ("adam4_nibbles_swapped", _STATE, over(Adam4NibblesSwapped), over(Adam4Packed), frozenset()),
    ("adam8_block_scales_in_fp8", _STATE, over(Adam8ScalesInFp8), over(Adam8ScaledBlocks), frozenset()),
    (
        "adam_bf16_without_second_correction",
        _STATE,
        over(AdamBf16NoSecondCorrection),
        over(AdamBf16State),
        frozenset(),
    ),
    (
        "adam_bf16_weights_without_master",
        "update-swallowed",
        over(AdamNoMaster),
        over(AdamKahan),
        frozenset(),
    ),
    (
        "adam_stochastic_write_reseeded",
        "rounding-not-random",
        over(AdamStochasticReseeded),
        over(AdamStochastic),
        frozenset({"update-swallowed"}),
    ),
    ("adam8_state_keyed_by_shape", _STATE, over(AdamKeyedByShape), over(Adam8Root), frozenset()),
    # Bug: tensors below the 8-bit threshold were meant for a second, float32 group, which is never made.
    (
        "adam8_small_tensors_dropped",
        "orphaned-parameter",
        over_large(Adam8Root),
        over(Adam8Root),
        frozenset(),
    ),
)

FAULTS = {
    name: Fault(name, cause, adam_setup(name, broken), adam_setup(f"{name}_right", right), also)
    for name, cause, broken, right, also in _CASES
}
