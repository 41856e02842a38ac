"""Tensors with scales: blocks, and integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from quantgate.formats import BUILTIN
from tests.formats import reference


def quantize_4bit(bitsandbytes: Any, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Codes, block scales and values that bitsandbytes gives a vector."""
    packed, state = bitsandbytes.functional.quantize_4bit(x, blocksize=64, quant_type="nf4")
    codes = torch.stack([packed.flatten() >> 4, packed.flatten() & 15], dim=-1).flatten()
    return codes, state.absmax, bitsandbytes.functional.dequantize_4bit(packed, state).view(x.shape)


def test_nf4_as_bitsandbytes(bitsandbytes: Any) -> None:
    generator = torch.Generator().manual_seed(47)
    x = torch.randn(1 << 20, generator=generator) * torch.rand(1 << 20, generator=generator)
    codes, absmax, values = quantize_4bit(bitsandbytes, x)
    encoded = BUILTIN["nf4"].encode(x)
    assert encoded.scale is not None
    assert torch.equal(encoded.codes, codes)
    assert torch.equal(encoded.scale, absmax)
    assert torch.equal(BUILTIN["nf4"].fake_quantize(x), values)


def test_nf4_midpoints_beside_bitsandbytes(bitsandbytes: Any) -> None:
    # bitsandbytes compares with midpoints that were rounded to float32; ours are exact. They differ by at
    # most one float32 number at each of the 15 boundaries, and there ours is the nearest.
    grid = reference.grid("nf4")
    middles = grid.boundaries.astype(np.float32)
    near = np.concatenate(
        [np.nextafter(middles, np.float32(-2)), middles, np.nextafter(middles, np.float32(2))]
    )
    x = torch.nn.functional.pad(torch.from_numpy(near), (0, 64 - 1 - len(near)))
    x = torch.cat([x, torch.ones(1)])
    codes, _, _ = quantize_4bit(bitsandbytes, x)
    ours = BUILTIN["nf4"].encode(x).codes
    differ = (codes != ours)[: len(near)]
    assert not differ[:15].any()
    assert not differ[30:].any()
    distance = [
        np.abs(grid.values[c[: len(near)].long().numpy()] - near.astype(np.float64)) for c in (ours, codes)
    ]
    assert (distance[0] <= distance[1]).all()
    assert (distance[0][differ.numpy()] <= distance[1][differ.numpy()]).all()


def mx_inputs() -> torch.Tensor:
    """Blocks of many magnitudes, some with their largest element just below a power of two."""
    generator = torch.Generator().manual_seed(47)
    x = torch.randn(512, 64, generator=generator) * 2.0 ** torch.randint(
        -40, 40, (512, 1), generator=generator
    )
    x[:128, 5] = 2.0 ** torch.arange(-64, 64) * (1 - 2.0**-24)
    x[128:256, :32] = x[128:256, :32].clamp(-1, 1)
    return x


MX = ["mxfp8", "mxfp8_e5m2", "mxfp6_e2m3", "mxfp6_e3m2", "mxfp4", "mxint8"]


@pytest.mark.parametrize("name", MX)
def test_mx_as_gfloat(name: str, gfloat: Any) -> None:
    from gfloat import formats  # type: ignore[attr-defined,unused-ignore]

    info = {
        "mxfp8": formats.format_info_mxfp8_e4m3,
        "mxfp8_e5m2": formats.format_info_mxfp8_e5m2,
        "mxfp6_e2m3": formats.format_info_mxfp6_e2m3,
        "mxfp6_e3m2": formats.format_info_mxfp6_e3m2,
        "mxfp4": formats.format_info_mxfp4_e2m1,
        "mxint8": formats.format_info_mxint8,
    }[name].etype
    x = mx_inputs()
    x = torch.cat([x[:8], x[120:136], x[-8:]])
    ours = BUILTIN[name].fake_quantize(x)
    for row, seen in zip(x.double().numpy(), ours.double().numpy(), strict=True):
        for block, got in zip(row.reshape(-1, 32), seen.reshape(-1, 32), strict=True):
            scale = gfloat.compute_scale_amax(info.emax, block)
            expected = gfloat.round_ndarray(info, block / scale, sat=True)
            # gfloat's INT8 has -2, in whose place we have -127/64: the grid stays symmetric.
            expected = np.maximum(expected, -127 / 64) if name == "mxint8" else expected
            assert np.array_equal(got, expected * scale)


def test_mx_as_torchao(mx_formats: Any) -> None:
    from torchao.prototype.mx_formats import mx_tensor

    dtypes = {
        "mxfp8": torch.float8_e4m3fn,
        "mxfp8_e5m2": torch.float8_e5m2,
        "mxfp6_e2m3": mx_tensor.DTYPE_FP6_E2M3,
        "mxfp6_e3m2": mx_tensor.DTYPE_FP6_E3M2,
        "mxfp4": torch.float4_e2m1fn_x2,
    }
    x = mx_inputs()
    for name, dtype in dtypes.items():
        scale, data = mx_tensor.to_mx(x, dtype, 32)
        expected = mx_tensor.to_dtype(data, scale, dtype, 32, torch.float32)
        encoded = BUILTIN[name].encode(x)
        assert encoded.scale is not None
        assert torch.equal(encoded.scale.view(torch.uint8), scale.view(torch.uint8)), name
        assert torch.equal(BUILTIN[name].fake_quantize(x), expected), name


def test_tiny_mx_blocks_where_torchao_is_wrong_by_a_factor_of_two(mx_formats: Any) -> None:
    # The smallest scale is 2**-127 (OCP MX v1.0, 5.4.1). torchao divides by no less than 2**-126 and multiplies
    # by 2**-127, so that such blocks come back halved. Ours come back as they are: they are on the grid.
    from torchao.prototype.mx_formats import mx_tensor

    x = torch.full((1, 32), 2.0**-127)
    scale, data = mx_tensor.to_mx(x, torch.float8_e4m3fn, 32)
    theirs = mx_tensor.to_dtype(data, scale, torch.float8_e4m3fn, 32, torch.float32)
    assert torch.equal(theirs, x / 2)
    assert torch.equal(BUILTIN["mxfp8"].fake_quantize(x), x)


def test_mx_scale_just_below_a_power_of_two() -> None:
    # float32 log2 of the number before 2**k is k, so that implementations that take it (microxcaling,
    # auto-round) have a scale of twice the size. floor(log2(x)) is k - 1: the exponent field's.
    for k in (-30, -3, 0, 1, 40):
        below = torch.tensor(2.0**k * (1 - 2.0**-24))
        if k in (1, 40):
            assert float(torch.floor(torch.log2(below))) in (k - 1, k)
        scale = BUILTIN["mxfp4"].encode(below.repeat(32)).scale
        assert scale is not None
        assert scale.float().tolist() == [2.0 ** (k - 1 - 2)]


def nvfp4_by_steps(x: torch.Tensor) -> torch.Tensor:
    """nvfp4 written out: torch's E4M3 for the block scales, the slow reference for the elements."""
    tensor_scale = x.abs().max() / 6 / 448
    blocks = x.view(-1, 16)
    block_scale = (
        (blocks.abs().amax(-1, keepdim=True) / 6 / tensor_scale).clamp(max=448).to(torch.float8_e4m3fn)
    )
    factor = block_scale.float() * tensor_scale
    scaled = torch.where(factor == 0, 0.0, blocks / factor)
    values, _ = reference.grid("nvfp4").nearest(scaled.numpy())
    return torch.from_numpy(values).float().mul(factor).view(x.shape)


def test_nvfp4_where_torchao_drops_subnormal_scales(mx_formats: Any) -> None:
    # E4M3 has subnormals down to 2**-9. torchao raises every block scale to 2**-6, so that blocks much smaller
    # than the tensor's largest lose bits that the format has. It also multiplies by a reciprocal, we divide.
    from torchao.prototype.mx_formats import nvfp4_tensor

    x = torch.randn(64, 64, generator=torch.Generator().manual_seed(47))
    x[:, :16] *= 2e-5
    ours = BUILTIN["nvfp4"].fake_quantize(x)
    assert torch.equal(ours, nvfp4_by_steps(x))
    tensor_scale = nvfp4_tensor.per_tensor_amax_to_scale(x.abs().max())
    encoded = BUILTIN["nvfp4"].encode(x)
    assert encoded.scale is not None
    assert encoded.tensor_scale is not None
    assert torch.equal(encoded.tensor_scale, tensor_scale)
    scales, _ = nvfp4_tensor.nvfp4_quantize(x, per_tensor_scale=tensor_scale)
    theirs = scales.float().view(64, 4)
    assert torch.equal(encoded.scale.float()[:, 1:], theirs[:, 1:])
    assert (theirs[:, 0] == 2.0**-6).all()
    assert (encoded.scale.float()[:, 0] < 2.0**-6).all()
    small = x[:, :16]
    # What rounding the scales up costs there.
    assert (ours[:, :16] - small).abs().mean() < 0.2 * small.abs().mean()


def test_integers_as_torchao_given_the_scale() -> None:
    primitives: Any = pytest.importorskip(
        "torchao.quantization.quant_primitives",
        reason="torchao is not installed; it comes with quantgate[oracles]",
    )
    x = torch.randn(64, 64, generator=torch.Generator().manual_seed(47))
    encoded = BUILTIN["uint8"].encode(x)
    args = (x, (64, 64), encoded.scale, encoded.zero_point, torch.uint8, 0, 255)
    theirs = primitives.quantize_affine(*args)
    # torchao multiplies by the reciprocal of the scale, we divide: at most one code apart, and rarely.
    apart = (theirs.int() - encoded.codes.int()).abs()
    assert int(apart.max()) <= 1
    assert float((apart > 0).float().mean()) < 0.001


def test_int8_divides_by_its_scale() -> None:
    # Multiplying by the reciprocal differs next to ties; at these, in a sixth.
    steps = torch.linspace(0.01, 0.99, 99)
    apart = 0
    for step in steps:
        x = (torch.arange(-127, 127) + 0.5) * step
        codes = BUILTIN["int8"].encode(x, scale=step).codes
        assert torch.equal(codes.float(), (x / step).round())
        apart += int((codes != (x * (1 / step)).round()).sum())
    assert apart > 99 * 254 / 10
