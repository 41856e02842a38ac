"""Wrong tables, and exports that are not what was trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from quantgate.faults import Fault
from quantgate.subjects.codecs import PairCodec
from tests.heldout.faults.entries import exported, pair
from tests.heldout.faults.grids import NF4, lookup
from tests.heldout.parts import Grid, amax, groups, nearest, ste, symmetric


def _symmetric_quantiles() -> Tensor:
    """Quantiles of the normal distribution, equally spaced: without the exact 0 that NF4 has."""
    spread: Tensor = torch.special.ndtri(torch.linspace(0.5 / 16, 1 - 0.5 / 16, 16))
    return spread.div(spread.amax())


def _swapped(first: int, second: int) -> Tensor:
    table = NF4.clone()
    table[[first, second]] = table[[second, first]]
    return table


def _fp4(positive: tuple[float, ...]) -> Grid:
    """The four-bit float by its table, scaled per tensor to its largest value."""
    half = torch.tensor(positive)

    def grid(x: Tensor) -> Tensor:
        scale = amax(x) / half[-1]
        return half.to(x.device)[nearest(half, (x / scale).abs())] * x.sign() * scale

    return grid


def _group_codes(size: int, qmax: int) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """(codes, scales) of groups of the last axis."""

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        rows = x.reshape(*x.shape[:-1], -1, min(size, x.shape[-1]))
        scale = amax(rows, -1) / qmax
        return (rows / scale).round().clamp(-qmax, qmax), scale

    return encode


def _group_values(encoded: tuple[Tensor, Tensor]) -> Tensor:
    codes, scale = encoded
    return (codes * scale).flatten(-2)


def _wrapped_values(encoded: tuple[Tensor, Tensor]) -> Tensor:
    codes, scale = encoded
    return (codes.to(torch.int32).remainder(256) * scale).flatten(-2)


def _packed(encoded: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    codes, scale = encoded
    nibbles = codes.to(torch.int32) & 0xF
    return nibbles[..., 0::2] | (nibbles[..., 1::2] << 4), scale


def _unpacked(low_first: bool) -> Callable[[tuple[Tensor, Tensor]], Tensor]:
    def decode(encoded: tuple[Tensor, Tensor]) -> Tensor:
        packed, scale = encoded
        pair = (packed & 0xF, packed >> 4) if low_first else (packed >> 4, packed & 0xF)
        nibbles = torch.stack(pair, -1).flatten(-2)
        return (torch.where(nibbles > 7, nibbles - 16, nibbles) * scale).flatten(-2)

    return decode


def faults() -> Iterator[Fault]:
    """The faults of this class."""
    cause = "wrong-table"
    nf4 = groups(64, lambda x: lookup(NF4, x))
    quantiles, swapped = _symmetric_quantiles(), _swapped(9, 10)
    yield pair(cause, "nf4_without_exact_zero", ste(groups(64, lambda x: lookup(quantiles, x))), ste(nf4), 4)
    yield pair(
        cause, "nf4_two_entries_swapped", ste(groups(64, lambda x: lookup(NF4, x, swapped))), ste(nf4), 4
    )
    yield pair(
        cause,
        "fp4_e2m1_even_steps",
        ste(_fp4((0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5))),
        ste(_fp4((0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0))),
        4,
    )

    int4, int8 = groups(32, symmetric(7, -1)), groups(32, symmetric(127, -1))
    encode4, encode8 = _group_codes(32, 7), _group_codes(32, 127)
    yield exported(
        "int4_export_nibbles_swapped",
        int4,
        PairCodec(lambda x: _packed(encode4(x)), _unpacked(low_first=False)),
        PairCodec(lambda x: _packed(encode4(x)), _unpacked(low_first=True)),
        4,
    )
    yield exported(
        "int8_export_wraps_to_unsigned",
        int8,
        PairCodec(encode8, _wrapped_values),
        PairCodec(encode8, _group_values),
        8,
    )
    yield exported(
        "int4_export_scale_in_bfloat16",
        int4,
        PairCodec(lambda x: (encode4(x)[0], encode4(x)[1].bfloat16().float()), _group_values),
        PairCodec(encode4, _group_values),
        4,
    )
