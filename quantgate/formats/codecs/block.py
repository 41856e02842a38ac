"""Formats with one scale for every block along the last axis.

Sources: OCP Microscaling Formats (MX) v1.0, section 6.3; QLoRA (https://arxiv.org/abs/2305.14314), section 3;
NVFP4 (https://arxiv.org/abs/2509.25149), section 2.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from quantgate.formats.codecs.inputs import check_codes, given_scale, refuse_nan, working
from quantgate.formats.elements.kernel import element_kernel
from quantgate.formats.elements.minifloat import MinifloatKernel
from quantgate.formats.elements.tensors import Table
from quantgate.formats.encoded import Encoded, GivenScale
from quantgate.formats.layout import FLOAT32_MAX, Layout, Minifloat

_EXPONENT = 0x7F800000
#: Bits of 2**-127, the smallest E8M0 scale, a float32 subnormal.
_SMALLEST_E8M0 = 0x00400000


class BlockCodec:
    """An element with the scale `e8m0`, `absmax` or `nvfp4`.

    Inside, a tensor `[..., n]` is `[rows, ceil(n / block), block]`, zeros after the end of a row, and block
    scales are `[rows, blocks, 1]`.
    """

    def __init__(self, layout: Layout) -> None:
        if layout.scale.block is None:
            raise ValueError(f"{layout} has no block size.")
        self._element = element_kernel(layout.element)
        self._kind = layout.scale.kind
        self._nan = layout.nan
        self._block = layout.scale.block
        self._largest_exponent = math.floor(math.log2(self._element.largest))
        self._limit = Table(lambda: torch.tensor(self._element.largest))
        self._e4m3 = MinifloatKernel(Minifloat(4, 3, "fn"))
        self._e4m3_limit = Table(lambda: torch.tensor(self._e4m3.largest))

    @property
    def values(self) -> tuple[float, ...] | None:
        """The element's grid."""
        return self._element.values()

    def fake_quantize(self, x: Tensor, scale: GivenScale = None) -> Tensor:
        """See `Format.fake_quantize`."""
        w = working(x)
        if w.numel() == 0:
            return torch.empty_like(x)
        blocks = self._split(w)
        block_scale, tensor_scale = self._scales_of(w, blocks, scale)
        factor = block_scale if tensor_scale is None else block_scale * tensor_scale
        y = self._element.round(blocks.div(factor if tensor_scale is None else _without_zeros(factor)))
        return self._join(self._multiply(y, factor, tensor_scale), w.shape).to(x.dtype)

    def encode(self, x: Tensor, scale: GivenScale = None) -> Encoded:
        """See `Format.encode`."""
        w = working(x)
        if self._nan == "none":
            refuse_nan(w)
        blocks = self._split(w)
        block_scale, tensor_scale = self._scales_of(w, blocks, scale)
        factor = block_scale if tensor_scale is None else block_scale * tensor_scale
        elements = self._element.round(blocks.div(factor if tensor_scale is None else _without_zeros(factor)))
        if self._nan == "block":
            # The scale says it; not every element has a code for NaN.
            elements = torch.where(elements.isnan(), 0.0, elements)
        codes = self._element.encode(elements)
        return Encoded(
            codes=self._join(codes, w.shape),
            dtype=x.dtype,
            scale=self._stored(block_scale).view(self._scale_shape(w)),
            tensor_scale=tensor_scale,
        )

    def decode(self, encoded: Encoded) -> Tensor:
        """See `Format.decode`."""
        check_codes(encoded.codes, self._element.dtype)
        if encoded.scale is None:
            raise ValueError("codes of a block format need their block scales; they come from encode().")
        shape = encoded.codes.shape
        values = self._element.decode(encoded.codes).float()
        if values.numel() == 0:
            return values.to(encoded.dtype)
        blocks = self._split(values)
        factor = encoded.scale.float().reshape(*blocks.shape[:2], 1)
        if encoded.tensor_scale is not None:
            factor = factor * encoded.tensor_scale
        return self._join(self._multiply(blocks, factor, encoded.tensor_scale), shape).to(encoded.dtype)

    def _split(self, w: Tensor) -> Tensor:
        n = w.shape[-1] if w.ndim else 1
        count, rest = divmod(n, self._block)
        row_count = w.numel() // n if n else 0
        if rest == 0:
            return w.reshape(row_count, count, self._block)
        rows = torch.nn.functional.pad(w.reshape(row_count, n), (0, self._block - rest))
        return rows.view(row_count, count + 1, self._block)

    def _join(self, blocks: Tensor, shape: torch.Size) -> Tensor:
        n = shape[-1] if shape else 1
        if n % self._block == 0:
            return blocks.view(shape)
        rows = blocks.view(blocks.shape[0], blocks.shape[1] * self._block)
        return rows[:, :n].reshape(shape)

    def _scale_shape(self, w: Tensor) -> tuple[int, ...]:
        if w.ndim == 0:
            return (1,)
        return (*w.shape[:-1], -(-w.shape[-1] // self._block))

    def _scales_of(self, w: Tensor, blocks: Tensor, scale: GivenScale) -> tuple[Tensor, Tensor | None]:
        """Block scales `[rows, blocks, 1]` in float32, and the tensor's."""
        if scale is not None:
            return self._given(w, blocks, scale)
        amax = _block_amax(blocks)
        holds_nan = None
        if amax.numel() and not math.isfinite(float(amax.max())):
            holds_nan = amax.isnan()
            amax = _block_amax(torch.where(blocks.isfinite(), blocks, 0.0))
        if self._kind == "e8m0":
            scales = self._e8m0(amax)
            return (scales if holds_nan is None else scales.masked_fill_(holds_nan, math.nan)), None
        if self._kind == "absmax":
            return _without_zeros(amax / self._limit.on(w.device)), None
        return self._nvfp4(amax)

    def _given(self, w: Tensor, blocks: Tensor, scale: GivenScale) -> tuple[Tensor, Tensor | None]:
        s = given_scale(scale, self._scale_shape(w), w, zero=self._kind != "absmax")
        if bool((s.isfinite() & (self._stored(s).float() != s)).any()):
            kind = (
                "an E8M0 value, a power of two from 2**-127 on" if self._kind == "e8m0" else "an E4M3 value"
            )
            raise ValueError(f"scale holds a number that is not {kind}. Hint: take it from encode(x).scale.")
        block_scale = s.expand(self._scale_shape(w)).reshape(*blocks.shape[:2], 1)
        if self._kind == "e8m0":
            return block_scale.masked_fill(blocks.isnan().any(dim=-1, keepdim=True), math.nan), None
        if self._kind == "absmax":
            return block_scale, None
        if isinstance(scale, Encoded) and scale.tensor_scale is not None:
            return block_scale, scale.tensor_scale
        return block_scale, torch.ones((), device=w.device)

    def _e8m0(self, amax: Tensor) -> Tensor:
        # The exponent field, as float32 log2 is wrong just below powers of two.
        bits = amax.view(torch.int32).bitwise_and(_EXPONENT).sub_(self._largest_exponent << 23)
        return bits.clamp_(min=_SMALLEST_E8M0).view(torch.float32)

    def _nvfp4(self, amax: Tensor) -> tuple[Tensor, Tensor]:
        limit, e4m3_limit = self._limit.on(amax.device), self._e4m3_limit.on(amax.device)
        largest = amax.max() if amax.numel() else amax.new_zeros(())
        tensor_scale = _without_zeros(largest / limit / e4m3_limit)
        return self._e4m3.round(amax / limit / tensor_scale), tensor_scale

    def _stored(self, block_scale: Tensor) -> Tensor:
        if self._kind == "e8m0":
            exponents = block_scale.contiguous().view(torch.int32).bitwise_right_shift(23)
            return exponents.to(torch.uint8).view(torch.float8_e8m0fnu)
        if self._kind == "nvfp4":
            return self._e4m3.round(block_scale).to(torch.float8_e4m3fn)
        return block_scale

    def _multiply(self, y: Tensor, factor: Tensor, tensor_scale: Tensor | None) -> Tensor:
        y = y.mul_(factor)
        # Only a tensor near the end of float32's range can end beyond it, by the rounding of its scales.
        if tensor_scale is not None:
            largest = float(tensor_scale) * self._e4m3.largest * self._element.largest
            if largest > FLOAT32_MAX:
                y.clamp_(-FLOAT32_MAX, FLOAT32_MAX)
        return y


def _block_amax(blocks: Tensor) -> Tensor:
    """Largest magnitudes `[rows, blocks, 1]`."""
    magnitude = blocks.abs()
    if blocks.shape[-1] == 16:
        # torch does not vectorize a reduction of so few elements.
        magnitude = torch.maximum(magnitude[..., :8], magnitude[..., 8:])
    return magnitude.amax(dim=-1, keepdim=True)


def _without_zeros(scales: Tensor) -> Tensor:
    """Scales with 1 for 0: what is too small to be scaled rounds to 0 then."""
    if scales.numel() and float(scales.min()) == 0.0:
        return torch.where(scales == 0, 1.0, scales)
    return scales
