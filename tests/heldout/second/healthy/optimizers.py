"""Unusual but right low-bit optimizers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from quantgate.faults.setups import Setup
from quantgate.formats import BUILTIN
from quantgate.training.optimizers import ADAMW_LR, OPTIMIZERS, OptimizerSpec
from tests.heldout.second.faults.optimizers import adam_setup, over
from tests.heldout.second.low_bit import CodedAdam, State, signed_codes, signed_values, stochastic_bf16
from tests.heldout.second.ops import from_blocks, into_blocks, safe


class AdamLogSecond(CodedAdam):
    """8-bit second moment in blocks of 128 as its logarithm, no code for 0; the first by roots."""

    def keep_first(self, m: Tensor) -> Any:
        return signed_codes(m, 127, 2.0, size=128)

    def read_first(self, kept: tuple[Tensor, Tensor], p: Tensor) -> Tensor:
        return signed_values(*kept, 127, 2.0, p)

    def keep_second(self, v: Tensor) -> Any:
        blocks = into_blocks(v, 128)
        largest = safe(blocks.amax(1, keepdim=True))
        # 255 codes over 2^-32 to 1; rounded at random, since v moves by less than a code a step.
        x = 255 + 255 / 32 * (blocks / largest).clamp_min(2.0**-32).log2()
        codes = (x + torch.rand_like(x)).floor().clamp(0, 255).to(torch.uint8)
        return codes, largest

    def read_second(self, kept: tuple[Tensor, Tensor], p: Tensor) -> Tensor:
        codes, largest = kept
        return from_blocks(torch.exp2((codes.float() - 255) * 32 / 255) * largest, p).float()


class AdamSplitMaster(CodedAdam):
    """A bfloat16 weight and the 16 bits that it lacks, kept apart: together the float32 master."""

    def write(self, p: Tensor, change: Tensor, state: State) -> None:
        bits = (p + change).contiguous().view(torch.int32)
        high, low = bits & -65536, bits & 65535
        state["high"], state["low"] = high, low.to(torch.int32)
        p.copy_((state["high"] | state["low"]).view(torch.float32))


class Adam4First(CodedAdam):
    """4-bit first moment in blocks of 32, signed roots, beside a bfloat16 second one rounded at random."""

    def keep_first(self, m: Tensor) -> Any:
        return signed_codes(m, 7, 2.0, size=32)

    def read_first(self, kept: tuple[Tensor, Tensor], p: Tensor) -> Tensor:
        return signed_values(*kept, 7, 2.0, p)

    def keep_second(self, v: Tensor) -> Any:
        return stochastic_bf16(v).bfloat16()

    def read_second(self, kept: Tensor, p: Tensor) -> Tensor:
        return kept.float()


class MomentumOptimizer(Optimizer):
    """What has one moment, kept in codes."""

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        super().__init__(params, {"lr": lr})

    def moved(self, p: Tensor, g: Tensor, state: State, lr: float) -> None:
        """One step of one parameter."""
        raise NotImplementedError

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.moved(p, p.grad.float(), self.state[p], group["lr"])
        return loss


class Lion8(MomentumOptimizer):
    """Lion with an 8-bit momentum by blocks of 64."""

    def moved(self, p: Tensor, g: Tensor, state: State, lr: float) -> None:
        m = signed_values(*state["m"], 127, 2.0, p) if state else torch.zeros_like(g)  # type: ignore[call-arg]
        p.add_((0.9 * m + 0.1 * g).sign(), alpha=-lr)
        state["m"] = signed_codes(0.99 * m + 0.01 * g, 127, 2.0)


class SgdFp8(MomentumOptimizer):
    """SGD with an E4M3 momentum, a scale a tensor; what that loses is carried to the next step."""

    def moved(self, p: Tensor, g: Tensor, state: State, lr: float) -> None:
        m = 0.9 * state["m"].float() * state["scale"] + g + state["rest"].float() if state else g
        p.add_(m, alpha=-lr)
        state["scale"] = safe(m.abs().amax() / 448)
        state["m"] = (m / state["scale"]).clamp(-448, 448).to(torch.float8_e4m3fn)
        state["rest"] = (0.9 * (m - state["m"].float() * state["scale"])).bfloat16()


def _spec(name: str, cls: Callable[..., Optimizer], lr: float, per_width: bool, reference: str) -> Setup:
    return Setup(BUILTIN["int8"], optimizer=OptimizerSpec(name, over(cls), lr, per_width, reference))


HEALTHY = {
    "adam8_logarithmic_second_moment": adam_setup("adam8_logarithmic_second_moment", over(AdamLogSecond)),
    "adam_split_master": Setup(
        BUILTIN["bf16"],
        optimizer=OptimizerSpec("adam_split_master", over(AdamSplitMaster), ADAMW_LR, True, "adamw"),
    ),
    "adam4_first_moment": adam_setup("adam4_first_moment", over(Adam4First)),
    "lion8_blocks": _spec("lion8_blocks", Lion8, OPTIMIZERS["lion"].lr, True, "lion"),
    "sgd_fp8_momentum": _spec("sgd_fp8_momentum", SgdFp8, OPTIMIZERS["sgd"].lr, False, "sgd"),
}
