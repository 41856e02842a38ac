"""Shapes, strides, dtypes, channels and given scales; and the errors for what cannot be."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from quantgate.formats import BUILTIN

ALL = sorted(BUILTIN)
BLOCKS = {
    "nf4": 64,
    "mxfp8": 32,
    "mxfp8_e5m2": 32,
    "mxfp6_e2m3": 32,
    "mxfp6_e3m2": 32,
    "mxfp4": 32,
    "mxint8": 32,
}
CHANNELS = ["int4", "int8", "int16", "fp8_e4m3", "fp4_e2m1", "gf8"]


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(47)) * 0.03


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "shape", [(), (0,), (1,), (31,), (65,), (3, 0), (0, 5), (2, 3, 33), (1, 1, 1), (4, 64)]
)
def test_shapes(name: str, shape: tuple[int, ...]) -> None:
    x = noise(*shape)
    format = BUILTIN[name]
    y, encoded = format.fake_quantize(x), format.encode(x)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    assert torch.equal(format.decode(encoded), y)
    assert torch.equal(format.fake_quantize(x, scale=encoded), y)


@pytest.mark.parametrize("name", ALL)
def test_strides_do_not_matter(name: str) -> None:
    format = BUILTIN[name]
    x = noise(6, 5, 66)
    views = [x.transpose(0, 2), x[:, :, 1::2], x[::2, 1], noise(1, 66).expand(4, 66), x.permute(2, 0, 1)[3:]]
    for view in views:
        assert not view.is_contiguous()
        copy = view.clone(memory_format=torch.contiguous_format)
        assert torch.equal(format.fake_quantize(view), format.fake_quantize(copy))
        assert torch.equal(format.decode(format.encode(view)), format.fake_quantize(copy))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_dtypes_are_worked_on_in_float32(name: str, dtype: torch.dtype) -> None:
    format = BUILTIN[name]
    x = noise(3, 70).to(dtype)
    y = format.fake_quantize(x)
    assert y.dtype is dtype
    assert torch.equal(y, format.fake_quantize(x.float()).to(dtype))
    encoded = format.encode(x)
    assert encoded.dtype is dtype
    assert torch.equal(format.decode(encoded), y)


def test_float64_is_rounded_to_float32_first() -> None:
    # Just above a tie of E4M3 by less than float32 resolves: the tie it becomes goes to even.
    x = torch.tensor([1 + 2**-4 + 2**-40], dtype=torch.float64)
    assert BUILTIN["fp8_e4m3"].fake_quantize(x, scale=1.0).item() == 1.0
    huge = torch.tensor([1e300, -1.0], dtype=torch.float64)
    assert BUILTIN["int8"].fake_quantize(huge).tolist() == [1.0, -1.0]


@pytest.mark.parametrize("name", ALL)
def test_results_are_new_tensors_without_a_graph(name: str) -> None:
    x = torch.nn.Parameter(noise(4, 64))
    before = x.detach().clone()
    y = BUILTIN[name].fake_quantize(x)
    assert not y.requires_grad
    y.fill_(7.0)
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_blocks_are_independent_and_the_last_may_be_short(name: str) -> None:
    x, size = noise(3, 2 * BLOCKS[name] + 5), BLOCKS[name]
    pieces = [torch.cat([BUILTIN[name].fake_quantize(piece) for piece in row.split(size)]) for row in x]
    assert torch.equal(BUILTIN[name].fake_quantize(x), torch.stack(pieces))


def test_nvfp4_blocks_share_the_tensor_scale() -> None:
    x = noise(3, 37)
    encoded = BUILTIN["nvfp4"].encode(x)
    assert encoded.tensor_scale is not None
    whole = BUILTIN["nvfp4"].fake_quantize(x)
    padded = torch.nn.functional.pad(x, (0, 11))
    assert torch.equal(BUILTIN["nvfp4"].fake_quantize(padded)[:, :37], whole)


@pytest.mark.parametrize("name", CHANNELS)
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_channels_have_their_own_scales(name: str, axis: int) -> None:
    x = noise(5, 6, 7) * torch.logspace(-3, 3, 5).view(5, 1, 1)
    format = BUILTIN[name].per_channel(axis)
    assert format.name == f"{name}_axis{axis}"
    y = format.fake_quantize(x)
    slices = [BUILTIN[name].fake_quantize(piece) for piece in x.unbind(axis)]
    assert torch.equal(y, torch.stack(slices, dim=axis))
    encoded = format.encode(x)
    assert encoded.scale is not None
    assert encoded.scale.shape == tuple(n if d == axis % 3 else 1 for d, n in enumerate(x.shape))
    assert torch.equal(format.decode(encoded), y)
    assert torch.equal(format.fake_quantize(y, scale=encoded), y)


def test_channels_of_zeros_infinities_and_vectors() -> None:
    format = BUILTIN["int8"].per_channel(0)
    x = torch.tensor([[0.0, 0.0], [torch.inf, 2.0], [torch.nan, 1.0], [1e-45, 0.0]])
    y = format.fake_quantize(x)
    assert torch.equal(y.nan_to_num(9.0), torch.tensor([[0.0, 0.0], [2.0, 2.0], [9.0, 1.0], [0.0, 0.0]]))
    assert torch.equal(format.fake_quantize(torch.tensor([3.0, -0.1])), torch.tensor([3.0, -0.1]))


def test_given_scales() -> None:
    x = torch.tensor([0.4, 2.6, -900.0])
    assert BUILTIN["int8"].fake_quantize(x, scale=1.0).tolist() == [0.0, 3.0, -127.0]
    assert BUILTIN["int8"].fake_quantize(x, scale=torch.tensor(2.0)).tolist() == [0.0, 2.0, -254.0]
    assert BUILTIN["bf16"].fake_quantize(x, scale=4).tolist() == [0.400390625, 2.59375, -900.0]
    assert BUILTIN["mxfp4"].fake_quantize(x, scale=0.5).tolist() == [0.5, 3.0, -3.0]
    assert BUILTIN["nvfp4"].fake_quantize(x, scale=0.0).tolist() == [0.0, 0.0, 0.0]
    two = torch.tensor([1.0, 8.0])
    seen = BUILTIN["mxfp4"].fake_quantize(torch.full((33,), 5.1), scale=two)
    assert seen.tolist() == [6.0] * 32 + [4.0]


@pytest.mark.parametrize("name", ["int8", "uint8", "bf16", "posit16", "mxfp4", "nf4", "nvfp4", "gf256"])
@pytest.mark.parametrize("method", ["fake_quantize", "encode"])
def test_what_is_no_float_tensor_is_refused(name: str, method: str) -> None:
    call = getattr(BUILTIN[name], method)
    wrong: list[tuple[Any, str]] = [
        (
            torch.ones(3, dtype=torch.int32),
            r"expected a floating-point tensor, got torch.int32\. If these are codes",
        ),
        (torch.ones(3, dtype=torch.complex64), r"got torch.complex64"),
        ([1.0, 2.0], r"got list\. Hint: wrap numbers in torch.tensor"),
    ]
    for x, message in wrong:
        with pytest.raises(TypeError, match=message):
            call(x)


@pytest.mark.parametrize(
    ("name", "scale", "message"),
    [
        (
            "int8",
            [1.0, 2.0],
            r"scale has shape \(2,\), expected \(\) or a number for a tensor of shape \(3, 40\)",
        ),
        ("mxfp4", [1.0, 2.0], r"scale has shape \(2,\), expected \(3, 2\)"),
        ("int8", 0.0, r"scale holds 0.0: scales are positive and finite"),
        ("fp16", -1.0, r"scale holds -1.0"),
        ("posit8", float("nan"), r"scale holds nan"),
        ("uint8", float("inf"), r"scale holds inf"),
        ("nf4", 0.0, r"scale holds 0.0"),
        ("nvfp4", -1.0, r"scale holds -1.0"),
        ("mxfp4", 3.0, r"not an E8M0 value, a power of two from 2\*\*-127 on"),
        ("mxfp4", 0.0, r"not an E8M0 value"),
        ("mxfp4", 2.0**-128, r"not an E8M0 value"),
        ("nvfp4", 0.3, r"not an E4M3 value"),
        ("nvfp4", 449.0, r"not an E4M3 value"),
    ],
)
def test_scales_that_cannot_be(name: str, scale: Any, message: str) -> None:
    given = torch.tensor(scale) if isinstance(scale, list) else scale
    with pytest.raises(ValueError, match=message):
        BUILTIN[name].fake_quantize(noise(3, 40), scale=given)


def test_an_encoded_without_scale_is_no_scale() -> None:
    with pytest.raises(ValueError, match="the Encoded given as scale has no scale"):
        BUILTIN["int8"].fake_quantize(noise(3), scale=BUILTIN["bf16"].encode(noise(3)))


def test_codes_without_their_scales_are_refused() -> None:
    from dataclasses import replace

    for name in ("uint8", "mxfp4"):
        encoded = replace(BUILTIN[name].encode(noise(3)), scale=None)
        with pytest.raises(ValueError, match=r"they come from encode\(\)"):
            BUILTIN[name].decode(encoded)


def test_channels_that_cannot_be() -> None:
    with pytest.raises(
        ValueError, match=r"mxfp4 cannot be scaled per channel: only formats with a per-tensor amax"
    ):
        BUILTIN["mxfp4"].per_channel(0)
    with pytest.raises(
        ValueError, match=r"cannot scale per channel along axis 2: the tensor has shape \(3, 4\)"
    ):
        BUILTIN["int8"].per_channel(2).fake_quantize(noise(3, 4))
