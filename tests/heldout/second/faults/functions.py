"""Faults of plain functions: tables, block exponents, levels, gradients, axes, zeros, order, contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from quantgate.faults.setups import Fault, Setup
from quantgate.formats import Format
from quantgate.subjects.codecs import FunctionCodec
from tests.heldout.second.ops import (
    from_blocks,
    grid,
    into_blocks,
    minifloat,
    nearest,
    rms,
    row_scale,
    safe,
    signed_table,
    ste,
)

#: QLoRA's table.
_NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023,
    1.0,
)  # fmt: skip


def _own_quantiles() -> tuple[float, ...]:
    """Sixteen even quantiles of the normal distribution: the description, not the published table."""
    p = torch.linspace(1 / 32, 31 / 32, 16)
    q = torch.distributions.Normal(0.0, 1.0).icdf(p)  # type: ignore[no-untyped-call]
    return tuple((q / q.amax()).tolist())


def _looked_up(table: tuple[float, ...]) -> Callable[[Tensor], Tensor]:
    values = torch.tensor(table)

    def quantize(x: Tensor) -> Tensor:
        b = into_blocks(x, 64)
        s = safe(b.abs().amax(1, keepdim=True))
        return ste(x, from_blocks(values.to(x.device)[nearest(b / s, values.to(x.device))] * s, x))

    return quantize


def _mx(largest_exponent: int) -> Callable[[Tensor], Tensor]:
    """MXFP6 E3M2. Bug: E2M3's largest exponent (2) in place of E3M2's (4): scales four times too large."""
    positive = torch.tensor(minifloat(3, 2, 3))
    table = torch.cat([-positive.flip(0)[:-1], positive])
    even = torch.cat([torch.arange(len(positive)).flip(0)[:-1], torch.arange(len(positive))]) % 2 == 0

    def quantize(x: Tensor) -> Tensor:
        b = into_blocks(x, 32)
        e = safe(b.abs().amax(1, keepdim=True)).frexp().exponent - 1 - largest_exponent
        scale = torch.ldexp(torch.ones_like(b[:, :1]), e.clamp(-127, 127))
        y = b / scale
        i = torch.searchsorted(table, y.contiguous()).clamp(1, len(table) - 1)
        low, high = y - table[i - 1], table[i] - y
        up = (high < low) | ((high == low) & even[i])
        return ste(x, from_blocks((table[torch.where(up, i, i - 1)] * scale).copysign(b), x))

    return quantize


def _three_bits(low: int, high: int) -> Callable[[Tensor], Tensor]:
    """3 bits per row. Bug: -4 and +4 are both kept: nine levels, which three bits cannot hold."""

    def quantize(x: Tensor) -> Tensor:
        s = row_scale(x, 3.5)
        return ste(x, (x.detach().float() / s).round().clamp(low, high) * s)

    return quantize


class _CastGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scaled: bool) -> Tensor:
        ctx.scaled = scaled
        return grid(x, row_scale(x, 63), 63).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        g = gradients[0]
        s = safe(g.float().abs().amax() / 448) if ctx.scaled else 1.0
        return ((g / s).clamp(-448, 448).to(torch.float8_e4m3fn).float() * s).to(g.dtype), None


def _fp8_gradient(scaled: bool) -> Callable[[Tensor], Tensor]:
    """7 bits with gradients in E4M3. Bug: cast without a scale: what is below 2^-10 becomes 0."""

    def quantize(x: Tensor) -> Tensor:
        y: Tensor = _CastGradient.apply(x, scaled)  # type: ignore[no-untyped-call]
        return y

    return quantize


def _columns(axis: int) -> Callable[[Tensor], Tensor]:
    """Int8 per row of (out, in). Bug: amax over dim 0, one scale for each input."""

    def quantize(x: Tensor) -> Tensor:
        s = safe(x.detach().float().abs().amax(axis if x.ndim > 1 else -1, keepdim=True) / 127)
        return ste(x, grid(x, s, 127))

    return quantize


def _affine_groups(guarded: bool) -> Callable[[Tensor], Tensor]:
    """Affine 5 bits in groups of 16, float zero. Bug: a constant group has a range of 0, and 0 / 0 is NaN."""

    def quantize(x: Tensor) -> Tensor:
        b = into_blocks(x, 16)
        lo, hi = b.amin(1, keepdim=True), b.amax(1, keepdim=True)
        s = safe((hi - lo) / 31) if guarded else (hi - lo) / 31
        return ste(x, from_blocks(((b - lo) / s).round().clamp(0, 31) * s + lo, x))

    return quantize


def _powers_of_two(exchanged: bool) -> Callable[[Tensor], Tensor]:
    """4-bit powers of two per row, decoded from a table. Bug: two entries of the table are exchanged."""
    sizes = [0.0] + [2.0**-e for e in range(6, -1, -1)]
    table = signed_table(sizes)
    decode = table.clone()
    if exchanged:
        decode[[2, 3, 11, 12]] = table[[3, 2, 12, 11]]

    def quantize(x: Tensor) -> Tensor:
        s = row_scale(x, 1)
        return ste(x, decode[nearest(x.detach().float() / s, table)] * s)

    return quantize


def _clipped_at_sigmas(in_place: bool) -> Callable[[Tensor], Tensor]:
    """Int6 clipped at 3.3 standard deviations. Bug: `clamp_` on x.data clips the master weights."""

    def quantize(x: Tensor) -> Tensor:
        bound = safe(3.3 * rms(x))
        source = x.data if in_place else x.detach().clone()
        low_high = source.clamp_(-float(bound), float(bound))
        return ste(x, grid(low_high, bound / 31, 31))

    return quantize


def _fault(name: str, cause: str, bits: float, broken: Any, right: Any, **declared: Any) -> Fault:
    return Fault(
        name,
        cause,
        Setup(Format(name, FunctionCodec(function=broken), bits, **declared)),
        Setup(Format(f"{name}_right", FunctionCodec(function=right), bits, **declared)),
    )


_CASES = (
    _fault("nf4_own_quantiles", "wrong-table", 4, _looked_up(_own_quantiles()), _looked_up(_NF4)),
    _fault("mxfp6_exponent_of_other_element", "nonconforming", 6, _mx(2), _mx(4), conforms="mxfp6_e3m2"),
    _fault("nine_levels_in_three_bits", "too-many-levels", 3, _three_bits(-4, 4), _three_bits(-4, 3)),
    _fault("gradient_in_fp8_unscaled", "grad-format", 7, _fp8_gradient(False), _fp8_gradient(True)),
    _fault("row_scale_over_outputs", "wrong-axis", 8, _columns(0), _columns(-1), granularity="row"),
    _fault("constant_group_range_zero", "scale-zero", 5, _affine_groups(False), _affine_groups(True)),
    _fault("power_table_exchanged", "not-monotonic", 4, _powers_of_two(True), _powers_of_two(False)),
    _fault("master_clipped_in_place", "contract", 6, _clipped_at_sigmas(True), _clipped_at_sigmas(False)),
)

FAULTS = {fault.name: fault for fault in _CASES}
