"""Gradients that are blocked, wrong, mis-scaled, cut at the edge, or cast."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from quantgate.faults import Fault
from quantgate.formats import BUILTIN
from tests.heldout.faults.entries import made, pair, recipe
from tests.heldout.faults.grids import (
    INT8_ROWS,
    NF4,
    LearnedStep,
    affine_rows,
    linears_int8,
    lookup,
    uint4_rows,
)
from tests.heldout.parts import (
    TINY,
    Grid,
    QuantizedLinear,
    Rule,
    amax,
    element,
    grid_of,
    groups,
    hadamard,
    ste,
    swap_linears,
    symmetric,
)


def _outliers_apart(outliers: Grid, rest: Grid) -> Grid:
    """What is beyond 2.5 standard deviations on a grid of its own."""

    def quantize(x: Tensor) -> Tensor:
        outlier = x.detach().abs() > 2.5 * x.detach().std(correction=0)
        return torch.where(outlier, outliers(x * outlier), rest(x * ~outlier))

    return quantize


def _ternary_by_mean(x: Tensor) -> Tensor:
    scale = x.abs().mean().clamp(min=TINY)
    return (x / scale).round().clamp(-1, 1) * scale


def _posit8_in_numpy(x: Tensor) -> Tensor:
    """Through numpy, which knows no graph."""
    values = np.asarray(BUILTIN["posit8"].values, dtype=np.float32)
    places = np.searchsorted((values[1:] + values[:-1]) / 2, x.detach().cpu().numpy())
    return torch.from_numpy(values[places]).to(x.device)


class _FreezesLater(nn.Module):
    """Trains through the estimator, then on a cached path that somebody meant for inference."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.left = calls

    def forward(self, x: Tensor) -> Tensor:
        if self.left == 0:
            with torch.no_grad():
                return grid_of("fp6_e3m2")(x)
        self.left -= 1
        return ste(grid_of("fp6_e3m2"))(x)


class _ReadsData(QuantizedLinear):
    """Reads `weight.data`, which has no graph."""

    def read(self) -> Tensor:
        return self.quantize_weight(self.weight.data)


def _blocks_transposed(gradient: Tensor, x: Tensor, q: Tensor) -> Tensor:
    """Blocks of 32 put back with their two axes exchanged."""
    if x.shape[-1] % 32:
        return gradient
    blocks = gradient.reshape(*x.shape[:-1], -1, 32).transpose(-1, -2)
    return blocks.reshape(x.shape)


def _clip3(x: Tensor) -> Tensor:
    return (3 * x.std(correction=0)).clamp(min=TINY)


def _int8_clipped(x: Tensor) -> Tensor:
    scale = _clip3(x) / 127
    return (x / scale).round().clamp(-127, 127) * scale


def _activations(rule: Rule) -> Rule:
    """The rule for (batch, time, channels), the identity for weights."""
    return lambda gradient, x, q: rule(gradient, x, q) if x.ndim == 3 else gradient


def _over_groups(gradient: Tensor, x: Tensor, q: Tensor) -> Tensor:
    """The mean over groups where their sum was meant."""
    return gradient / max(1, x.numel() // 32)


def _rotated(x: Tensor) -> Tensor:
    turn = hadamard(32).to(x.device)
    return groups(32, lambda v: symmetric(7, -1)(v @ turn) @ turn.T)(x)


def _rotated_gradient(norm: float) -> Rule:
    """Turns the gradient there and back, with a matrix that is orthogonal up to a factor."""

    def rule(gradient: Tensor, x: Tensor, q: Tensor) -> Tensor:
        turn = hadamard(32).to(x.device)
        return groups(32, lambda v: (v @ (turn * norm)) @ turn.T)(gradient)

    return rule


def _estimated_twice(grid: Grid) -> Grid:
    """The wrapper adds an estimator to a function that has one."""
    inner = ste(grid)
    return lambda x: inner(x) + (x - x.detach())


def _uint4_mask(strict: bool) -> Rule:
    def rule(gradient: Tensor, x: Tensor, q: Tensor) -> Tensor:
        codes = affine_rows(x)[0]
        inside = (codes > 0) & (codes < 15) if strict else (codes >= 0) & (codes <= 15)
        return gradient * inside

    return rule


def _int4_group_mask(strict: bool) -> Rule:
    def mask(x: Tensor) -> Tensor:
        codes = (x / (amax(x, -1) / 7)).round()
        return ((codes.abs() < 7) if strict else (codes.abs() <= 7)).to(x.dtype)

    return lambda gradient, x, q: gradient * groups(32, mask)(x)


def _absmax_mask(strict: bool) -> Rule:
    def mask(x: Tensor) -> Tensor:
        return ((x.abs() < amax(x, -1)) if strict else (x.abs() <= amax(x, -1))).to(x.dtype)

    return lambda gradient, x, q: gradient * groups(64, mask)(x)


def _cast_gradient(cast: Grid) -> Rule:
    return lambda gradient, x, q: cast(gradient)


def _int4_gradient(gradient: Tensor) -> Tensor:
    return symmetric(7)(gradient)


def _half_after_unscaling(gradient: Tensor) -> Tensor:
    """A loss scale of 1024 that is divided out before the cast instead of multiplied in."""
    return (gradient / 1024).half().float() * 1024


def faults() -> Iterator[Fault]:
    """The faults of this class."""
    cause = "gradient-blocked"
    int8, int4 = symmetric(127), symmetric(7)
    yield pair(
        cause,
        "int4_int8_outliers_only_with_ste",
        _outliers_apart(ste(int8), int4),
        _outliers_apart(ste(int8), ste(int4)),
        4,
    )
    yield pair(cause, "ternary_gradient_by_scale_only", _ternary_by_mean, ste(_ternary_by_mean), 1.58)
    yield pair(cause, "posit8_by_numpy", _posit8_in_numpy, ste(_posit8_in_numpy), 8)
    yield made(cause, "fp6_frozen_after_ten_calls", lambda: _FreezesLater(10), lambda: _FreezesLater(-1), 6)
    yield recipe(
        cause,
        "recipe_reads_weight_data",
        lambda model: swap_linears(model, lambda linear: _ReadsData(linear, INT8_ROWS)),
        linears_int8,
        8,
    )

    cause = "gradient-wrong"
    int5 = symmetric(15)
    fp6, mxint8 = grid_of("fp6_e2m3"), grid_of("mxint8")
    yield pair(cause, "int5_gradient_times_sign", ste(int5, lambda g, x, q: g * x.sign()), ste(int5), 5)
    yield pair(
        cause,
        "fp6_gradient_mean_of_row",
        ste(fp6, lambda g, x, q: g.mean(-1, keepdim=True).expand_as(g)),
        ste(fp6),
        6,
    )
    yield pair(cause, "mxint8_gradient_blocks_transposed", ste(mxint8, _blocks_transposed), ste(mxint8), 8)
    yield pair(
        cause,
        "int8_clip_mask_inverted",
        ste(_int8_clipped, lambda g, x, q: g * (x.abs() > _clip3(x))),
        ste(_int8_clipped, lambda g, x, q: g * (x.abs() <= _clip3(x))),
        8,
    )
    yield pair(
        cause,
        "int8_activation_gradient_of_next_token",
        ste(int8, _activations(lambda g, x, q: g.roll(-1, 1))),
        ste(int8, _activations(lambda g, x, q: g)),
        8,
        "weights+activations",
    )

    cause = "gradient-misscaled"
    groups4 = groups(32, symmetric(7, -1))
    yield pair(cause, "int4_group_gradient_averaged", ste(groups4, _over_groups), ste(groups4), 4)
    yield made(
        cause,
        "int8_lsq_share_on_weight",
        lambda: LearnedStep(127, share_weight=True),
        lambda: LearnedStep(127),
        8,
    )
    yield pair(
        cause,
        "int4_hadamard_gradient_not_normed",
        ste(_rotated, _rotated_gradient(32**0.5)),
        ste(_rotated, _rotated_gradient(1.0)),
        4,
    )
    yield pair(cause, "gf8_estimated_twice", _estimated_twice(grid_of("gf8")), ste(grid_of("gf8")), 8)

    cause = "clip-gradient-lost"
    nf4 = groups(64, lambda x: lookup(NF4, x))
    uint4 = uint4_rows
    yield pair(
        cause, "uint4_row_ends_masked", ste(uint4, _uint4_mask(True)), ste(uint4, _uint4_mask(False)), 4
    )
    yield pair(
        cause,
        "int4_group_ends_masked",
        ste(groups4, _int4_group_mask(True)),
        ste(groups4, _int4_group_mask(False)),
        4,
    )
    yield pair(cause, "nf4_absmax_masked", ste(nf4, _absmax_mask(True)), ste(nf4, _absmax_mask(False)), 4)

    cause = "grad-format"
    int6 = symmetric(31, -1)
    yield pair(cause, "int6_gradient_in_int4", ste(int6, _cast_gradient(_int4_gradient)), ste(int6), 6)
    yield pair(
        cause,
        "fp6_gradient_unscaled_before_half",
        ste(fp6, _cast_gradient(_half_after_unscaling)),
        ste(fp6),
        6,
    )
    yield pair(cause, "int8_gradient_in_posit8", ste(int8, _cast_gradient(element("posit8"))), ste(int8), 8)
