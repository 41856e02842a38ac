"""Unsigned integers with a zero point.

Source: Jacob et al. 2017 (https://arxiv.org/abs/1712.05877), section 2.1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from quantgate.formats.codecs.inputs import check_codes, given_scale, refuse_nan, working
from quantgate.formats.elements.tensors import Table
from quantgate.formats.encoded import Encoded, GivenScale
from quantgate.formats.layout import FLOAT32_MAX, Integer, Layout


class AffineCodec:
    """`value = (code - zero_point) * scale` with unsigned codes; scale and zero point for the whole tensor.

    `scale` is float32 `(max - min) / qmax` over the finite elements and 0, `zero_point` is
    `round(-min / scale)`, codes are `clamp(round(x / scale) + zero_point, 0, qmax)`. A scale given as a
    number goes with the zero point 0.
    """

    def __init__(self, layout: Layout) -> None:
        if not isinstance(layout.element, Integer) or layout.element.signed:
            raise ValueError(f"an affine scale needs unsigned integers, got {layout.element}.")
        self._qmax = layout.element.qmax
        self._divisor = Table(lambda: torch.tensor(float(self._qmax)))

    @property
    def values(self) -> tuple[float, ...]:
        """The grid at scale 1 and zero point 0."""
        return tuple(float(code) for code in range(self._qmax + 1))

    def fake_quantize(self, x: Tensor, scale: GivenScale = None) -> Tensor:
        """See `Format.fake_quantize`."""
        w = working(x)
        if w.numel() == 0:
            return torch.empty_like(x)
        step, zero_point = self._parameters(w, scale)
        # Adding 0 turns -0, which integers do not have, into 0.
        y = w.div(step).round_().clamp_(-zero_point, self._qmax - zero_point).add_(0.0)
        return self._multiply(y, step).to(x.dtype)

    def encode(self, x: Tensor, scale: GivenScale = None) -> Encoded:
        """See `Format.encode`."""
        w = working(x)
        refuse_nan(w)
        step, zero_point = self._parameters(w, scale)
        steps = w.div(step).round_().clamp_(-zero_point, self._qmax - zero_point)
        return Encoded(
            codes=(steps + zero_point).to(torch.uint8),
            dtype=x.dtype,
            scale=step,
            zero_point=torch.tensor(zero_point, dtype=torch.int32, device=w.device),
        )

    def decode(self, encoded: Encoded) -> Tensor:
        """See `Format.decode`."""
        check_codes(encoded.codes, torch.uint8)
        if encoded.scale is None or encoded.zero_point is None:
            raise ValueError(
                "codes of an affine format need a scale and a zero point; they come from encode()."
            )
        steps = encoded.codes.float() - encoded.zero_point.float()
        return self._multiply(steps, encoded.scale).to(encoded.dtype)

    def _multiply(self, steps: Tensor, scale: Tensor) -> Tensor:
        y = steps.mul_(scale)
        # Only a tensor near the end of float32's range can end beyond it, by the rounding of its scale.
        if float(scale) * self._qmax > FLOAT32_MAX:
            y.clamp_(-FLOAT32_MAX, FLOAT32_MAX)
        return y

    def _parameters(self, w: Tensor, scale: GivenScale) -> tuple[Tensor, int]:
        if scale is not None:
            step = given_scale(scale, (), w)
            if isinstance(scale, Encoded) and scale.zero_point is not None:
                return step, int(scale.zero_point)
            return step, 0
        if w.numel() == 0:
            return torch.ones((), device=w.device), 0
        low, high = _range(w)
        divisor = self._divisor.on(w.device)
        step = (high - low) / divisor
        if not bool(step.isfinite()):
            step = high / divisor - low / divisor
        if float(step) == 0.0:
            return torch.ones_like(step), 0
        return step, min(max(round(float(-low / step)), 0), self._qmax)


def _range(w: Tensor) -> tuple[Tensor, Tensor]:
    """Least and greatest finite element and 0."""
    low, high = torch.aminmax(w)
    if not bool((high - low).isfinite()):
        low, high = torch.aminmax(torch.where(w.isfinite(), w, 0.0))
    return low.clamp_(max=0.0), high.clamp_(min=0.0)
