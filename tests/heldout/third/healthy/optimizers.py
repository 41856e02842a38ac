"""Right low-bit optimizers: 4- and 8-bit state, weights in bfloat16, one second moment a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from quantgate.faults.setups import Setup
from quantgate.formats import BUILTIN
from quantgate.training.optimizers import ADAMW_LR, OptimizerSpec
from tests.heldout.third.lowbit import (
    Pack,
    StoredAdam,
    StoredMomentum,
    Unpack,
    blocks_of,
    dynamic_map,
    mapped,
    unblocked,
)

Make = Callable[[nn.Module, float], torch.optim.Optimizer]


def _setup(name: str, make: Make, lr: float, per_width: bool, reference: str | None) -> Setup:
    return Setup(BUILTIN["int8"], optimizer=OptimizerSpec(name, make, lr, per_width, reference))


def _adam(name: str, reference: str | None = "adamw", **options: Any) -> Setup:
    return _setup(name, lambda m, lr: StoredAdam(m.parameters(), lr, **options), ADAMW_LR, True, reference)


def _random_bf16(x: Tensor) -> Tensor:
    """Stochastic rounding to bfloat16: noise in the sixteen bits that are cut off."""
    bits = x.contiguous().view(torch.int32) + torch.randint(
        0, 1 << 16, x.shape, dtype=torch.int32, device=x.device
    )
    return (bits & -65536).view(torch.float32).bfloat16()


def _random_weights(state: dict[str, Any], p: Tensor, update: Tensor) -> None:
    """Weights on the bfloat16 grid; what is less than a step moves them now and then."""
    p.copy_(_random_bf16(p + update).float())


def _factored() -> tuple[Pack, Unpack]:
    """Rank one of 4-bit Adam: the lesser of the row's and the column's largest, times a 4-bit root of the rest."""

    def pack(state: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        rows, columns = state.amax(1, keepdim=True), state.amax(0, keepdim=True)
        scale = torch.minimum(rows, columns).clamp(min=1e-30)
        # no code for 0: a second moment that is rounded down to it divides by eps
        root = (state / scale).sqrt() * 16
        codes = torch.floor(root + torch.rand_like(root)).clamp(1, 16) - 1
        return codes.to(torch.uint8), scale

    def unpack(packed: tuple[Tensor, Tensor], like: Tensor) -> Tensor:
        return ((packed[0] + 1) / 16).square() * packed[1]

    return pack, unpack


_FIFTEEN = torch.tensor(
    [-1.0, -0.75, -0.5, -0.325, -0.2, -0.1, -0.03, 0.0, 0.03, 0.1, 0.2, 0.325, 0.5, 0.75, 1.0]
)


def _random_table(size: int) -> tuple[Pack, Unpack]:
    """Blocks of the first moment on an uneven 4-bit table, up or down at random so that averages are kept."""

    def pack(state: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        table = _FIFTEEN.to(state.device)
        blocks = blocks_of(state, size)
        scale = blocks.abs().amax(1, keepdim=True).clamp(min=1e-30)
        ratio = blocks / scale
        above = torch.bucketize(ratio, table).clamp(1, 14)
        below = above - 1
        share = (ratio - table[below]) / (table[above] - table[below])
        return torch.where(torch.rand_like(share) < share, above, below).to(torch.uint8), scale

    return pack, lambda e, like: unblocked(_FIFTEEN.to(like.device)[e[0].int()] * e[1], like)


class RowAdam(torch.optim.Optimizer):
    """Adam-mini: one second moment for each row, the first in bfloat16 rounded at random."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(list(params), {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                state["step"] = t = state.get("step", 0) + 1
                square = p.grad.square().mean(-1, keepdim=True)
                m = 0.9 * state["m"].float() + 0.1 * p.grad if t > 1 else 0.1 * p.grad
                v = 0.999 * state["v"] + 0.001 * square if t > 1 else 0.001 * square
                state["m"], state["v"] = _random_bf16(m), v
                root = (v / (1 - 0.999**t)).sqrt() + 1e-8
                p.sub_(group["lr"] * m / (1 - 0.9**t) / root)


def _fp8_momentum() -> tuple[Pack, Unpack]:
    """E4M3 with a power-of-two scale a row, which puts the row's largest between 224 and 448."""

    def pack(state: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        amax = state.abs().amax(-1, keepdim=True).clamp(min=1e-30)
        scale = torch.exp2(torch.ceil(torch.log2(amax / 448)))
        return (state / scale).clamp(-448, 448).to(torch.float8_e4m3fn), scale

    return pack, lambda packed, like: packed[0].float() * packed[1]


def _bf16_momentum() -> tuple[Pack, Unpack]:
    return lambda state, gradient: _random_bf16(state), lambda packed, like: packed.float()


HEALTHY: dict[str, Setup] = {
    "adam_dynamic_8bit": _adam(
        "adam_dynamic_8bit", first=mapped(dynamic_map(True), 256), second=mapped(dynamic_map(False), 256)
    ),
    "adam_4bit_rank_one": _adam("adam_4bit_rank_one", first=_random_table(64), second=_factored()),
    "adam_bf16_weights_random": _adam("adam_bf16_weights_random", write=_random_weights),
    "lion_fp8_momentum": _setup(
        "lion_fp8_momentum",
        lambda m, lr: StoredMomentum(m.parameters(), lr, momentum=_fp8_momentum(), lion=True),
        1.5e-4,
        True,
        "lion",
    ),
    "sgd_bf16_random_momentum": _setup(
        "sgd_bf16_random_momentum",
        lambda m, lr: StoredMomentum(m.parameters(), lr, momentum=_bf16_momentum()),
        2e-3,
        False,
        "sgd",
    ),
    "adam_row_second_moment": _setup(
        "adam_row_second_moment", lambda m, lr: RowAdam(m.parameters(), lr), ADAMW_LR, True, None
    ),
}
