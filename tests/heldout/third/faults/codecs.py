"""Faults of codecs and of what is exported."""

from __future__ import annotations

import torch
from torch import Tensor

from quantgate.faults.setups import Fault, Setup
from quantgate.formats import Format
from quantgate.subjects.codecs import FunctionCodec, PairCodec
from tests.heldout.third.common import (
    NF4,
    exponent,
    float_grid,
    from_blocks,
    int_codes,
    nearest,
    row_amax,
    ste,
    to_blocks,
)

Stored = tuple[Tensor, ...]


def _codec(name: str, codec: PairCodec | FunctionCodec, bits: float) -> Setup:
    return Setup(Format(name, codec, bits))


def _affine(clamped: bool) -> PairCodec:
    """Affine bytes with the range a little inside of the row's, as MSE searches choose it: some codes overflow."""

    def encode(x: Tensor) -> Stored:
        low, high = x.amin(-1, keepdim=True).clamp(max=0), x.amax(-1, keepdim=True).clamp(min=0)
        scale = 0.97 * (high - low).clamp(min=1e-12) / 255
        zero = torch.round(-0.97 * low / scale)
        codes = torch.round(x / scale + zero)
        codes = codes.clamp(0, 255) if clamped else codes.remainder(256)
        return codes.to(torch.uint8), scale, zero

    return PairCodec(encode, lambda e: (e[0].to(e[1].dtype) - e[2]) * e[1])


def _int4_scale(x: Tensor) -> Tensor:
    return (row_amax(to_blocks(x, 32)) / 7).bfloat16().to(x.dtype)


def _trained_int4(x: Tensor) -> Tensor:
    blocks = to_blocks(x.detach(), 32)
    scale = _int4_scale(x)
    return ste(x, from_blocks(int_codes(blocks, scale, 4) * scale, x))


def _exported_int4(asymmetric: bool) -> PairCodec:
    """Training has codes of -7 to 7 by amax / 7; an exporter with amax / 8 stores other weights."""

    def encode(x: Tensor) -> tuple[Tensor, Tensor, int]:
        blocks = to_blocks(x, 32)
        scale = (row_amax(blocks) / 8).bfloat16().to(x.dtype) if asymmetric else _int4_scale(x)
        codes = torch.round(blocks / scale)
        codes = codes.clamp(-8, 7) if asymmetric else codes.clamp(-7, 7)
        return codes.to(torch.int8), scale, x.shape[-1]

    return PairCodec(encode, lambda e: from_blocks(e[0].to(e[1].dtype) * e[1], e[2]))


def _shared_exponent(offset: int) -> PairCodec:
    """Blocks of 16 of E2M1 with a power of two: its exponent is that of the maximum, less two, the largest's own."""

    def encode(x: Tensor) -> tuple[Tensor, Tensor, int]:
        blocks = to_blocks(x, 16)
        shared = exponent(row_amax(blocks)).clamp(-120, 120) - 2 - offset
        return float_grid(blocks / torch.exp2(shared), 1, 0, 6.0), shared.to(torch.int16), x.shape[-1]

    return PairCodec(encode, lambda e: from_blocks(e[0] * torch.exp2(e[1].to(e[0].dtype)), e[2]))


def _normal_float(mirrored: bool) -> PairCodec:
    """NF4 with a scale a block of 64; written down with its sign turned around it has the eighth level below 0."""
    table = torch.tensor(NF4)
    if mirrored:
        table = -table.flip(0)

    def encode(x: Tensor) -> tuple[Tensor, Tensor, int]:
        blocks = to_blocks(x, 64)
        scale = row_amax(blocks)
        own = table.to(x.device, x.dtype)
        return nearest(blocks / scale, own).to(torch.uint8), scale, x.shape[-1]

    def decode(e: tuple[Tensor, Tensor, int]) -> Tensor:
        return from_blocks(table.to(e[1].device, e[1].dtype)[e[0].int()] * e[1], e[2])

    return PairCodec(encode, decode)


def _float8_rows(guarded: bool) -> PairCodec:
    """E4M3 by row; the scale of a row of zeros is 0 and its codes are 0 / 0, which float8 keeps as NaN."""

    def encode(x: Tensor) -> Stored:
        scale = x.abs().amax(-1, keepdim=True) / 448
        if guarded:
            scale = scale.clamp(min=1e-12)
        return (x / scale).clamp(-448, 448).to(torch.float8_e4m3fn), scale

    return PairCodec(encode, lambda e: e[0].to(e[1].dtype) * e[1])


FAULTS = [
    Fault(
        "affine_byte_wraps",
        "overflow-wrapped",
        _codec("affine_byte_cast", _affine(False), 8),
        _codec("affine_byte_twin", _affine(True), 8),
    ),
    Fault(
        "export_divides_by_eight",
        "train-deploy-mismatch",
        _codec("int4_group_export", FunctionCodec(function=_trained_int4, export=_exported_int4(True)), 4),
        _codec("int4_group_twin", FunctionCodec(function=_trained_int4, export=_exported_int4(False)), 4),
    ),
    # One too small: the upper half of each block's octave is cut to 6 of 12.
    Fault(
        "shared_exponent_one_small",
        "scale-stale",
        _codec("block16_e2m1_small", _shared_exponent(1), 4),
        _codec("block16_e2m1_twin", _shared_exponent(0), 4),
    ),
    Fault(
        "nf4_mirrored",
        "wrong-table",
        _codec("nf4_block64", _normal_float(True), 4),
        _codec("nf4_block64_twin", _normal_float(False), 4),
    ),
    Fault(
        "float8_row_of_zeros",
        "scale-zero",
        _codec("float8_rows", _float8_rows(False), 8),
        _codec("float8_rows_twin", _float8_rows(True), 8),
    ),
]
