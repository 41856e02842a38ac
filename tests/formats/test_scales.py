"""The scales that formats derive, and what non-finite, tiny and huge tensors come to."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from quantgate.formats import BUILTIN
from quantgate.formats.layout import Layout

from . import reference

AMAX = {
    "int4": 7.0,
    "int8": 127.0,
    "int16": 32767.0,
    "fp8_e4m3": 448.0,
    "fp8_e5m2": 57344.0,
    "fp6_e2m3": 7.5,
    "fp6_e3m2": 28.0,
    "fp4_e2m1": 6.0,
    "gf4": 1.5,
    "gf8": 15.5,
}
UNSCALED = ["fp16", "bf16", "gf12", "gf16", "gf20", "gf24", "gf32", "gf64", "gf256", "fp32", "fp64"]
POSITS = ["posit8", "posit16", "posit32"]
#: Largest exponent of each MX element (OCP MX v1.0, table 1).
MX = {"mxfp8": 8, "mxfp8_e5m2": 15, "mxfp6_e2m3": 2, "mxfp6_e3m2": 4, "mxfp4": 2, "mxint8": 0}


def noise(*shape: int, std: float = 0.03) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(47)) * std


def scale_of(name: str, x: torch.Tensor) -> list[float]:
    scale = BUILTIN[name].encode(x).scale
    assert scale is not None
    values: list[float] = scale.float().flatten().tolist()
    return values


def test_every_format_has_a_scale_rule_tested_here() -> None:
    assert sorted([*AMAX, *UNSCALED, *POSITS, *MX, "uint4", "uint8", "nf4", "nvfp4"]) == sorted(BUILTIN)


@pytest.mark.parametrize("name", sorted(AMAX))
def test_amax_lands_on_the_largest_value(name: str) -> None:
    x = noise(9, 33)
    amax = np.float32(x.abs().max())
    assert scale_of(name, x) == [amax / np.float32(AMAX[name])]
    codes = BUILTIN[name].encode(x)
    assert BUILTIN[name].decode(codes).abs().max() == pytest.approx(float(amax), rel=1e-6)


@pytest.mark.parametrize("name", UNSCALED)
def test_wide_formats_are_not_scaled(name: str) -> None:
    assert BUILTIN[name].encode(noise(5)).scale is None


@pytest.mark.parametrize("name", POSITS)
@pytest.mark.parametrize("std", [1e-30, 0.03, 1.0, 1e30])
def test_posits_are_scaled_by_the_power_of_two_below_the_rms(name: str, std: float) -> None:
    x = noise(9, 33, std=std)
    rms = math.sqrt(float((x.double() ** 2).mean()))
    assert scale_of(name, x) == [2.0 ** math.floor(math.log2(rms))]


@pytest.mark.parametrize("name", ["uint4", "uint8"])
@pytest.mark.parametrize(("shift", "low", "high"), [(0.0, None, None), (9.0, 0.0, None), (-9.0, None, 0.0)])
def test_the_range_of_unsigned_integers_includes_zero(
    name: str, shift: float, low: float | None, high: float | None
) -> None:
    x = noise(9, 33) + shift
    low, high = (float(x.min()) if low is None else low), (float(x.max()) if high is None else high)
    qmax = reference.INTEGERS[name][1]
    encoded = BUILTIN[name].encode(x)
    scale = (np.float32(high) - np.float32(low)) / np.float32(qmax)
    assert scale_of(name, x) == [scale]
    assert encoded.zero_point is not None
    assert int(encoded.zero_point) == round(float(-np.float32(low) / scale))
    codes = np.clip(np.rint(x.numpy() / scale) + int(encoded.zero_point), 0, qmax)
    assert np.array_equal(encoded.codes.numpy(), codes)
    zero = BUILTIN[name].fake_quantize(torch.cat([x.flatten(), torch.zeros(1)]))[-1]
    assert zero.item() == 0.0


def test_unsigned_integers_round_before_the_zero_point_is_added() -> None:
    # With an odd zero point, rounding the sum would send ties the other way.
    x = torch.tensor([-1.0, 0.5, 1.5, 2.5, 14.0])
    encoded = BUILTIN["uint4"].encode(x)
    assert (encoded.scale, encoded.zero_point) == (torch.tensor(1.0), torch.tensor(1))
    assert encoded.codes.tolist() == [0, 1, 3, 3, 15]


@pytest.mark.parametrize("name", sorted(MX))
def test_mx_scales_are_the_exponent_of_the_largest_element(name: str) -> None:
    x = noise(9, 70)
    expected = [
        2.0 ** (math.frexp(float(block.abs().max()))[1] - 1 - MX[name])
        for row in x
        for block in row.split(32)
    ]
    assert scale_of(name, x) == expected
    assert BUILTIN[name].encode(x).scale.shape == (9, 3)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", sorted(MX))
def test_mx_scales_are_stored_as_exponent_bytes(name: str) -> None:
    smallest = {"mxfp8": 2.0**-9, "mxfp8_e5m2": 2.0**-16, "mxfp6_e2m3": 2.0**-3, "mxfp6_e3m2": 2.0**-4}
    x = torch.zeros(6, 32)
    # Byte 0 is 2**-127, also for what is smaller, zeros included; byte 255 is NaN.
    x[0] = 2.0**-127 * smallest.get(name, 2.0**-1)
    x[1], x[2, 3], x[3], x[4, 5] = 1e-45, torch.nan, 2.0 ** MX[name], torch.inf
    encoded = BUILTIN[name].encode(x)
    assert encoded.scale is not None
    assert encoded.scale.view(torch.uint8).flatten().tolist() == [0, 0, 255, 127, 0, 0]
    assert torch.equal(BUILTIN[name].decode(encoded)[0], x[0])


def test_nf4_scales_are_the_largest_magnitudes() -> None:
    x = noise(9, 70)
    assert scale_of("nf4", x) == [float(block.abs().max()) for row in x for block in row.split(64)]


def test_nvfp4_scales_the_tensor_and_its_blocks() -> None:
    x = noise(9, 40)
    encoded = BUILTIN["nvfp4"].encode(x)
    assert encoded.scale is not None
    assert encoded.tensor_scale is not None
    tensor_scale = np.float32(x.abs().max()) / np.float32(6) / np.float32(448)
    assert float(encoded.tensor_scale) == tensor_scale
    e4m3 = reference.grid("fp8_e4m3")
    wanted = [
        np.float32(block.abs().max()) / np.float32(6) / tensor_scale for row in x for block in row.split(16)
    ]
    assert encoded.scale.shape == (9, 3)
    assert encoded.scale.float().flatten().tolist() == e4m3.nearest(np.array(wanted, np.float32))[0].tolist()


@pytest.mark.parametrize("name", sorted(BUILTIN))
def test_zeros_stay_zeros(name: str) -> None:
    for x in (torch.zeros(3, 70), torch.tensor([[0.0] * 40 + [1.0] * 30])):
        y = BUILTIN[name].fake_quantize(x)
        assert not y[x == 0].any()
        assert torch.equal(BUILTIN[name].decode(BUILTIN[name].encode(x)), y)


@pytest.mark.parametrize("name", sorted(BUILTIN))
@pytest.mark.parametrize("size", [1e-45, 1e-42, 2.0**-133, 2.0**-127, 2.0**-126, 1e38, 3.4028234e38])
def test_tiny_and_huge_tensors_stay_finite(name: str, size: float) -> None:
    x = noise(2, 70, std=1.0).clamp(-1, 1)
    x[0, 0], x[1, 1] = 1.0, -1.0
    x = x * size
    y = BUILTIN[name].fake_quantize(x)
    assert y.isfinite().all()
    assert (y.abs() <= max(2 * size, 1e-44)).all()
    assert torch.equal(BUILTIN[name].decode(BUILTIN[name].encode(x)), y)


@pytest.mark.parametrize("name", [n for n in AMAX if n not in ("gf4", "gf8")])
def test_a_scale_that_underflows_gives_zeros(name: str) -> None:
    x = torch.tensor([1e-45, -1e-45, 0.0])
    assert scale_of(name, x) == [1.0]
    assert not BUILTIN[name].fake_quantize(x).any()


@pytest.mark.parametrize("name", [n for n in BUILTIN if not BUILTIN[n].lossless])
def test_infinities_saturate_and_do_not_set_the_scale(name: str) -> None:
    finite = noise(70)
    x = finite.clone()
    x[5], x[6] = torch.inf, -torch.inf
    without = finite.clone()
    without[5] = without[6] = 0.0
    format = BUILTIN[name]
    y = format.fake_quantize(x)
    assert y.isfinite().all()
    others = torch.arange(70) > 6
    if name not in POSITS:
        assert torch.equal(y[others], format.fake_quantize(without)[others])
    assert y[5] == y.max()
    assert y[6] == y.min()
    assert torch.equal(format.decode(format.encode(x)), y)
    assert format.fake_quantize(torch.full((3,), torch.inf)).isfinite().all()


@pytest.mark.parametrize("name", POSITS)
def test_the_rms_leaves_out_what_is_not_finite(name: str) -> None:
    x = torch.cat([noise(70), torch.tensor([torch.inf, torch.nan])])
    assert scale_of(name, x) == scale_of(name, x[:70])


HAS_NAN = ["fp16", "bf16", "fp8_e4m3", "fp8_e5m2", *[n for n in BUILTIN if n.startswith("gf")], *POSITS, *MX]
HAS_NAN += ["fp32", "fp64"]


@pytest.mark.parametrize("name", sorted(BUILTIN))
def test_nan_is_kept_and_does_not_spread(name: str) -> None:
    x = noise(140)
    x[33] = torch.nan
    without = x.clone()
    without[33] = 0.0
    format = BUILTIN[name]
    y, clean = format.fake_quantize(x), format.fake_quantize(without)
    assert y[33].isnan()
    outside = torch.ones(140, dtype=torch.bool)
    # An MX block has one scale for all its elements, and NaN is a scale.
    outside[32:64] = name not in MX
    outside[33] = False
    if name not in POSITS:
        assert torch.equal(y[outside], clean[outside])
    if name in MX:
        assert y[32:64].isnan().all()


def test_layouts_publish_their_policies() -> None:
    for name, format in BUILTIN.items():
        layout = format.codec
        assert isinstance(layout, Layout)
        assert layout.nan == ("block" if name in MX else "code" if name in HAS_NAN else "none"), name
        assert layout.overflow == ("keep" if format.lossless else "saturate"), name
        assert layout.ties == ("lower" if name == "nf4" else "encoding" if name in POSITS else "even"), name


@pytest.mark.parametrize("name", sorted(HAS_NAN))
def test_nan_has_a_code(name: str) -> None:
    x = noise(140)
    x[33] = torch.nan
    format = BUILTIN[name]
    assert torch.equal(format.decode(format.encode(x)).isnan(), format.fake_quantize(x).isnan())


@pytest.mark.parametrize("name", sorted(set(BUILTIN) - set(HAS_NAN)))
def test_encode_refuses_nan_where_there_is_none(name: str) -> None:
    with pytest.raises(
        ValueError, match=r"cannot encode 2 NaN among 4 elements: the format has no NaN\..*Hint: "
    ):
        BUILTIN[name].encode(torch.tensor([1.0, torch.nan, torch.nan, 2.0]))


def test_float32_patterns_of_nan_do_not_turn_into_numbers() -> None:
    patterns = torch.tensor([0x7FFFFFFF, 0x7F800001, -1, -0x7FFFFF], dtype=torch.int32)
    for name, format in BUILTIN.items():
        assert format.fake_quantize(patterns.view(torch.float32)).isnan().all(), name
        assert format.fake_quantize(patterns.view(torch.float32), scale=1.0).isnan().all(), name
