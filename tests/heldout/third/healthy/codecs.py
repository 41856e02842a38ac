"""Right codecs in unusual layouts: packed nibbles, float zero points, scales of scales, ceiled exponents."""

from __future__ import annotations

import torch
from torch import Tensor

from quantgate.faults.setups import Setup
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

Group = tuple[Tensor, Tensor, int]


def _packed() -> PairCodec:
    """Two signed nibbles a byte, first half of a group below second half, as CUDA kernels like to read them."""

    def encode(x: Tensor) -> Group:
        blocks = to_blocks(x, 32)
        scale = row_amax(blocks) / 7
        codes = int_codes(blocks, scale, 4).to(torch.int16) & 15
        low, high = codes.chunk(2, -1)
        return (low | (high << 4)).to(torch.uint8), scale, x.shape[-1]

    def decode(e: Group) -> Tensor:
        wide = e[0].to(torch.int16)
        codes = torch.cat([wide & 15, wide >> 4], -1)
        codes = (codes ^ 8) - 8  # the fourth bit is the sign
        return from_blocks(codes.to(e[1].dtype) * e[1], e[2])

    return PairCodec(encode, decode)


def _float_zero() -> PairCodec:
    """HQQ: affine groups of 64 whose zero point is a float, w = (q - z) s, with 3 bits."""

    def encode(x: Tensor) -> tuple[Tensor, Tensor, Tensor, int]:
        blocks = to_blocks(x, 64)
        low, high = blocks.amin(-1, keepdim=True), blocks.amax(-1, keepdim=True)
        low, high = low.clamp(max=0), high.clamp(min=0)
        scale = (high - low).clamp(min=1e-12) / 7
        zero = -low / scale
        return torch.round(blocks / scale + zero).clamp(0, 7).to(torch.uint8), scale, zero, x.shape[-1]

    return PairCodec(encode, lambda e: from_blocks((e[0].to(e[1].dtype) - e[2]) * e[1], e[3]))


def _double() -> PairCodec:
    """QLoRA's double quantization: NF4 in blocks of 32, their scales in 8 bits of the tensor's largest."""
    table = torch.tensor(NF4)

    def encode(x: Tensor) -> tuple[Tensor, Tensor, Tensor, int]:
        blocks = to_blocks(x, 32)
        scale = row_amax(blocks)
        whole = scale.amax() / 255
        scale_codes = torch.ceil(scale / whole).clamp(1, 255)  # up: nothing is clipped
        codes = nearest(blocks / (scale_codes * whole), table.to(x.device, x.dtype))
        return codes.to(torch.uint8), scale_codes.to(torch.uint8), whole, x.shape[-1]

    def decode(e: tuple[Tensor, Tensor, Tensor, int]) -> Tensor:
        values = table.to(e[2].device, e[2].dtype)[e[0].int()]
        return from_blocks(values * (e[1].to(e[2].dtype) * e[2]), e[3])

    return PairCodec(encode, decode)


def _raised(x: Tensor) -> tuple[Tensor, Tensor]:
    """MX with the exponent rounded up (NVIDIA's MXFP8 recipe), so that no element saturates; E2M3 here."""
    blocks = to_blocks(x.detach(), 32)
    ratio = row_amax(blocks) / 7.5
    power = exponent(ratio)
    power = (power + (torch.exp2(power) < ratio).to(power.dtype)).clamp(-126, 127)
    return float_grid(blocks / torch.exp2(power), 3, 0, 7.5), power


def _trained_raised(x: Tensor) -> Tensor:
    values, power = _raised(x)
    return ste(x, from_blocks(values * torch.exp2(power), x))


def _exported_raised() -> PairCodec:
    def encode(x: Tensor) -> Group:
        values, power = _raised(x)
        return values, power.to(torch.int16), x.shape[-1]

    return PairCodec(encode, lambda e: from_blocks(e[0] * torch.exp2(e[1].to(e[0].dtype)), e[2]))


HEALTHY: dict[str, Setup] = {
    "halves_packed_int4": Setup(Format("halves_packed_int4", _packed(), 4)),
    "float_zero_point_uint3": Setup(Format("float_zero_point_uint3", _float_zero(), 3)),
    "nf4_scales_of_8_bits": Setup(Format("nf4_scales_of_8_bits", _double(), 4)),
    "e2m3_exponent_raised": Setup(
        Format("e2m3_exponent_raised", FunctionCodec(function=_trained_raised, export=_exported_raised()), 6)
    ),
}
