"""Faults of codecs and exports: packing, sign extension, zero points, layouts of scales, overflow."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from quantgate.faults.setups import Fault, Setup
from quantgate.formats import Format
from quantgate.subjects.codecs import FunctionCodec, PairCodec
from tests.heldout.second.ops import from_blocks, grid, into_blocks, row_scale, safe, ste, tensor_scale


class Packed(NamedTuple):
    """Codes, scales, zero points, and an empty tensor of the shape and dtype to return."""

    codes: Tensor
    scale: Tensor
    zero: Tensor
    like: Tensor


def _like(x: Tensor) -> Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device="meta")


def _back(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(like.shape).to(like.dtype)


def pack(codes: Tensor) -> Tensor:
    """Two 4-bit codes (0 to 15) a byte, the first in the low nibble."""
    flat = codes.to(torch.uint8).flatten()
    flat = torch.nn.functional.pad(flat, (0, flat.numel() % 2))
    return flat[0::2] | (flat[1::2] << 4)


def unpack(packed: Tensor, count: int, high_first: bool = False) -> Tensor:
    """The codes that `pack` packed."""
    pair = [packed & 15, packed >> 4]
    if high_first:
        pair.reverse()
    return torch.stack(pair, 1).flatten()[:count]


def int4_rows(x: Tensor) -> Tensor:
    """Symmetric 4 bits per row: what is trained."""
    return ste(x, grid(x, row_scale(x, 7), 7))


def pack_int4(x: Tensor) -> Packed:
    """The export of `int4_rows`, codes shifted by 8."""
    s = row_scale(x, 7)
    codes = (x.float() / s).round().clamp(-7, 7) + 8
    return Packed(pack(codes), s, torch.tensor(8.0), _like(x))


def _unpack_int4(p: Packed, high_first: bool) -> Tensor:
    codes = unpack(p.codes, p.like.numel(), high_first).reshape(p.like.shape).float()
    return _back((codes - 8) * p.scale, p.like)


def affine4(x: Tensor) -> Tensor:
    """Affine 4 bits per row, whole zero point: what is trained."""
    return ste(x, load_affine(store_affine(x), 1))


def store_affine(x: Tensor) -> Packed:
    """GPTQ's layout: the zero point is stored less one."""
    d = x.detach().float()
    lo, hi = d.amin(-1, keepdim=True).clamp(max=0), d.amax(-1, keepdim=True).clamp(min=0)
    s = safe((hi - lo) / 15)
    zero = (-lo / s).round().clamp(0, 15)
    return Packed(((d / s).round() + zero).clamp(0, 15), s, zero - 1, _like(x))


def load_affine(p: Packed, added: int) -> Tensor:
    """Read that layout, adding to the zero point what the writer took off."""
    return _back((p.codes - (p.zero + added)) * p.scale, p.like)


def store_groups(x: Tensor) -> Packed:
    """6 bits in groups of 16, scales laid out (groups, rows) as marlin-like kernels read them."""
    b = into_blocks(x, 16)
    s = safe(b.abs().amax(1) / 31)
    rows = max(1, x.numel() // (x.shape[-1] if x.ndim else 1))
    codes = (b / s[:, None]).round().clamp(-31, 31)
    return Packed(codes, s.reshape(rows, -1).t().contiguous(), torch.zeros(()), _like(x))


def load_groups(p: Packed, turned: bool) -> Tensor:
    """Read them: turned back to (rows, groups), or merely flattened."""
    s = (p.scale.t() if turned else p.scale).reshape(-1, 1)
    return from_blocks(p.codes * s, p.like)


def store_twos(x: Tensor) -> Packed:
    """4 bits per tensor in two's complement nibbles."""
    s = tensor_scale(x, 7)
    codes = (x.detach().float() / s).round().clamp(-7, 7).to(torch.int32) & 15
    return Packed(pack(codes), s, torch.zeros(()), _like(x))


def load_twos(p: Packed, extend: bool) -> Tensor:
    """Read them, with or without extending the sign bit."""
    codes = unpack(p.codes, p.like.numel()).to(torch.int32)
    if extend:
        codes = (codes ^ 8) - 8
    return _back(codes.float() * p.scale, p.like)


def _store_int8(x: Tensor, top: int) -> Packed:
    s = row_scale(x, top)
    codes = (x.detach().float() / s).round().to(torch.int32)
    return Packed(codes.to(torch.int8), s, torch.zeros(()), _like(x))


def _load_int8(p: Packed) -> Tensor:
    return _back(p.codes.float() * p.scale, p.like)


def _exported(name: str, function: object, pair: PairCodec) -> Setup:
    return Setup(Format(name, FunctionCodec(function=function, export=pair), 4))  # type: ignore[arg-type]


def _paired(name: str, bits: float, pair: PairCodec) -> Setup:
    return Setup(Format(name, pair, bits))


_CASES = (
    # Bug: the reader takes the high nibble first: neighbours trade places in the deployed weights.
    Fault(
        "export_int4_nibbles_swapped",
        "train-deploy-mismatch",
        _exported("export_int4_nibbles", int4_rows, PairCodec(pack_int4, lambda p: _unpack_int4(p, True))),
        _exported(
            "export_int4_nibbles_right", int4_rows, PairCodec(pack_int4, lambda p: _unpack_int4(p, False))
        ),
    ),
    # Bug: the writer follows GPTQ v1 (zero point less one), the reader v2 (as it is): all shift by a step.
    Fault(
        "export_affine_zero_point_less_one",
        "train-deploy-mismatch",
        _exported("export_affine_zero", affine4, PairCodec(store_affine, lambda p: load_affine(p, 0))),
        _exported("export_affine_zero_right", affine4, PairCodec(store_affine, lambda p: load_affine(p, 1))),
    ),
    # Bug: scales are stored (groups, rows) and read by reshape: groups get the scales of other rows.
    Fault(
        "group_scales_reshaped_not_turned",
        "scale-misplaced",
        _paired("group_scales_layout", 6, PairCodec(store_groups, lambda p: load_groups(p, False))),
        _paired("group_scales_layout_right", 6, PairCodec(store_groups, lambda p: load_groups(p, True))),
    ),
    # Bug: nibbles are read as 0 to 15: -1 comes back as 15.
    Fault(
        "nibbles_without_sign_extension",
        "sign-lost",
        _paired("twos_complement_nibbles", 4, PairCodec(store_twos, lambda p: load_twos(p, False))),
        _paired("twos_complement_nibbles_right", 4, PairCodec(store_twos, lambda p: load_twos(p, True))),
        frozenset({"overflow-wrapped"}),
    ),
    # Bug: the scale is the largest over 128 and nothing clamps: a row's largest positive weight becomes -128.
    Fault(
        "int8_largest_wraps",
        "overflow-wrapped",
        _paired("int8_over_128", 8, PairCodec(lambda x: _store_int8(x, 128), _load_int8)),
        _paired("int8_over_128_right", 8, PairCodec(lambda x: _store_int8(x, 127), _load_int8)),
    ),
)

FAULTS = {fault.name: fault for fault in _CASES}
