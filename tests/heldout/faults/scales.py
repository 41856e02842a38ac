"""Scales that are missing, collapse the range, or lose the sign."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from quantgate.faults import Fault
from tests.heldout.faults.entries import made, pair
from tests.heldout.faults.grids import NF4, LearnedStep
from tests.heldout.parts import TINY, Grid, amax, element, groups, nearest, ste, symmetric


def _nf4_double(with_super_scale: bool) -> Grid:
    """NF4 whose block scales are stored as 8-bit codes of one scale of the tensor."""

    def grid(x: Tensor) -> Tensor:
        rows = F.pad(x, (0, -x.shape[-1] % 32)).reshape(-1, 32)
        scales = amax(rows, -1)
        super_scale = scales.amax() / 255
        codes = (scales / super_scale).round().clamp(1, 255)
        known = codes * super_scale
        q = NF4.to(x.device)[nearest(NF4, rows / known)] * (known if with_super_scale else codes)
        return q.reshape(*x.shape[:-1], -1)[..., : x.shape[-1]].contiguous()

    return grid


def _fp8_by_factor(inverted: bool) -> Grid:
    """e4m3 with a factor to multiply by, and the factor again where its inverse is due."""

    def grid(x: Tensor) -> Tensor:
        factor = 448 / amax(x)
        q = element("fp8_e4m3")((x * factor).clamp(-448, 448))
        return q / factor if inverted else q * factor

    return grid


def _shared_exponent(x: Tensor) -> Tensor:
    return torch.floor(torch.log2(amax(x, -1))).clamp(min=-100)


def _mx(name: str, emax: int, *, out: int = 0, sign: int = -1) -> Grid:
    """Blocks of 32 with a power of two; `out` is added to the exponent on the way back."""

    def grid(x: Tensor) -> Tensor:
        exponent = _shared_exponent(x) + sign * emax
        return element(name)(x * 2.0**-exponent) * 2.0 ** (exponent + out)

    return groups(32, grid)


def _int8_rows_then(columns: bool) -> Grid:
    """Divides by the scale of the row, and multiplies by that of the column."""

    def grid(x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        scale = amax(flat, 1) / 127
        codes = (flat / scale).round().clamp(-127, 127)
        return (codes * (amax(flat, 0) / 127 if columns else scale)).reshape(x.shape)

    return grid


def _int4_over(scale: float) -> Grid:
    return lambda x: (x / scale).round().clamp(-7, 7) * scale


def _int8_least_scale(least: float) -> Grid:
    def grid(x: Tensor) -> Tensor:
        scale = (x.abs().amax() / 127).clamp(min=least)
        return (x / scale).round().clamp(-127, 127) * scale

    return grid


def _uint8_affine(sign: int) -> Grid:
    """The zero point is -low / scale; with the other sign it is clamped to 0."""

    def grid(x: Tensor) -> Tensor:
        low, high = x.amin().clamp(max=0), x.amax().clamp(min=0)
        scale = (high - low).clamp(min=TINY) / 255
        zero = (sign * low / scale).round().clamp(0, 255)
        return ((x / scale).round() + zero).clamp(0, 255).sub(zero) * scale

    return grid


def _binary(low: float) -> Grid:
    return lambda x: torch.where(x > 0, 1.0, low) * x.abs().mean(-1, keepdim=True)


def _nibbles(extended: bool) -> Grid:
    """Codes packed into 4 bits in two's complement, read back with or without their sign."""

    def grid(x: Tensor) -> Tensor:
        scale = amax(x, -1) / 7
        nibble = (x / scale).round().clamp(-7, 7).to(torch.int32) & 0xF
        code = torch.where(nibble > 7, nibble - 16, nibble) if extended else nibble
        return code * scale

    return groups(32, grid)


def _log2_grid(signed: bool) -> Grid:
    """0 and +-amax * 2^-k, k = 0 .. 14."""

    def grid(x: Tensor) -> Tensor:
        top = amax(x)
        exponent = torch.log2((x.abs() / top).clamp(min=2.0**-20)).round()
        magnitude = torch.where(exponent < -14, 0.0, 2.0**exponent) * top
        return magnitude * x.sign() if signed else magnitude

    return grid


def faults() -> Iterator[Fault]:
    """The faults of this class."""
    cause = "not-dequantized"
    yield pair(cause, "nf4_double_scale_codes", ste(_nf4_double(False)), ste(_nf4_double(True)), 4)
    yield pair(cause, "fp8_factor_not_inverted", ste(_fp8_by_factor(False)), ste(_fp8_by_factor(True)), 8)
    yield pair(
        cause, "mxfp8_exponent_off_by_three", ste(_mx("fp8_e4m3", 8, out=3)), ste(_mx("fp8_e4m3", 8)), 8
    )
    yield pair(cause, "int8_scale_of_columns", ste(_int8_rows_then(True)), ste(_int8_rows_then(False)), 8)

    cause = "range-collapsed"
    yield pair(cause, "int4_range_of_eight", ste(_int4_over(8 / 7)), ste(symmetric(7)), 4)
    yield made(
        cause, "int6_lsq_step_left_at_one", lambda: LearnedStep(31, start=1.0), lambda: LearnedStep(31), 6
    )
    yield pair(cause, "mxfp6_exponent_sign", ste(_mx("fp6_e3m2", 4, sign=1)), ste(_mx("fp6_e3m2", 4)), 6)
    yield pair(
        cause, "int8_scale_at_least_0.05", ste(_int8_least_scale(0.05)), ste(_int8_least_scale(1e-12)), 8
    )

    cause = "sign-lost"
    yield pair(cause, "uint8_zero_point_negated", ste(_uint8_affine(1)), ste(_uint8_affine(-1)), 8)
    yield pair(cause, "binary_zero_or_one", ste(_binary(0.0)), ste(_binary(-1.0)), 1)
    yield pair(cause, "int4_nibble_not_sign_extended", ste(_nibbles(False)), ste(_nibbles(True)), 4)
    yield pair(cause, "log2_sign_not_restored", ste(_log2_grid(False)), ste(_log2_grid(True)), 5)
