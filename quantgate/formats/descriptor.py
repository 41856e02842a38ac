"""`Format`, the public type of every number format.

This module does not import torch, so that names and widths cost nothing to read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from quantgate.formats.encoded import Codec, Encoded, GivenScale
from quantgate.formats.layout import Layout

if TYPE_CHECKING:
    from torch import Tensor


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
    #: Makes the quantizer of one linear layer's input; None where inputs are quantized as weights are, or not at all.
    activation: Callable[[], Callable[[Tensor], Tensor]] | None = None
    #: `calibrate(quantizer, batches)` runs before a quantizer is judged, with the tensors that it will be given.
    calibrate: Callable[[Any, Any], object] | None = None
    #: The built-in format that it is declared to be, bit for bit.
    conforms: str | None = None
    #: Which values share a scale: `tensor`, `row` or `group:32`, of the last axis; None where it is not declared.
    granularity: str | None = None
    #: Causes that the subject is excused from, each with the reason.
    waive: Mapping[str, str] = field(default_factory=dict, hash=False)

    @cached_property
    def _codec(self) -> Codec:
        if not isinstance(self.codec, Layout):
            return self.codec
        from quantgate.formats.codecs.build import build_codec  # torch is imported with the first tensor

        return build_codec(self.codec)

    def __getstate__(self) -> dict[str, object]:
        # The codec that was built, with its tables and their copies on devices, is built anew elsewhere.
        return {each.name: getattr(self, each.name) for each in fields(self)}

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
