"""Every code of every format of at most 16 bits, decoded as an independent implementation does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from quantgate.formats import BUILTIN, Encoded
from tests.formats import reference

#: ml_dtypes' name of each minifloat that it has; gf8 is its float8_e3m4.
ML_DTYPES = {
    "bf16": "bfloat16",
    "fp8_e4m3": "float8_e4m3fn",
    "fp8_e5m2": "float8_e5m2",
    "fp6_e2m3": "float6_e2m3fn",
    "fp6_e3m2": "float6_e3m2fn",
    "fp4_e2m1": "float4_e2m1fn",
    "gf8": "float8_e3m4",
    "mxfp8": "float8_e4m3fn",
    "mxfp8_e5m2": "float8_e5m2",
    "mxfp6_e2m3": "float6_e2m3fn",
    "mxfp6_e3m2": "float6_e3m2fn",
    "mxfp4": "float4_e2m1fn",
    "nvfp4": "float4_e2m1fn",
}


def decode_all(name: str, bits: int) -> NDArray[np.float64]:
    """Values of the codes 0 .. 2**bits - 1 at scale 1."""
    format = BUILTIN[name]
    # Encoding ones at scale 1 gives the scales to decode with.
    ones = format.encode(torch.ones(1 << bits, dtype=torch.float64), scale=1.0)
    codes = torch.arange(1 << bits).to(ones.codes.dtype)
    values: NDArray[np.float64] = format.decode(replace(ones, codes=codes)).numpy()
    return values


def assert_same(seen: NDArray[np.float64], expected: NDArray[Any]) -> None:
    """Equal values, NaN at the same codes, and the same sign of zeros."""
    with np.errstate(invalid="ignore"):
        expected = expected.astype(np.float64)
    assert np.array_equal(seen, expected, equal_nan=True)
    numbers = ~np.isnan(expected)
    assert np.array_equal(np.signbit(seen[numbers]), np.signbit(expected[numbers]))


@pytest.mark.parametrize("name", sorted(ML_DTYPES))
def test_minifloats_as_ml_dtypes(name: str, ml_dtypes: Any) -> None:
    dtype = np.dtype(getattr(ml_dtypes, ML_DTYPES[name]))
    bits = int(BUILTIN[name].bits or 0)
    codes = np.arange(1 << bits, dtype=np.uint16 if bits > 8 else np.uint8)
    assert_same(decode_all(name, bits), codes.view(dtype))


@pytest.mark.parametrize("name", [n for n in reference.SMALL if n in reference.MINIFLOATS])
def test_minifloats_as_gfloat(name: str, gfloat: Any) -> None:
    e, m, specials = reference.MINIFLOATS[name]
    info = gfloat_info(gfloat, e, m, specials)
    expected = gfloat.decode_ndarray(info, np.arange(2 << (e + m)))
    assert_same(decode_all(name, 1 + e + m), expected)


@pytest.mark.parametrize("name", [n for n in reference.SMALL if n.startswith("gf")] + ["gf20"])
def test_goldenfloats_as_apytypes(name: str, apytypes: Any) -> None:
    e, m, _ = reference.MINIFLOATS[name]
    expected = apytypes.APyFloatArray.from_bits(list(range(2 << (e + m))), e, m).to_numpy()
    assert_same(decode_all(name, 1 + e + m), expected)


def test_half_precision_as_numpy() -> None:
    assert_same(decode_all("fp16", 16), np.arange(1 << 16, dtype=np.uint16).view(np.float16))


@pytest.mark.parametrize("bits", [8, 16])
def test_posits_as_universal(bits: int, universal: Any) -> None:
    codes = np.arange(1 << bits, dtype=f"u{bits // 8}")
    assert_same(
        decode_all(f"posit{bits}", bits), codes.view(getattr(universal, f"posit{bits}")).astype(np.float64)
    )


def test_posit32_as_universal(universal: Any) -> None:
    codes = np.random.default_rng(3).integers(0, 1 << 32, 200_000, dtype=np.uint32)
    codes = np.concatenate(
        [codes, np.array([0, 1, 1 << 31, (1 << 31) - 1, (1 << 31) + 1, 2**32 - 1], np.uint32)]
    )
    encoded = Encoded(torch.from_numpy(codes.view(np.int32)), torch.float64)
    # A posit32 holds up to 27 fraction bits; the working type float32 rounds them once, to 23.
    expected = codes.view(universal.posit32).astype(np.float64).astype(np.float32)
    assert_same(BUILTIN["posit32"].decode(encoded).numpy(), expected)


@pytest.mark.parametrize("name", sorted(reference.INTEGERS))
def test_integers(name: str) -> None:
    _, _, step = reference.INTEGERS[name]
    bits = int(BUILTIN[name].bits or 0)
    patterns = np.arange(1 << bits)
    # OCP MX v1.0, 5.3.4 and two's complement: the code that is never produced, -qmax - 1, has its value too.
    codes = (patterns + (1 << 15)) % (1 << 16) - (1 << 15) if bits == 16 else patterns
    if name in ("int8", "mxint8"):
        codes = (patterns + 128) % 256 - 128
    assert_same(decode_all(name, bits), codes * step)


def test_nf4_as_bitsandbytes(bitsandbytes: Any) -> None:
    table = bitsandbytes.functional.get_4bit_type("nf4", device="cpu")
    assert_same(decode_all("nf4", 4), table.numpy())


def test_codes_of_another_format_are_refused() -> None:
    codes = BUILTIN["fp8_e4m3"].encode(torch.ones(3))
    with pytest.raises(TypeError, match=r"codes are torch.uint8, expected torch.int16: .* another format"):
        BUILTIN["bf16"].decode(codes)
    beyond = Encoded(torch.tensor([16], dtype=torch.uint8), torch.float32, torch.ones(1))
    with pytest.raises(ValueError, match="code 16 is beyond a codebook of 16 values"):
        BUILTIN["nf4"].decode(beyond)


def gfloat_info(gfloat: Any, e: int, m: int, specials: str) -> Any:
    """The description that gfloat takes of a minifloat."""
    domain = gfloat.Domain.Extended if specials == "ieee" else gfloat.Domain.Finite
    nans = {"ieee": 2**m - 1, "fn": 1, "finite": 0}[specials]
    return gfloat.FormatInfo(
        f"e{e}m{m}",
        1 + e + m,
        m + 1,
        bias=2 ** (e - 1) - 1,
        is_signed=True,
        domain=domain,
        has_nz=True,
        num_high_nans=nans,
        has_subnormals=True,
        is_twos_complement=False,
    )
