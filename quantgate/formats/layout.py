"""Number formats as data: what the codes are and how they are scaled. Standard library only.

A `Layout` pairs an element (`Minifloat`, `Integer`, `Posit` or `Codebook`: a grid of values and the codes
that name them) with a `Scale` (how a tensor is brought onto that grid). The kernels read these records;
no format has code of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

#: The largest finite float32.
FLOAT32_MAX = (2.0 - 2.0**-23) * 2.0**127


@dataclass(frozen=True)
class Minifloat:
    """One sign bit, `exponent_bits`, `fraction_bits`, with subnormals, as in IEEE 754.

    Values beyond `largest` saturate, infinities too; ties go to the even code.
    """

    exponent_bits: int
    fraction_bits: int
    #: What the top codes mean. `ieee`: the top exponent holds inf and NaN. `fn`: only the code of all ones
    #: is NaN and there is no inf (OCP OFP8 E4M3). `finite`: every code is a number (OCP MX elements).
    specials: Literal["ieee", "fn", "finite"] = "ieee"

    @property
    def bits(self) -> int:
        """Bits of one code."""
        return 1 + self.exponent_bits + self.fraction_bits

    @property
    def bias(self) -> int:
        """Exponent bias, `2**(e-1) - 1`; 0 for a one-bit exponent."""
        return int(2 ** (self.exponent_bits - 1)) - 1

    @property
    def smallest_exponent(self) -> int:
        """Exponent of the smallest normal number; subnormals have steps of `2**(this - fraction_bits)`."""
        return 1 - self.bias

    @property
    def largest_code(self) -> int:
        """Code of the largest finite value."""
        all_ones = (1 << (self.exponent_bits + self.fraction_bits)) - 1
        if self.specials == "ieee":
            return all_ones - (1 << self.fraction_bits)
        return all_ones - 1 if self.specials == "fn" else all_ones

    @property
    def largest(self) -> float:
        """Largest finite value that float32, in which the kernels work, holds too."""
        if self.exponent_bits > 8:
            return (2.0 - 2.0 ** -min(self.fraction_bits, 23)) * 2.0**127
        exponent, fraction = divmod(self.largest_code, 1 << self.fraction_bits)
        if exponent == 0:
            return float(fraction * 2.0 ** (self.smallest_exponent - self.fraction_bits))
        significand = 1.0 + fraction / (1 << self.fraction_bits)
        return min(float(significand * 2.0 ** (exponent - self.bias)), FLOAT32_MAX)

    @property
    def nan_code(self) -> int | None:
        """Code that `encode` gives NaN, or None if the format has none."""
        if self.specials == "finite":
            return None
        if self.specials == "fn":
            return self.largest_code + 1
        return self.largest_code + 1 + (1 << (self.fraction_bits - 1))

    @property
    def has_nan(self) -> bool:
        """True if there is a code for NaN."""
        return self.nan_code is not None

    @property
    def holds_float32(self) -> bool:
        """True if every float32 is on the grid."""
        return self.fraction_bits >= 23 and self.exponent_bits >= 8


@dataclass(frozen=True)
class Integer:
    """Integers, ties to even, clamped.

    Signed ones use the codes `-qmax .. qmax` with `qmax = 2**(bits-1) - 1` (the code `-qmax - 1` is never
    produced, so the grid is symmetric); unsigned ones use `0 .. 2**bits - 1`. There is no -0 and no NaN.
    """

    has_nan: ClassVar[bool] = False

    bits: int
    signed: bool = True
    #: Value of one step at scale 1. OCP MX INT8 has 2**-6.
    step: float = 1.0

    @property
    def qmin(self) -> int:
        """Smallest code."""
        return -self.qmax if self.signed else 0

    @property
    def qmax(self) -> int:
        """Largest code."""
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    @property
    def largest(self) -> float:
        """Largest value."""
        return self.qmax * self.step


@dataclass(frozen=True)
class Posit:
    """Posit Standard 2022: `bits` in all, two exponent bits.

    Values beyond maxpos become maxpos, values below minpos become minpos, never 0 and never NaR; NaN is
    NaR. Rounding is to nearest on the encoding (as if it had infinitely many bits), ties to the even code.
    There is no -0.
    """

    has_nan: ClassVar[bool] = True

    bits: int

    @property
    def largest(self) -> float:
        """Maxpos; minpos is its reciprocal."""
        return float(2.0 ** (4 * (self.bits - 2)))


@dataclass(frozen=True)
class Codebook:
    """Any table of values in ascending order; code `i` is `values[i]`.

    A value goes to its nearest entry, the midpoint between two entries to the lower one. There is no NaN.
    """

    has_nan: ClassVar[bool] = False

    values: tuple[float, ...]

    @property
    def bits(self) -> int:
        """Bits of one code."""
        return (len(self.values) - 1).bit_length()

    @property
    def largest(self) -> float:
        """Largest magnitude."""
        return max(abs(self.values[0]), abs(self.values[-1]))


Element = Minifloat | Integer | Posit | Codebook


@dataclass(frozen=True)
class Scale:
    """How a tensor is scaled onto the element's grid when the caller gives no scale.

    Statistics are taken over the finite elements; where they give 0, or so little that the scale
    underflows, the result is zeros.
    """

    #: `none`: values are used as they are.
    #: `amax`: float32 `amax / largest`, for the tensor or, with `axis`, for every index along it.
    #: `affine`: float32 `(max - min) / qmax` and a zero point; the range includes 0.
    #: `rms`: the power of two `2**floor(log2(rms))`.
    #: `e8m0`: per block, `2**(floor(log2(amax)) - emax)`, one exponent byte (OCP MX).
    #: `absmax`: per block, float32 `amax / largest`.
    #: `nvfp4`: per tensor, float32 `t = amax / largest / 448`; per block, an E4M3 `amax / largest / t`.
    kind: Literal["none", "amax", "affine", "rms", "e8m0", "absmax", "nvfp4"] = "none"
    #: Elements of a block along the last axis; the last block of a row may be short.
    block: int | None = None
    axis: int | None = None


@dataclass(frozen=True)
class Layout:
    """The descriptor of a built-in format: an element and its scale."""

    element: Element
    scale: Scale = Scale()

    @property
    def overflow(self) -> Literal["saturate", "keep"]:
        """What infinities and values beyond the grid become: its largest value; they stay if it holds them."""
        held = isinstance(self.element, Minifloat) and self.element.holds_float32
        return "keep" if held else "saturate"

    @property
    def nan(self) -> Literal["code", "block", "none"]:
        """How NaN is encoded: as a code, as the scale of its whole block, or not at all."""
        if self.scale.kind == "e8m0":
            return "block"
        return "code" if self.element.has_nan else "none"

    @property
    def ties(self) -> Literal["even", "encoding", "lower"]:
        """Where a value halfway between two goes: to the even code, with "encoding" halfway on the codes."""
        if isinstance(self.element, Codebook):
            return "lower"
        return "encoding" if isinstance(self.element, Posit) else "even"
