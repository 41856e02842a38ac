"""Every kernel against the slow reference, at scale 1: values and codes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from quantgate.formats import BUILTIN

from . import reference

Floats = NDArray[np.float32]


def assert_rounds_as_reference(name: str, x: Floats) -> None:
    """`fake_quantize`, `encode` and `decode` of numbers `x`, bit for bit, with the sign of zeros."""
    numbers = x[~np.isnan(x)]
    values, codes = reference.grid(name).nearest(numbers)
    format, tensor = BUILTIN[name], torch.from_numpy(numbers)
    seen = format.fake_quantize(tensor, scale=1.0).numpy()
    wrong = np.flatnonzero((seen != values) | (np.signbit(seen) != np.signbit(values)))
    assert not len(wrong), [(numbers[i], seen[i], values[i]) for i in wrong[:5]]
    encoded = format.encode(tensor, scale=1.0)
    mask = (1 << (encoded.codes.element_size() * 8)) - 1
    wrong = np.flatnonzero((encoded.codes.long().numpy() ^ codes) & mask)
    assert not len(wrong), [(numbers[i], encoded.codes[i], codes[i]) for i in wrong[:5]]
    decoded = format.decode(encoded)
    assert torch.equal(decoded.view(torch.int32), torch.from_numpy(seen).view(torch.int32))


def with_neighbours(x: NDArray[np.float64]) -> Floats:
    """Numbers as float32, each with the float32 numbers next to it."""
    with np.errstate(over="ignore"):
        near = x.astype(np.float32)
        up, down = np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))
        return np.concatenate([near, up, down])


@pytest.mark.parametrize("name", reference.SMALL)
def test_every_bfloat16(name: str, every_bfloat16: Floats) -> None:
    assert_rounds_as_reference(name, every_bfloat16)


@pytest.mark.parametrize("name", reference.SMALL)
def test_every_value_and_midpoint_and_their_neighbours(name: str) -> None:
    grid = reference.grid(name)
    assert_rounds_as_reference(name, with_neighbours(grid.boundaries))
    assert_rounds_as_reference(name, with_neighbours(grid.values))


@pytest.mark.parametrize("name", reference.SMALL)
def test_a_million_random_numbers(name: str, million: Floats) -> None:
    assert_rounds_as_reference(name, million)


@pytest.mark.parametrize("name", reference.SMALL)
def test_subnormals_overflow_infinities_and_zeros(name: str, special: Floats) -> None:
    assert_rounds_as_reference(name, special)


@pytest.mark.parametrize("name", reference.SMALL)
def test_published_values_are_the_grid(name: str) -> None:
    assert BUILTIN[name].values == tuple(reference.grid(name).values.tolist())


@pytest.mark.parametrize("name", ["gf20", "gf24", "gf32"])
def test_wide_goldenfloats(name: str, million: Floats, special: Floats) -> None:
    e, m, _ = reference.MINIFLOATS[name]
    largest = {
        "gf20": (2 - 2**-12) * 2.0**63,
        "gf24": (2 - 2**-14) * 2.0**127,
        "gf32": (2 - 2**-19) * 2.0**127,
    }
    sample = np.concatenate([million[:10_000], million[-10_000:], special])
    # What lies between the largest value and the next one up saturates too.
    expected = [
        reference.round_minifloat(float(np.clip(x, -largest[name], largest[name])), e, m) for x in sample
    ]
    seen = BUILTIN[name].fake_quantize(torch.from_numpy(sample)).numpy()
    assert np.array_equal(seen, np.array(expected, np.float32))
    assert np.array_equal(np.signbit(seen), np.signbit(sample))
    decoded = BUILTIN[name].decode(BUILTIN[name].encode(torch.from_numpy(sample))).numpy()
    assert np.array_equal(decoded.view(np.uint32), seen.view(np.uint32))


@pytest.mark.parametrize("name", ["gf20", "gf24", "gf32"])
def test_wide_goldenfloats_go_to_even_halfway(name: str) -> None:
    _, m, _ = reference.MINIFLOATS[name]
    unit = 2.0**-m
    x = torch.tensor([1 + 0.5 * unit, 1 + 1.5 * unit, -(1 + 2.5 * unit), 1 + (0.5 + 2.0 ** (m - 23)) * unit])
    expected = torch.tensor([1.0, 1 + 2 * unit, -(1 + 2 * unit), 1 + unit])
    assert torch.equal(BUILTIN[name].fake_quantize(x), expected)


def test_posit32_is_rounded_on_the_encoding(million: Floats, special: Floats) -> None:
    sample = np.concatenate([million[:10_000], million[-10_000:], special])
    exponents = np.ldexp(np.float32(1.25), np.arange(-140, 127)).astype(np.float32)
    sample = np.concatenate([sample, with_neighbours(exponents.astype(np.float64)), -exponents])
    expected = [reference.encode_posit(float(np.clip(x, -1e38, 1e38)), 32) for x in sample]
    tensor = torch.from_numpy(sample)
    codes = BUILTIN["posit32"].encode(tensor, scale=1.0).codes.numpy().view(np.uint32)
    assert codes.tolist() == expected
    values = np.array([reference.decode_posit(code, 32) for code in expected]).astype(np.float32)
    assert np.array_equal(BUILTIN["posit32"].fake_quantize(tensor, scale=1.0).numpy(), values)


LOSSLESS = ["fp32", "fp64", "gf64", "gf256"]


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_formats_keep_every_float32(
    name: str, million: Floats, every_bfloat16: Floats, special: Floats
) -> None:
    format = BUILTIN[name]
    assert format.lossless
    for x in (million, every_bfloat16, special):
        tensor = torch.from_numpy(x)
        assert torch.equal(format.fake_quantize(tensor).view(torch.int32), tensor.view(torch.int32))
        decoded = format.decode(format.encode(tensor))
        assert np.array_equal(decoded.numpy(), x, equal_nan=True)
        assert torch.equal(decoded.signbit() & ~decoded.isnan(), tensor.signbit() & ~tensor.isnan())


@pytest.mark.parametrize("name", ["fp64", "gf256"])
def test_float64_is_kept_by_the_formats_that_hold_it(name: str) -> None:
    bits = np.random.default_rng(1).integers(0, 1 << 64, 20_000, dtype=np.uint64)
    x = torch.from_numpy(np.concatenate([bits.view(np.float64), [5e-324, -0.0, np.inf, -np.inf, 1.0]]))
    x = x[~x.isnan()]
    format = BUILTIN[name]
    assert torch.equal(format.fake_quantize(x), x)
    assert torch.equal(format.decode(format.encode(x)), x)


def test_gf64_rounds_float64_to_39_fraction_bits() -> None:
    bits = np.random.default_rng(2).integers(0, 1 << 64, 20_000, dtype=np.uint64).view(np.float64)
    bits = bits[np.isfinite(bits) & (np.abs(bits) < 1e308)]
    expected = [reference.round_minifloat(float(x), 24, 39) for x in bits]
    x = torch.from_numpy(bits)
    assert BUILTIN["gf64"].fake_quantize(x).tolist() == expected
    assert BUILTIN["gf64"].decode(BUILTIN["gf64"].encode(x)).tolist() == expected


def test_only_lossless_formats_are_declared_lossless() -> None:
    assert [name for name, format in BUILTIN.items() if format.lossless] == ["gf64", "gf256", "fp32", "fp64"]
    x = torch.linspace(-3, 3, 1001)
    for name, format in BUILTIN.items():
        if not format.lossless and name != "posit32":
            assert not torch.equal(format.fake_quantize(x), x), name
