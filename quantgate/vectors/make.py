"""The vectors of a built-in format: every code's value, and the numbers on which implementations differ."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from quantgate.formats import Format
from quantgate.formats.elements.posit import PositKernel
from quantgate.formats.layout import FLOAT32_MAX, Integer, Layout, Minifloat, Posit
from quantgate.vectors.document import Case, Value, Vectors

#: The most grid values whose ties and neighbours are asked; of finer grids, evenly many and those at the ends.
_GRID = 512
_RANDOM = 1000
_SEED = 47


def make_vectors(format: Format) -> Vectors:
    """The vectors of a built-in format, at a scale of 1; the same at every call.

    Raises:
        ValueError: It is no built-in format, or wider than 64 bits.
    """
    layout = format.codec
    if not isinstance(layout, Layout):
        raise ValueError(
            f"{format.name!r} is no built-in format, and so no reference for another implementation"
        )
    bits = layout.element.bits
    if bits > 64:
        raise ValueError(f"{format.name!r} has codes of {bits} bits; vectors are made up to 64")
    asked: dict[int, str] = {}
    for tries, numbers in _numbers(format, layout):
        for pattern in _patterns(numbers):
            asked.setdefault(pattern, tries)
    # Above 16 bits the codes are not listed, nor which of them are NaN.
    has_nan = layout.nan == "code" and bits <= 16
    if has_nan:
        asked |= {0x7FC00000: "nan", 0xFFC00000: "nan", 0x7F800001: "nan"}
    else:
        asked = {pattern: tries for pattern, tries in asked.items() if not _is_nan(pattern)}
    x = torch.tensor(list(asked), dtype=torch.int64).to(torch.int32).view(torch.float32)
    codes = _encode(format, x)
    cases = tuple(
        Case(hexadecimal(pattern, 32), hexadecimal(code, bits), tries)
        for (pattern, tries), code in zip(asked.items(), codes, strict=True)
    )
    return Vectors(format.name, bits, _rules(layout, has_nan), format.spec, _values(format, layout), cases)


def hexadecimal(pattern: int, bits: int) -> str:
    """A pattern of so many bits in as many digits as it needs."""
    return f"0x{pattern & ((1 << bits) - 1):0{(bits + 3) // 4}x}"


def _is_nan(pattern: int) -> bool:
    return pattern & 0x7FFFFFFF > 0x7F800000


def _encode(format: Format, x: Tensor) -> list[int]:
    """The codes of numbers, each a row of its own, so that no number sets the scale of another."""
    scale = None if isinstance(format.codec, Layout) and format.codec.scale.kind == "none" else 1.0
    codes: list[int] = format.encode(x.reshape(-1, 1), scale=scale).codes.flatten().tolist()
    return codes


def _values(format: Format, layout: Layout) -> tuple[Value, ...]:
    bits = layout.element.bits
    if bits > 16:
        return ()
    count = 1 << bits
    scale = None if layout.scale.kind == "none" else 1.0
    like = format.encode(torch.zeros(count, 1), scale=scale)
    patterns = torch.arange(count)
    if isinstance(layout.element, Integer) and layout.element.signed:
        patterns = torch.where(patterns >= count // 2, patterns - count, patterns)
    decoded = format.decode(replace(like, codes=patterns.to(like.codes.dtype).reshape(-1, 1)))
    return tuple(
        Value(hexadecimal(int(code), bits), hexadecimal(pattern, 32))
        for code, pattern in zip(patterns.tolist(), _patterns(decoded), strict=True)
    )


def _numbers(format: Format, layout: Layout) -> list[tuple[str, Tensor]]:
    """The numbers that are encoded, by what they try; the first to name one wins."""
    generator = torch.Generator().manual_seed(_SEED)
    wide = torch.randint(0, 1 << 32, (_RANDOM,), generator=generator).to(torch.int32).view(torch.float32)
    near = torch.randn(_RANDOM, generator=generator) * min(layout.element.largest, 16.0) / 3
    grid, ties = _grid(format, layout)
    largest = torch.tensor([layout.element.largest, FLOAT32_MAX]).clamp(max=FLOAT32_MAX)
    beyond = torch.cat((largest, largest * 1.0001, largest * 1.5, largest * 2.0, torch.tensor([math.inf])))
    small = torch.tensor([1, 2, 3, 0x400000, 0x7FFFFF, 0x800000, 0x800001], dtype=torch.int32).view(
        torch.float32
    )
    return [
        ("zero", torch.tensor([0.0, -0.0])),
        ("tie", ties),
        ("beside-tie", torch.cat([_toward(ties, to) for to in (math.inf, -math.inf)])),
        ("value", grid),
        ("beside-value", torch.cat([_toward(grid, to) for to in (math.inf, -math.inf)])),
        ("overflow", torch.cat((beyond, -beyond))),
        ("subnormal", torch.cat((small, -small, _smallest(layout)))),
        ("random", torch.cat((near, wide))),
    ]


def _grid(format: Format, layout: Layout) -> tuple[Tensor, Tensor]:
    """Values of the grid, and the numbers halfway between two of them, on the number line and on a posit's encoding."""
    if format.values is None:
        return torch.empty(0), torch.empty(0)
    values = torch.tensor(format.values, dtype=torch.float64)
    ties = (values[1:] + values[:-1]) / 2
    if isinstance(layout.element, Posit):
        # One more bit gives the midpoints of the encoding.
        half = 1 << (layout.element.bits - 1)
        odd = torch.arange(1 - half, half - 1) * 2 + 1
        ties = torch.cat((ties, PositKernel(Posit(layout.element.bits + 1)).decode(odd)))
    return _some(values).float(), _some(ties).float()


def _some(values: Tensor) -> Tensor:
    if len(values) <= 2 * _GRID:
        return values
    places = torch.linspace(0, len(values) - 1, _GRID).round().long()
    middle = len(values) // 2
    ends = torch.cat([torch.arange(start, start + 16) for start in (0, middle - 8, len(values) - 16)])
    return values[sorted({*places.tolist(), *ends.tolist()})]


def _smallest(layout: Layout) -> Tensor:
    """Around a minifloat's subnormal numbers."""
    if not isinstance(layout.element, Minifloat):
        return torch.empty(0)
    step = max(layout.element.smallest_exponent - layout.element.fraction_bits, -149)
    multiples = torch.arange(0, 64, dtype=torch.float64) / 4
    found = (multiples * 2.0**step).float()
    return torch.cat((found, -found))


def _toward(x: Tensor, to: float) -> Tensor:
    return torch.nextafter(x, torch.full_like(x, to))


def _patterns(x: Tensor) -> list[int]:
    patterns: list[int] = (x.float().flatten().view(torch.int32).long() & 0xFFFFFFFF).tolist()
    return patterns


def _rules(layout: Layout, has_nan: bool) -> str:
    ties = {"even": "ties to the even code", "encoding": "to nearest on the encoding, ties to the even code",
            "lower": "the midpoint to the lower entry"}[layout.ties]  # fmt: skip
    beyond = "infinities stay" if layout.overflow == "keep" else "what is beyond the range saturates"
    nan = "any NaN code is right for NaN" if has_nan else "NaN is not asked"
    return f"float32 in, at a scale of 1 and a zero point of 0; {ties}; {beyond}; {nan}"
