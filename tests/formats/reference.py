"""A slow, obviously right quantizer: decode every code as its specification says, sort, take the nearest.

It shares nothing with `quantgate.formats`: the layouts are written down here once more, and decoding follows
the words of the specifications, one code at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np
from numpy.typing import NDArray

#: Exponent bits, fraction bits, and what the top codes are, of every minifloat.
MINIFLOATS = {
    "fp16": (5, 10, "ieee"),
    "bf16": (8, 7, "ieee"),
    "fp8_e4m3": (4, 3, "fn"),
    "fp8_e5m2": (5, 2, "ieee"),
    "fp6_e2m3": (2, 3, "finite"),
    "fp6_e3m2": (3, 2, "finite"),
    "fp4_e2m1": (2, 1, "finite"),
    "gf4": (1, 2, "ieee"),
    "gf8": (3, 4, "ieee"),
    "gf12": (4, 7, "ieee"),
    "gf16": (6, 9, "ieee"),
    "gf20": (7, 12, "ieee"),
    "gf24": (9, 14, "ieee"),
    "gf32": (12, 19, "ieee"),
    "mxfp8": (4, 3, "fn"),
    "mxfp8_e5m2": (5, 2, "ieee"),
    "mxfp6_e2m3": (2, 3, "finite"),
    "mxfp6_e3m2": (3, 2, "finite"),
    "mxfp4": (2, 1, "finite"),
    "nvfp4": (2, 1, "finite"),
}
POSITS = {"posit8": 8, "posit16": 16, "posit32": 32}
#: Lowest code, highest code, value of one step.
INTEGERS = {
    "int4": (-7, 7, 1.0),
    "int8": (-127, 127, 1.0),
    "int16": (-32767, 32767, 1.0),
    "uint4": (0, 15, 1.0),
    "uint8": (0, 255, 1.0),
    "mxint8": (-127, 127, 1 / 64),
}
#: Table 4 of the QLoRA paper, to all digits it prints.
NF4 = [
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
    *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
    *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
    *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
]
#: Every format of at most 16 bits.
SMALL = sorted(
    [n for n in MINIFLOATS if n not in ("gf20", "gf24", "gf32")] + ["posit8", "posit16", "nf4", *INTEGERS]
)


def decode_minifloat(code: int, e: int, m: int, specials: str) -> float:
    """Value of a minifloat's code. IEEE 754-2019, 3.4; OCP OFP8, 5; OCP MX, 5.3."""
    sign = -1.0 if code >> (e + m) else 1.0
    exponent, fraction = (code >> m) & (2**e - 1), code & (2**m - 1)
    bias = 2 ** (e - 1) - 1
    if specials == "ieee" and exponent == 2**e - 1:
        return math.nan if fraction else sign * math.inf
    if specials == "fn" and (exponent, fraction) == (2**e - 1, 2**m - 1):
        return math.nan
    if exponent == 0:
        return sign * math.ldexp(fraction, 1 - bias - m)
    return sign * math.ldexp(2**m + fraction, exponent - bias - m)


def decode_posit(code: int, n: int) -> float:
    """Value of a posit's code, read off its string of bits. Posit Standard 2022, 3.2 and 3.3."""
    if code == 0:
        return 0.0
    if code == 1 << (n - 1):
        return math.nan
    sign = -1.0 if code >> (n - 1) else 1.0
    if sign < 0:
        code = (1 << n) - code
    bits = format(code, f"0{n}b")[1:]
    run = len(bits) - len(bits.lstrip(bits[0]))
    k = run - 1 if bits[0] == "1" else -run
    tail = bits[run + 1 :]
    exponent = int((tail[:2] + "00")[:2], 2)
    fraction = Fraction(int(tail[2:] or "0", 2), 2 ** len(tail[2:]))
    return sign * float((1 + fraction) * Fraction(2) ** (4 * k + exponent))


@dataclass(frozen=True)
class Grid:
    """The values of a format, ascending, and what lies between them."""

    values: NDArray[np.float64]
    codes: NDArray[np.int64]
    #: Up to each, and at it if `tie_down`, the lower neighbour is nearest.
    boundaries: NDArray[np.float64]
    tie_down: NDArray[np.bool_]
    #: Code of -0, or None where there is none.
    negative_zero: int | None

    def nearest(self, x: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Values and codes for numbers (no NaN)."""
        wide = x.astype(np.float64)
        index = np.searchsorted(self.boundaries, wide, side="left")
        inside = np.minimum(index, len(self.boundaries) - 1)
        tie = (self.boundaries[inside] == wide) & (index < len(self.boundaries))
        index = index + (tie & ~self.tie_down[inside])
        values, codes = self.values[index], self.codes[index]
        if self.negative_zero is not None:
            negative = (values == 0) & np.signbit(wide)
            values = np.where(negative, -0.0, values)
            codes = np.where(negative, self.negative_zero, codes)
        return values, codes


@cache
def grid(name: str) -> Grid:
    """The grid of a format of at most 16 bits, at scale 1."""
    negative_zero = None
    if name in MINIFLOATS:
        e, m, specials = MINIFLOATS[name]
        negative_zero = 1 << (e + m)
        pairs = [(decode_minifloat(code, e, m, specials), code) for code in range(2 << (e + m))]
        pairs = [(value, code) for value, code in pairs if math.isfinite(value) and code != negative_zero]
    elif name in POSITS:
        pairs = [(decode_posit(code, POSITS[name]), code) for code in range(1 << POSITS[name])]
        pairs = [(value, code) for value, code in pairs if not math.isnan(value)]
    elif name in INTEGERS:
        low, high, step = INTEGERS[name]
        pairs = [(code * step, code) for code in range(low, high + 1)]
    else:
        pairs = [(value, code) for code, value in enumerate(NF4)]
    pairs.sort()
    values, codes = np.array([value for value, _ in pairs]), np.array([code for _, code in pairs])
    boundaries = (values[1:] + values[:-1]) / 2
    if name in POSITS:
        # Rounding is on the encoding: halfway lies the code with one more bit. No number rounds to 0.
        n = POSITS[name]
        boundaries = np.array(
            [decode_posit((2 * code + 1) % (2 << n), n + 1) for code in codes[:-1].tolist()]
        )
        boundaries[values[:-1] == 0] = boundaries[values[1:] == 0] = 0.0
    tie_down = np.ones(len(boundaries), bool) if name == "nf4" else codes[:-1] % 2 == 0
    return Grid(values, codes, boundaries, tie_down, negative_zero)


def round_minifloat(x: float, e: int, m: int) -> float:
    """A finite number rounded to a minifloat too wide to enumerate; not for overflow."""
    if x == 0:
        return x
    smallest = 2 - 2 ** (e - 1)
    exponent = max(math.frexp(x)[1] - 1, smallest) - m
    # Python rounds a Fraction to even.
    return math.copysign(float(round(Fraction(x) / Fraction(2) ** exponent) * Fraction(2) ** exponent), x)


def encode_posit(x: float, n: int) -> int:
    """Code of a finite number: write the posit with all its bits, cut after n, round to even."""
    if x == 0:
        return 0
    magnitude = Fraction(min(max(abs(x), 2.0 ** (-4 * (n - 2))), 2.0 ** (4 * (n - 2))))
    exponent = math.frexp(float(magnitude))[1] - 1
    k, e = divmod(exponent, 4)
    regime = "1" * (k + 1) + "0" if k >= 0 else "0" * -k + "1"
    fraction = magnitude / Fraction(2) ** exponent - 1
    bits = "0" + regime + format(e, "02b") + format(int(fraction * 2**60), "060b")
    code, rest = int(bits[:n], 2), Fraction(int(bits[n:], 2), 2 ** len(bits[n:]))
    code += rest > Fraction(1, 2) or (rest == Fraction(1, 2) and code % 2 == 1)
    return code if x > 0 else (1 << n) - code
