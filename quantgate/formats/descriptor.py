"""`Format`, the public type of every number format, and `Encoded`, what it encodes to.

This module does not import torch, so that names and widths cost nothing to read.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, TypeAlias

from quantgate.formats.layout import Layout

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Encoded:
    """Codes and scales of one tensor of shape `[..., n]`.

    Codes are not packed: one code takes one integer, its low bits the bit pattern. Integer formats hold the
    integer itself (`int8`, `int16` or, unsigned, `uint8`). Other formats up to 8 bits take `uint8`, up to 16
    `int16`, up to 32 `int32`, up to 64 `int64` (a full-width pattern wraps into the sign), `gf256` 32 bytes,
    lowest first.
    """

    #: Shape of the tensor, for 256-bit formats with a last axis of 32 bytes.
    codes: Tensor
    #: dtype of the tensor that was encoded; `decode` gives it back.
    dtype: torch.dtype
    #: None where the format has no scale. Per tensor: float32, 0-d. Per channel: float32, 1 on every axis but
    #: the channel's. Blocks: `[..., ceil(n / block)]`, `float8_e8m0fnu` for MX, `float8_e4m3fn` for nvfp4,
    #: float32 for nf4.
    scale: Tensor | None = None
    #: uint4 and uint8: int32, 0-d. A value is `(code - zero_point) * scale`.
    zero_point: Tensor | None = None
    #: nvfp4: float32, 0-d. A value is `element * (scale * tensor_scale)`.
    tensor_scale: Tensor | None = None


#: A scale given by the caller: a number, a tensor shaped like `Encoded.scale`, or an `Encoded` whose scale,
#: zero point and tensor scale are all taken. None: the format derives it.
GivenScale: TypeAlias = "float | Tensor | Encoded | None"


class Codec(Protocol):
    """What runs a format. Built-in layouts build theirs; a user's format brings its own."""

    @property
    def values(self) -> tuple[float, ...] | None:
        """The finite values of the grid at scale 1, ascending; None where the grid is not published."""

    def fake_quantize(self, x: Tensor, scale: GivenScale = None) -> Tensor:
        """See `Format.fake_quantize`."""

    def encode(self, x: Tensor, scale: GivenScale = None) -> Encoded:
        """See `Format.encode`."""

    def decode(self, encoded: Encoded) -> Tensor:
        """See `Format.decode`."""


@dataclass(frozen=True)
class Format:
    """A number format: a name, a width and a codec.

    Built-in formats work in float32: float16 and bfloat16 input is exact in it, float64 input is first
    rounded to it (what is beyond its range becomes inf), except by the formats that hold more than float32
    does (fp64, gf64, gf256), which take float64 as it is. The result has the input's dtype, rounded once
    more if that is narrower than the format. They work on any device and never change their input; their
    results carry no autograd graph, so the caller adds the straight-through estimator. A user's codec is
    called as it is, with its own graph.
    """

    name: str
    codec: Codec | Layout
    #: Bits of one element, scales not counted; None where unknown.
    bits: float | None = None
    #: True if every float32 comes back as it was (infinities and NaN included).
    lossless: bool = False
    #: Where the format is defined: a link.
    spec: str = ""
    #: Group of related formats: `float`, `goldenfloat`, `posit`, `int`, `codebook`, `mx`, `nvfp4` or `user`.
    family: str = "user"
    #: How far (BPB) a healthy cell may stay behind its control, if the format states it.
    gap_tolerance: float | None = None

    @cached_property
    def _codec(self) -> Codec:
        return self.codec.build() if isinstance(self.codec, Layout) else self.codec

    def __getstate__(self) -> dict[str, object]:
        # The codec that was built, with its tables and their copies on devices, is built anew elsewhere.
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def values(self) -> tuple[float, ...] | None:
        """Finite grid values at scale 1 (zero point 0), ascending; None above 16 bits or where unknown."""
        return self._codec.values

    def fake_quantize(self, x: Tensor, scale: GivenScale = None) -> Tensor:
        """Round a tensor to the format's grid.

        On input without NaN this is bit for bit `decode(encode(x, scale))`. NaN stays NaN; in MX formats it
        makes its whole block NaN. Infinities saturate (lossless formats keep them).

        Args:
            x: Floating-point tensor of any shape; blocks lie along its last axis.
            scale: Scale to use instead of the derived one: a positive number, a tensor of the shape that
                `Encoded.scale` has, or an `Encoded`, whose zero point and tensor scale are taken too.

        Returns:
            A new tensor of the same shape, dtype and device.

        Raises:
            TypeError: `x` is not a floating-point tensor.
            ValueError: `scale` has another shape, or values that the format cannot hold.
        """
        return self._codec.fake_quantize(x, scale)

    def encode(self, x: Tensor, scale: GivenScale = None) -> Encoded:
        """Quantize a tensor to codes and scales.

        Args:
            x: Floating-point tensor of any shape; blocks lie along its last axis.
            scale: As in `fake_quantize`.

        Raises:
            TypeError: `x` is not a floating-point tensor.
            ValueError: `x` holds NaN and the format has none; or `scale` is wrong, as in `fake_quantize`.
        """
        return self._codec.encode(x, scale)

    def decode(self, encoded: Encoded) -> Tensor:
        """Values of codes, in the dtype and shape of the tensor that was encoded.

        Raises:
            TypeError: the codes have a dtype that this format does not produce.
        """
        return self._codec.decode(encoded)

    def per_channel(self, axis: int) -> Format:
        """The same format with one amax scale for every index along `axis`, named `<name>_axis<axis>`.

        Raises:
            ValueError: the format's scale is not a per-tensor amax.
        """
        if not isinstance(self.codec, Layout) or self.codec.scale.kind != "amax":
            raise ValueError(
                f"{self.name} cannot be scaled per channel: only formats with a per-tensor amax scale can. "
                f"Hint: int4, int8, int16 and the fp and gf formats up to 8 bits can."
            )
        layout = replace(self.codec, scale=replace(self.codec.scale, axis=axis))
        return replace(self, name=f"{self.name}_axis{axis}", codec=layout)
