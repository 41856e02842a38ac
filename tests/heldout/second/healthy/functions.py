"""Unusual but right codecs and plain functions."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from quantgate.faults.setups import Setup
from quantgate.formats import Format
from quantgate.subjects.codecs import FunctionCodec, PairCodec
from tests.heldout.second.faults.codecs import Packed, affine4, load_affine, store_affine
from tests.heldout.second.ops import (
    from_blocks,
    grid,
    into_blocks,
    nearest,
    row_scale,
    safe,
    signed_table,
    ste,
    tensor_scale,
)


def _meta(x: Tensor) -> Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device="meta")


def store_int3(x: Tensor) -> Packed:
    """3 bits per row, -4 to 3, ten codes in each 32-bit word."""
    s = row_scale(x, 3.5)
    codes = ((x.detach().float() / s).round().clamp(-4, 3) + 4).to(torch.int64).flatten()
    codes = torch.nn.functional.pad(codes, (0, -codes.numel() % 10)).reshape(-1, 10)
    words = (codes << (3 * torch.arange(10, device=codes.device))).sum(1)
    return Packed(words.to(torch.int32), s, torch.tensor(4), _meta(x))


def load_int3(p: Packed) -> Tensor:
    """Read the words of `store_int3`."""
    codes = (p.codes[:, None] >> (3 * torch.arange(10, device=p.codes.device))) & 7
    values = codes.flatten()[: p.like.numel()].reshape(p.like.shape).float() - 4
    return (values * p.scale).to(p.like.dtype)


def store_log(x: Tensor) -> Packed:
    """5 bits per row: a sign and a size in steps of the square root of 2, 15 of them, and 0."""
    d = x.detach().float()
    s = row_scale(x, 1)
    y = (d / s).abs()
    e = (-2 * y.clamp_min(2.0**-20).log2()).round()
    code = torch.where(e <= 14, 15 - e, torch.zeros_like(e)).clamp(0, 15).to(torch.uint8)
    return Packed(code | ((d < 0).to(torch.uint8) << 4), s, torch.zeros(()), _meta(x))


def load_log(p: Packed) -> Tensor:
    """Read the codes of `store_log`."""
    size = (p.codes & 15).float()
    y = torch.where(size > 0, torch.exp2((size - 15) / 2), torch.zeros_like(size))
    return (torch.where(p.codes >> 4 == 1, -y, y) * p.scale).to(p.like.dtype)


def additive_powers(x: Tensor) -> Tensor:
    """APoT, 4 bits per row: sums of one of {0, 1, 1/4, 1/16} and one of {0, 1/2}, with signs."""
    sums = {a + b for a in (0.0, 1.0, 0.25, 0.0625) for b in (0.0, 0.5)}
    table = signed_table([v / 1.5 for v in sums]).to(x.device)
    s = row_scale(x, 1)
    return ste(x, table[nearest(x.detach().float() / s, table)] * s)


def ternary_threshold(x: Tensor) -> Tensor:
    """TWN per row: zero below 0.7 of the mean size, the mean of what is above it otherwise."""
    d = x.detach().float()
    over = d.abs() > 0.7 * d.abs().mean(-1, keepdim=True)
    size = (d.abs() * over).sum(-1, keepdim=True) / over.sum(-1, keepdim=True).clamp_min(1)
    return ste(x, d.sign() * over * size)


def dithered_rows(x: Tensor) -> Tensor:
    """Int6 per row, rounded at random with torch's own generator."""
    s = row_scale(x, 31)
    y = x.detach().float() / s
    return ste(x, (y + torch.rand_like(y)).floor().clamp(-31, 31) * s)


def shared_exponent(x: Tensor) -> Tensor:
    """MSFP-like blocks of 16: one exponent, raised where rounding overflows, 7 bits of sign and mantissa."""
    b = into_blocks(x, 16)
    largest = b.abs().amax(1, keepdim=True)
    step = torch.ldexp(torch.ones_like(largest), safe(largest).frexp().exponent.clamp(-100, 127) - 6)
    step = torch.where(((largest / step).round() > 63), step * 2, step)
    return ste(x, from_blocks((b / step).round().clamp(-63, 63) * step, x))


class _Companded(torch.autograd.Function):
    """Mu-law, 6 bits: rounded on a companded scale, expanded again; straight-through over both."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        s = tensor_scale(x, 1)
        y = x.float() / s
        mu = 15.0
        c = y.sign() * torch.log1p(mu * y.abs()) / math.log1p(mu)
        q = (c * 31).round() / 31
        return (q.sign() * torch.expm1(q.abs() * math.log1p(mu)) / mu * s).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


def companded(x: Tensor) -> Tensor:
    """Through mu-law and back."""
    y: Tensor = _Companded.apply(x)  # type: ignore[no-untyped-call]
    return y


class _Elementwise(torch.autograd.Function):
    """EWGS: each element's gradient grows or shrinks with its rounding error, by 10% at most."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        s = row_scale(x, 7)
        q = grid(x, s, 7)
        ctx.save_for_backward((x.float() - q) / s)
        return q.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (error,) = ctx.saved_tensors
        g = gradients[0]
        scaled: Tensor = g * (1 + 0.2 * g.sign() * error).to(g.dtype)
        return scaled


def elementwise_gradient(x: Tensor) -> Tensor:
    """Int4 per row with that gradient."""
    y: Tensor = _Elementwise.apply(x)  # type: ignore[no-untyped-call]
    return y


def _function(name: str, function: Any, bits: float, **declared: Any) -> Setup:
    return Setup(Format(name, FunctionCodec(function=function), bits, **declared))


HEALTHY = {
    "int3_ten_in_a_word": Setup(Format("int3_ten_in_a_word", PairCodec(store_int3, load_int3), 3)),
    "half_octave_log_codes": Setup(Format("half_octave_log_codes", PairCodec(store_log, load_log), 5)),
    "affine4_export_zero_less_one": Setup(
        Format(
            "affine4_export_zero_less_one",
            FunctionCodec(function=affine4, export=PairCodec(store_affine, lambda p: load_affine(p, 1))),
            4,
            granularity="row",
        )
    ),
    "additive_powers_of_two": _function("additive_powers_of_two", additive_powers, 4, granularity="row"),
    "ternary_mean_threshold": _function("ternary_mean_threshold", ternary_threshold, 1.58),
    "dithered_int6_rows": _function("dithered_int6_rows", dithered_rows, 6),
    "shared_exponent_blocks": Setup(
        Format("shared_exponent_blocks", FunctionCodec(function=shared_exponent), 7),
        scope="weights+activations",
    ),
    "mu_law_companded": _function("mu_law_companded", companded, 6),
    "elementwise_scaled_gradient": _function(
        "elementwise_scaled_gradient", elementwise_gradient, 4, granularity="row"
    ),
}
