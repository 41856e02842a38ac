"""Faults of low-bit optimizers: maps, scales, casts and filters of state and weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from quantgate.faults.setups import Fault, Setup
from quantgate.formats import BUILTIN
from quantgate.training.optimizers import ADAMW_LR, OptimizerSpec
from tests.heldout.third.common import fp8
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


def _adam(name: str, **options: Any) -> Setup:
    def build(model: nn.Module, lr: float) -> torch.optim.Optimizer:
        return StoredAdam(model.parameters(), lr, **options)

    return Setup(BUILTIN["int8"], optimizer=OptimizerSpec(name, build, ADAMW_LR, True, "adamw"))


def _scales_expanded(mixed: bool) -> tuple[Pack, Unpack]:
    """One scale a block; `repeat` tiles the scales where `repeat_interleave` stretches them."""

    def pack(state: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        blocks = blocks_of(state, 32)
        scale = blocks.abs().amax(1, keepdim=True).clamp(min=1e-30) / 127
        return torch.round(blocks / scale).to(torch.int8), scale

    def unpack(packed: tuple[Tensor, Tensor], like: Tensor) -> Tensor:
        flat = packed[1].flatten()
        scales = flat.repeat(32) if mixed else flat.repeat_interleave(32)
        return unblocked(packed[0].flatten() * scales, like)

    return pack, unpack


def _half_second(root: bool) -> tuple[Pack, Unpack]:
    """The second moment in float16: squares of 1e-4 underflow in it, their roots do not."""

    def pack(state: Tensor, gradient: Tensor) -> Tensor:
        return (state.sqrt() * 1024 if root else state).half()

    def unpack(packed: Tensor, like: Tensor) -> Tensor:
        wide = packed.float()
        return (wide / 1024).square() if root else wide

    return pack, unpack


def _write_bf16(compensated: bool) -> Callable[[dict[str, Any], Tensor, Tensor], None]:
    """Weights on the bfloat16 grid, whose half step near 0.1 is more than a step of Adam; or with Kahan's sum."""

    def write(state: dict[str, Any], p: Tensor, update: Tensor) -> None:
        lost = state.setdefault("lost", torch.zeros_like(p))
        wanted = update + lost if compensated else update
        before = p.clone()
        p.copy_((before + wanted).bfloat16().float())
        if compensated:
            lost.copy_(wanted - (p - before))

    return write


def _scaled_fp8(g: Tensor) -> Tensor:
    scale = g.abs().amax().clamp(min=1e-30) / 448
    return fp8(g / scale) * scale


def _large_only(name: str, least: int) -> Setup:
    """As bitsandbytes, which keeps small tensors in 32 bits: a filter that drops them keeps them from training."""

    def build(model: nn.Module, lr: float) -> torch.optim.Optimizer:
        chosen = [p for p in model.parameters() if p.numel() > least]
        signed, unsigned = dynamic_map(True), dynamic_map(False)
        return StoredAdam(chosen, lr, first=mapped(signed, 256), second=mapped(unsigned, 256))

    return Setup(BUILTIN["int8"], optimizer=OptimizerSpec(name, build, ADAMW_LR, True, "adamw"))


def _momentum(name: str, *, of_gradient: bool) -> Setup:
    """Int8 momentum; with the scale of the gradient, which is ten times smaller, it saturates."""

    def pack(state: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        source = gradient if of_gradient else state
        scale = source.abs().amax(-1, keepdim=True).clamp(min=1e-30) / 127
        return torch.round(state / scale).clamp(-127, 127).to(torch.int8), scale

    def build(model: nn.Module, lr: float) -> torch.optim.Optimizer:
        stored = (pack, lambda packed, like: packed[0] * packed[1])
        return StoredMomentum(model.parameters(), lr, momentum=stored)

    return Setup(BUILTIN["int8"], optimizer=OptimizerSpec(name, build, 2e-3, False, "sgd"))


_LINEAR = torch.linspace(0, 1, 256)
_UNSIGNED = dynamic_map(False)

FAULTS = [
    # An even map has nothing between 0 and 1/255 of the block's largest square: small ones divide by eps.
    Fault(
        "adam_second_moment_even_map",
        "optimizer-state",
        _adam("adam_even_map", second=mapped(_LINEAR, 512)),
        _adam("adam_even_map_twin", second=mapped(_LINEAR, 512, power=0.25)),
    ),
    # The unsigned map of the second moment serves the first as well: negative moments become 0.
    Fault(
        "adam_first_moment_unsigned_map",
        "optimizer-state",
        _adam("adam_unsigned_first", first=mapped(_UNSIGNED, 256), second=mapped(_UNSIGNED, 256)),
        _adam(
            "adam_unsigned_first_twin", first=mapped(dynamic_map(True), 256), second=mapped(_UNSIGNED, 256)
        ),
        frozenset({"sign-lost"}),
    ),
    Fault(
        "adam_half_second_moment",
        "optimizer-state",
        _adam("adam_half_second", second=_half_second(False)),
        _adam("adam_half_second_twin", second=_half_second(True)),
    ),
    # A block is dequantized with the scale of another one: small moments come back large and large ones small.
    Fault(
        "adam_block_scales_tiled",
        "optimizer-state",
        _adam("adam_scales_tiled", first=_scales_expanded(True)),
        _adam("adam_scales_tiled_twin", first=_scales_expanded(False)),
        frozenset({"scale-misplaced"}),
    ),
    Fault(
        "adam_bf16_weights_uncompensated",
        "update-swallowed",
        _adam("adam_bf16_weights", write=_write_bf16(False)),
        _adam("adam_bf16_weights_twin", write=_write_bf16(True)),
    ),
    Fault(
        "adam_drops_small_tensors",
        "orphaned-parameter",
        _large_only("adam_large_only", 4096),
        _large_only("adam_large_only_twin", 0),
    ),
    # Gradients are compressed to float8 for the network without a scale: most of them are below its least.
    Fault(
        "adam_gradient_fp8_unscaled",
        "grad-format",
        _adam("adam_fp8_gradient", received=fp8),
        _adam("adam_fp8_gradient_twin", received=_scaled_fp8),
        frozenset({"optimizer-state"}),
    ),
    Fault(
        "sgd_momentum_scale_of_gradient",
        "optimizer-state",
        _momentum("sgd_int8_momentum", of_gradient=True),
        _momentum("sgd_int8_momentum_twin", of_gradient=False),
    ),
]
