"""Faults of plain fake-quantize functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from quantgate.faults.setups import Fault, Setup
from quantgate.formats import Format
from quantgate.subjects.codecs import FunctionCodec
from tests.heldout.third.common import (
    exponent,
    float_grid,
    fp8,
    from_blocks,
    int_codes,
    row_amax,
    ste,
    tensor_amax,
    to_blocks,
)


def _setup(name: str, function: Callable[[Tensor], Tensor], bits: float, **options: Any) -> Setup:
    return Setup(Format(name, FunctionCodec(function=function), bits, **options))


def _noisy(x: Tensor, *, rounded: bool) -> Tensor:
    """floor(x + u) is right on average; round(x + u) is half a step too high."""
    scale = row_amax(x) / 7
    noisy = x.detach() / scale + torch.rand(x.shape, device=x.device, dtype=x.dtype)
    codes = torch.round(noisy) if rounded else torch.floor(noisy)
    return ste(x, codes.clamp(-8, 7) * scale)


class _Sinus(torch.autograd.Function):
    """Rounding whose gradient is that of x - sin(2 pi x) / (4 pi), a soft staircase, with or without the x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, whole: bool) -> Tensor:
        scale = row_amax(x) / 15
        ctx.save_for_backward(x / scale)
        ctx.whole = whole
        return int_codes(x, scale, 5) * scale

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (codes,) = ctx.saved_tensors
        wave = -0.5 * torch.cos(2 * math.pi * codes)
        return grads[0] * (1 + wave if ctx.whole else wave), None


def _sinus(x: Tensor, *, whole: bool) -> Tensor:
    y: Tensor = _Sinus.apply(x, whole)  # type: ignore[no-untyped-call]
    return y


def _cut(x: Tensor, *, in_place: bool) -> Tensor:
    """Cut at three deviations, then int8; `.data.clamp_` cuts the master weights themselves."""
    level = 3 * x.detach().std(unbiased=False).clamp(min=1e-12)
    cut = x.data.clamp_(-level, level) if in_place else x.detach().clamp(-level, level)
    scale = level / 127
    return ste(x, int_codes(cut, scale, 8) * scale)


def _two_scales(x: Tensor, *, both: bool) -> Tensor:
    """NVFP4's two scales: the block's in E4M3 relative to the tensor's, which must come back as well."""
    whole = tensor_amax(x) / (6 * 448)
    blocks = to_blocks(x.detach(), 16)
    scale = fp8(row_amax(blocks) / 6 / whole).clamp(min=2.0**-9)
    values = float_grid(blocks / (scale * whole), 1, 0, 6.0) * scale
    return ste(x, from_blocks(values * whole if both else values, x))


def _fixed_point(x: Tensor, *, fitted: bool) -> Tensor:
    """Fixed point in 4 bits; with one bit for the fraction, as for activations, weights of 0.1 are 0."""
    top = exponent(tensor_amax(x) * (1 + 1e-6)) + 1
    step = torch.exp2(top - 3) if fitted else torch.full_like(top, 0.5)
    return ste(x, torch.round(x.detach() / step).clamp(-8, 7) * step)


def _powers(x: Tensor, *, sign_first: bool) -> Tensor:
    """Powers of two in 4 bits: the sign has to be taken before abs() is."""
    scale = row_amax(x)
    size = x.detach().abs() / scale
    sign = torch.sign(x.detach() if sign_first else size)
    steps = torch.round(torch.log2(size.clamp(min=2.0**-20)))
    values = torch.where(steps < -6, torch.zeros_like(size), torch.exp2(steps.clamp(-6, 0)))
    return ste(x, sign * values * scale)


def _mxfp4(x: Tensor, *, even: bool) -> Tensor:
    """MXFP4 by the standard; its elements are rounded half to even, not half away from zero."""
    blocks = to_blocks(x.detach(), 32)
    shared = torch.exp2((exponent(blocks.abs().amax(-1, keepdim=True)) - 2).clamp(min=-127))
    values = blocks / shared
    step = torch.exp2(exponent(values).clamp(min=0) - 1)
    steps = values / step
    rounded = torch.round(steps) if even else steps.sign() * torch.floor(steps.abs() + 0.5)
    return ste(x, from_blocks((rounded * step).clamp(-6, 6) * shared, x))


def _e3m2(x: Tensor, *, carried: bool) -> Tensor:
    """Six-bit floats put together from exponent and mantissa: a mantissa that rounds to 2 raises the exponent."""
    scale = row_amax(x) / 28
    values = x.detach() / scale
    power = exponent(values).clamp(-2, 4)
    mantissa = torch.round(values.abs() / torch.exp2(power) * 4)
    if not carried:  # three bits of hidden one and mantissa: 8 is stored as 4, the hidden one alone
        mantissa = torch.where(mantissa >= 8, mantissa - 4, mantissa)
    return ste(x, (values.sign() * mantissa / 4 * torch.exp2(power)).clamp(-28, 28) * scale)


FAULTS = [
    Fault(
        "noise_then_round",
        "rounding-biased",
        _setup("int4_noise_round", lambda x: _noisy(x, rounded=True), 4),
        _setup("int4_noise_floor_twin", lambda x: _noisy(x, rounded=False), 4),
    ),
    Fault(
        "soft_staircase_without_slope",
        "gradient-wrong",
        _setup("int5_sinus", lambda x: _sinus(x, whole=False), 5),
        _setup("int5_sinus_twin", lambda x: _sinus(x, whole=True), 5),
    ),
    Fault(
        "clamps_master_data",
        "contract",
        _setup("int8_cut_data", lambda x: _cut(x, in_place=True), 8),
        _setup("int8_cut_twin", lambda x: _cut(x, in_place=False), 8),
    ),
    Fault(
        "tensor_scale_forgotten",
        "not-dequantized",
        _setup("fp4_two_scales", lambda x: _two_scales(x, both=False), 4),
        _setup("fp4_two_scales_twin", lambda x: _two_scales(x, both=True), 4),
    ),
    Fault(
        "fixed_point_of_activations",
        "range-collapsed",
        _setup("fixed_point_q3", lambda x: _fixed_point(x, fitted=False), 4),
        _setup("fixed_point_twin", lambda x: _fixed_point(x, fitted=True), 4),
    ),
    Fault(
        "power_sign_after_abs",
        "sign-lost",
        _setup("power_of_two_4", lambda x: _powers(x, sign_first=False), 4),
        _setup("power_of_two_4_twin", lambda x: _powers(x, sign_first=True), 4),
    ),
    Fault(
        "mxfp4_half_away",
        "nonconforming",
        _setup("mxfp4_away", lambda x: _mxfp4(x, even=False), 4, conforms="mxfp4"),
        _setup("mxfp4_even_twin", lambda x: _mxfp4(x, even=True), 4, conforms="mxfp4"),
    ),
    Fault(
        "mantissa_carry_lost",
        "not-monotonic",
        _setup("e3m2_no_carry", lambda x: _e3m2(x, carried=False), 6),
        _setup("e3m2_carry_twin", lambda x: _e3m2(x, carried=True), 6),
    ),
]
