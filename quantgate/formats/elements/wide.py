"""Codes of the 256-bit minifloat (1 sign, 97 exponent, 158 fraction bits) as 32 bytes, lowest first."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_FRACTION_52 = (1 << 52) - 1
_LOW_22 = (1 << 22) - 1
_LOW_34 = (1 << 34) - 1
_LOW_62 = (1 << 62) - 1


def pack_256(v: Tensor) -> Tensor:
    """Codes `uint8[..., 32]` of float32 or float64 values.

    A float64's 52 fraction bits are bits 106 to 157 of the code. The exponent field, at 158, holds
    `exponent + 2**96 - 1`: its top bit says whether the exponent is at least 1, the others are `exponent - 1`
    in two's complement.
    """
    finite = torch.where(v.isfinite(), v, 0.0).double()
    half_open, exponent = torch.frexp(finite.abs())
    fraction = (half_open * 2.0**53).long() & _FRACTION_52
    biased = exponent.long() - 2
    low, high, top = biased & _LOW_34, (biased >> 34) & _LOW_62, (biased >= 0).long()
    is_zero, is_special = finite == 0, ~v.isfinite()
    low = torch.where(is_special, _LOW_34, torch.where(is_zero, 0, low))
    high = torch.where(is_special, _LOW_62, torch.where(is_zero, 0, high))
    top = torch.where(is_special, 1, torch.where(is_zero, 0, top))
    # A NaN has the first bit of its fraction set.
    fraction = torch.where(v.isnan(), 1 << 51, torch.where(is_special | is_zero, 0, fraction))
    negative = (v.signbit() & ~v.isnan()).long()
    words = torch.stack(
        (
            torch.zeros_like(fraction),
            (fraction & _LOW_22) << 42,
            (fraction >> 22) | (low << 30),
            high | (top << 62) | (negative << 63),
        ),
        dim=-1,
    )
    return words.view(torch.uint8)


def unpack_256(codes: Tensor) -> Tensor:
    """float64 values of codes `uint8[..., 32]`; fraction bits beyond float64's are cut off."""
    words = codes.contiguous().view(torch.int64)
    word1, word2, word3 = words[..., 1], words[..., 2], words[..., 3]
    fraction = ((word1 >> 42) & _LOW_22) | ((word2 & ((1 << 30) - 1)) << 22)
    low, high, top = (word2 >> 30) & _LOW_34, word3 & _LOW_62, (word3 >> 62) & 1
    # Exponents within float64's range have all of `high` equal to the complement of `top`.
    sign_extension = torch.where(top.bool(), 0, _LOW_62)
    in_range = high == sign_extension
    exponent = torch.where(top.bool(), low, low - (1 << 34)) + 1
    exponent = torch.where(in_range, exponent, torch.where(top.bool(), 4096, -4096)).clamp(-2000, 2000)
    significand = ((fraction | (1 << 52)).double()) * 2.0**-52
    half = exponent >> 1
    values = significand * ((half + 1023) << 52).view(torch.float64)
    values = values * ((exponent - half + 1023) << 52).view(torch.float64)
    is_special = top.bool() & (high == _LOW_62) & (low == _LOW_34)
    values = torch.where(is_special, torch.where(fraction == 0, math.inf, math.nan), values)
    return torch.where(word3 < 0, -values, values)
