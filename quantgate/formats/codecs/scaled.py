"""Formats with no scale, or one for the tensor or for every channel."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from quantgate.formats.codecs.inputs import check_codes, given_scale, refuse_nan, working
from quantgate.formats.elements.kernel import element_kernel
from quantgate.formats.elements.tensors import Table
from quantgate.formats.encoded import Encoded, GivenScale
from quantgate.formats.layout import FLOAT32_MAX, Layout


class ScaledCodec:
    """An element with the scale `none`, `amax` or `rms`."""

    def __init__(self, layout: Layout) -> None:
        self._element = element_kernel(layout.element)
        self._scale = layout.scale
        self._nan = layout.nan
        # Python numbers as divisors are turned into reciprocals on CUDA; tensors are divided by.
        self._limit = Table(lambda: torch.tensor(self._element.largest))

    @property
    def values(self) -> tuple[float, ...] | None:
        """The grid at scale 1."""
        return self._element.values()

    def fake_quantize(self, x: Tensor, scale: GivenScale = None) -> Tensor:
        """See `Format.fake_quantize`."""
        w = working(x, self._element.lossless)
        if w.numel() == 0:
            return torch.empty_like(x)
        s = self._scale_of(w, scale)
        if s is None:
            return self._element.round(w).to(x.dtype)
        return self._multiply(self._element.round(w.div(s)), s).to(x.dtype)

    def encode(self, x: Tensor, scale: GivenScale = None) -> Encoded:
        """See `Format.encode`."""
        w = working(x, self._element.lossless)
        if self._nan == "none":
            refuse_nan(w)
        s = self._scale_of(w, scale)
        codes = self._element.encode(self._element.round(w if s is None else w.div(s)))
        return Encoded(codes=codes, dtype=x.dtype, scale=s)

    def decode(self, encoded: Encoded) -> Tensor:
        """See `Format.decode`."""
        check_codes(encoded.codes, self._element.dtype)
        values = self._element.decode(encoded.codes)
        if not (self._element.lossless and encoded.dtype is torch.float64):
            values = values.float()
        if encoded.scale is not None:
            values = self._multiply(values, encoded.scale)
        return values.to(encoded.dtype)

    def _multiply(self, y: Tensor, scale: Tensor) -> Tensor:
        y = y.mul_(scale)
        if scale.numel() == 0:
            return y
        # Only a tensor near the end of float32's range can end beyond it, by the rounding of its scale.
        largest = float(scale.max() if scale.ndim else scale)
        if largest * self._element.largest > FLOAT32_MAX:
            y.clamp_(-FLOAT32_MAX, FLOAT32_MAX)
        return y

    def _scale_of(self, w: Tensor, scale: GivenScale) -> Tensor | None:
        kind, axis = self._scale.kind, self._scale.axis
        shape = () if axis is None else _channel_shape(w, axis)
        if scale is not None:
            if isinstance(scale, Encoded) and scale.scale is None and kind == "none":
                return None
            return given_scale(scale, shape, w)
        if kind == "none":
            return None
        if w.numel() == 0:
            return torch.ones(shape, device=w.device)
        if kind == "rms":
            return _power_of_two_rms(w)
        return self._amax_scale(w, axis)

    def _amax_scale(self, w: Tensor, axis: int | None) -> Tensor:
        s = _amax(w, axis) / self._limit.on(w.device)
        if axis is None:
            if 0.0 < float(s) < math.inf:
                return s
        elif bool((s.isfinite() & (s > 0)).all()):
            return s
        s = _amax(torch.where(w.isfinite(), w, 0.0), axis) / self._limit.on(w.device)
        # With a scale of 1 what is too small to be scaled rounds to 0.
        return torch.where(s > 0, s, 1.0)


def _amax(w: Tensor, axis: int | None) -> Tensor:
    if axis is None:
        low, high = torch.aminmax(w)
        return torch.maximum(high, low.neg_())
    others = [dim for dim in range(w.ndim) if dim != axis % w.ndim]
    return w.abs().amax(dim=others, keepdim=True) if others else w.abs()


def _channel_shape(w: Tensor, axis: int) -> tuple[int, ...]:
    if not -w.ndim <= axis < w.ndim:
        raise ValueError(
            f"cannot scale per channel along axis {axis}: the tensor has shape {tuple(w.shape)}. "
            f"Hint: use the format without per_channel() for tensors of {w.ndim} axes."
        )
    return tuple(size if dim == axis % w.ndim else 1 for dim, size in enumerate(w.shape))


def _power_of_two_rms(w: Tensor) -> Tensor:
    # In float64 no square of a float32 over- or underflows.
    norm = float(torch.linalg.vector_norm(w, dtype=torch.float64))
    count = w.numel()
    if not math.isfinite(norm):
        finite = w[w.isfinite()]
        norm, count = float(torch.linalg.vector_norm(finite, dtype=torch.float64)), max(finite.numel(), 1)
    rms = norm / math.sqrt(count)
    exponent = max(math.frexp(rms)[1] - 1, -149) if rms > 0 else 0
    return torch.tensor(2.0**exponent, dtype=torch.float32, device=w.device)
