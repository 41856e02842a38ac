"""Numbers rounded one by one, at scale 1."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from quantgate.formats import BUILTIN
from tests.formats import reference
from tests.formats.oracles.test_decoding import ML_DTYPES, gfloat_info

Floats = NDArray[np.float32]


def rounded(name: str, x: NDArray[Any]) -> Floats:
    """Our values at scale 1."""
    values: Floats = BUILTIN[name].fake_quantize(torch.from_numpy(x.astype(np.float32)), scale=1.0).numpy()
    return values


def in_range(name: str, x: Floats) -> Floats:
    """Numbers, none beyond the largest value: what the implementations do there differs, see below."""
    largest = np.float32(reference.grid(name).values[-1])
    clipped: Floats = np.clip(x[~np.isnan(x)], -largest, largest)
    return clipped


def bits(x: NDArray[Any]) -> list[int]:
    """Bit patterns of float32, so that -0 is not 0."""
    patterns: list[int] = x.astype(np.float32).view(np.uint32).tolist()
    return patterns


@pytest.mark.parametrize("name", sorted(ML_DTYPES))
def test_minifloats_as_ml_dtypes(name: str, ml_dtypes: Any, million: Floats, every_bfloat16: Floats) -> None:
    x = in_range(name, np.concatenate([million, every_bfloat16]))
    with np.errstate(all="ignore"):
        expected = x.astype(getattr(ml_dtypes, ML_DTYPES[name]))
    codes = BUILTIN[name].encode(torch.from_numpy(x), scale=1.0).codes
    assert np.array_equal(
        codes.numpy().view(expected.view(f"u{expected.itemsize}").dtype),
        expected.view(f"u{expected.itemsize}"),
    )


@pytest.mark.parametrize("name", ["fp16", "gf4", "gf8", "gf12", "gf16", "gf20", "gf24", "gf32"])
def test_goldenfloats_and_half_as_apytypes(
    name: str, apytypes: Any, million: Floats, special: Floats
) -> None:
    e, m, _ = reference.MINIFLOATS[name]
    x = np.concatenate([million[:100_000], million[-100_000:], special])
    if name in reference.SMALL:
        x = in_range(name, x)
    else:
        largest = np.float32((2 - 2.0**-m) * 2.0 ** min(2 ** (e - 1) - 1, 127))
        x = np.clip(x, -largest, largest)
    expected = apytypes.APyFloatArray.from_array(x.astype(np.float64), e, m).to_numpy()
    assert bits(rounded(name, x)) == bits(expected)


@pytest.mark.parametrize(
    "name", ["fp8_e4m3", "fp8_e5m2", "fp6_e2m3", "fp6_e3m2", "fp4_e2m1", "gf8", "gf16", "gf24"]
)
def test_minifloats_as_gfloat_saturating(name: str, gfloat: Any, million: Floats, special: Floats) -> None:
    info = gfloat_info(gfloat, *reference.MINIFLOATS[name])
    x = np.concatenate([million[:20_000], million[-20_000:], special])
    if name == "gf24":
        # Above its last float32, gf24 goes on; float32 in, float32 out saturates.
        largest = np.float32((2 - 2.0**-14) * 2.0**127)
        x = np.clip(x, -largest, largest)
    expected = gfloat.round_ndarray(info, x.astype(np.float64), sat=True)
    assert bits(rounded(name, x)) == bits(expected)


@pytest.mark.parametrize("name", ["posit8", "posit16", "posit32"])
def test_posits_as_universal(name: str, universal: Any, million: Floats, every_bfloat16: Floats) -> None:
    x = np.concatenate([million, every_bfloat16])
    x = x[np.isfinite(x)]
    with np.errstate(over="ignore"):
        expected = x.astype(getattr(universal, name))
    codes = BUILTIN[name].encode(torch.from_numpy(x), scale=1.0).codes.numpy()
    assert np.array_equal(codes.view(f"u{codes.itemsize}"), expected.view(f"u{codes.itemsize}"))


def test_posits_of_infinity_saturate_where_universal_has_nar(universal: Any) -> None:
    # The standard maps infinities of other formats to NaR (6.5). quantgate has one rule for all formats: an
    # infinity is an overflow, and overflow saturates. Only NaN is NaR.
    assert np.isnan(np.array([np.inf], np.float32).astype(universal.posit8).astype(np.float64))[0]
    assert rounded("posit8", np.array([np.inf, -np.inf])).tolist() == [2.0**24, -(2.0**24)]
    assert BUILTIN["posit8"].encode(torch.tensor([torch.nan]), scale=1.0).codes.tolist() == [0x80]


TORCH = {"fp16": "float16", "bf16": "bfloat16", "fp8_e4m3": "float8_e4m3fn", "fp8_e5m2": "float8_e5m2"}


@pytest.mark.parametrize("name", sorted(TORCH))
def test_minifloats_as_torch(name: str, million: Floats) -> None:
    x = torch.from_numpy(in_range(name, million))
    expected = x.to(getattr(torch, TORCH[name]))
    assert torch.equal(
        BUILTIN[name].fake_quantize(x, scale=1.0).view(torch.int32), expected.float().view(torch.int32)
    )


def test_overflow_saturates_where_the_implementations_differ(ml_dtypes: Any) -> None:
    # OCP OFP8 (section 5.2.1) leaves the choice between saturating and inf or NaN. ml_dtypes does not saturate,
    # torch saturates in E4M3 but not in E5M2. A quantizer with an amax scale must saturate: its largest element
    # lands on the limit, give or take a rounding.
    x = np.array([1e6, -1e6], np.float32)
    with np.errstate(all="ignore"):
        assert np.isnan(x.astype(ml_dtypes.float8_e4m3fn).astype(np.float32)).all()
        assert np.isinf(x.astype(ml_dtypes.float8_e5m2).astype(np.float32)).all()
    assert torch.from_numpy(x).to(torch.float8_e5m2).float().isinf().all()
    assert rounded("fp8_e4m3", x).tolist() == [448.0, -448.0]
    assert rounded("fp8_e5m2", x).tolist() == [57344.0, -57344.0]
