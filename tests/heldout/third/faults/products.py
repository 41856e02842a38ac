"""Linear layers whose matrix products have a forward and a backward of their own."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.heldout.third.common import fp8, int_codes, row_amax, ste, tensor_amax


class _SwitchBack(torch.autograd.Function):
    """Int8 forward and input gradient; the weight's gradient in full precision (Wortsman et al., 2023)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, unscaled: bool) -> Tensor:
        sx, sw = row_amax(x) / 127, tensor_amax(w) / 127
        qx, qw = int_codes(x, sx, 8), int_codes(w, sw, 8)
        ctx.save_for_backward(x, qw, sw)
        ctx.unscaled = unscaled
        return (qx @ qw.T) * (sx * sw)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        x, qw, sw = ctx.saved_tensors
        g = grads[0]
        sg = row_amax(g).clamp(min=1e-30) / 127
        scale = sg if ctx.unscaled else sg * sw
        gx = (int_codes(g, sg, 8) @ qw) * scale
        return gx, g.flatten(0, -2).T @ x.flatten(0, -2), None


class SwitchBackLinear(nn.Module):
    def __init__(self, linear: nn.Linear, *, unscaled: bool) -> None:
        super().__init__()
        self.weight = linear.weight
        self.unscaled = unscaled

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = _SwitchBack.apply(x, self.weight, self.unscaled)  # type: ignore[no-untyped-call]
        return y


class _CastGradient(torch.autograd.Function):
    """The output; its gradient goes through float8."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, scaled: bool) -> Tensor:
        ctx.scaled = scaled
        return y.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        g = grads[0]
        if not ctx.scaled:
            return fp8(g), None
        scale = g.abs().amax().clamp(min=1e-30) / 448
        return fp8(g / scale) * scale, None


class Fp8Linear(nn.Module):
    """Float8 both ways: weights by row, inputs by tensor, gradients with or without a scale."""

    def __init__(self, linear: nn.Linear, *, scaled: bool) -> None:
        super().__init__()
        self.weight = linear.weight
        self.scaled = scaled

    def forward(self, x: Tensor) -> Tensor:
        sx, sw = tensor_amax(x) / 448, row_amax(self.weight) / 448
        qx, qw = fp8(x.detach() / sx) * sx, fp8(self.weight.detach() / sw) * sw
        y: Tensor = _CastGradient.apply(F.linear(ste(x, qx), ste(self.weight, qw)), self.scaled)  # type: ignore[no-untyped-call]
        return y


class _IntegerProduct(torch.autograd.Function):
    """Codes times codes, then the scales; backward by what was read."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, both: bool) -> Tensor:
        sx, sw = row_amax(x) / 127, row_amax(w) / 127
        qx, qw = int_codes(x, sx, 8), int_codes(w, sw, 8)
        ctx.save_for_backward(qx * sx if both else qx, qw * sw, sx)
        ctx.both = both
        y = (qx @ qw.T) * sw.T
        return y * sx if both else y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        x, w, sx = ctx.saved_tensors
        g = grads[0]
        gx = g @ w
        return (gx if ctx.both else gx / sx), g.flatten(0, -2).T @ x.flatten(0, -2), None


class IntegerLinear(nn.Module):
    def __init__(self, linear: nn.Linear, *, both: bool) -> None:
        super().__init__()
        self.weight = linear.weight
        self.both = both

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = _IntegerProduct.apply(x, self.weight, self.both)  # type: ignore[no-untyped-call]
        return y
