"""Recipe faults, first half: swaps, parametrizations, hooks and fused functions with one slip each."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quantgate.faults.setups import Fault, Setup
from quantgate.subjects.kinds import Recipe
from tests.heldout.second.ops import (
    SwappedLinear,
    grid,
    linears,
    parametrized,
    row_scale,
    safe,
    ste,
    swapped,
    tensor_scale,
)


class _CodesMatmul(torch.autograd.Function):
    """W8A8: a product of codes, scaled in the epilogue; the backward reads the dequantized operands."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, with_input_scale: bool) -> Tensor:
        xs, ws = tensor_scale(x, 127), row_scale(w, 127)
        xq, wq = (x / xs).round().clamp(-127, 127), (w / ws).round().clamp(-127, 127)
        ctx.save_for_backward(xq * xs, wq * ws)
        y = F.linear(xq, wq) * ws.squeeze(-1)
        return y * xs if with_input_scale else y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        x, w = ctx.saved_tensors
        g = gradients[0]
        return g @ w, g.flatten(0, -2).t() @ x.flatten(0, -2), None


class W8A8(SwappedLinear):
    """Epilogue with both scales."""

    both = True

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = _CodesMatmul.apply(x, self.weight, self.both)  # type: ignore[no-untyped-call]
        return y


class W8A8NoInputScale(W8A8):
    """Bug: the epilogue multiplies by the weight's scale alone; the input's codes are never dequantized."""

    both = False


class SignMagnitude(nn.Module):
    """4 bits as a sign bit and 3 bits of size, per row. Bug: the sign bit is read as 1 - s, not 1 - 2 s."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, w: Tensor) -> Tensor:
        s = row_scale(w, 7)
        size = (w.detach().abs() / s).round().clamp(0, 7)
        return ste(w, size * s * (1 - self.factor * (w.detach() < 0).float()))


class RowInt(nn.Module):
    """Symmetric integers per row."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.top = 2 ** (bits - 1) - 1

    def forward(self, w: Tensor) -> Tensor:
        return ste(w, grid(w, row_scale(w, self.top), self.top))


class InputObserver:
    """A hook that quantizes a layer's input with a moving range (8 bits).

    Bug: the range follows the mean size instead of the largest, so that two fifths of the inputs saturate.
    """

    def __init__(self, mean: bool) -> None:
        self.mean = mean
        self.range: Tensor | None = None

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        size = inputs[0].detach().abs()
        now = size.mean() if self.mean else size.amax()
        self.range = now if self.range is None else 0.9 * self.range + 0.1 * now
        s = safe(self.range / 127)
        return (ste(inputs[0], grid(inputs[0], s, 127)),)


def _observed(model: nn.Module, mean: bool) -> nn.Module:
    for layer in linears(model):
        layer.register_forward_pre_hook(InputObserver(mean))
    return parametrized(model, lambda _: RowInt(8))


class _FusedLinear(torch.autograd.Function):
    """Int6 weight inside the layer's own function. Bug: the weight's gradient is multiplied by the scale."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, scaled: bool) -> Tensor:
        s = tensor_scale(w, 31)
        q = grid(w, s, 31)
        ctx.save_for_backward(x, q, s if scaled else torch.ones_like(s))
        return F.linear(x, q)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        x, q, factor = ctx.saved_tensors
        g = gradients[0]
        return g @ q, g.flatten(0, -2).t() @ x.flatten(0, -2) * factor, None


class Fused(SwappedLinear):
    """The chain rule through x / s and * s cancels the scale."""

    scaled = False

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = _FusedLinear.apply(x, self.weight, self.scaled)  # type: ignore[no-untyped-call]
        return y


class FusedScaled(Fused):
    """Only the derivative of `* s` is there."""

    scaled = True


class FusedProjection(SwappedLinear):
    """A recipe for fused q, k, v weights (5 bits). Bug: written for q and k; the last third stays float32."""

    parts = 3

    def forward(self, x: Tensor) -> Tensor:
        w = self.weight
        if self.out_features != 3 * self.in_features:
            return F.linear(x, ste(w, grid(w, row_scale(w, 15), 15)))
        thirds = list(w.chunk(3))
        for place in range(self.parts):
            t = thirds[place]
            thirds[place] = ste(t, grid(t, row_scale(t, 15), 15))
        return F.linear(x, torch.cat(thirds))


class FusedProjectionTwoThirds(FusedProjection):
    """The value projection was forgotten."""

    parts = 2


class Relaid(SwappedLinear):
    """A layer that lays its weight out anew for a kernel at its third training step (4 bits, rows).

    Bug: it makes a new Parameter, while the optimizer goes on with the old one.
    """

    renew = False

    def setup(self) -> None:
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += int(torch.is_grad_enabled())
        if self.calls == 3:
            laid = self.weight.detach().t().contiguous().t().clone()
            if self.renew:
                self.weight = nn.Parameter(laid)
            else:
                self.weight.data = laid
        return F.linear(x, ste(self.weight, grid(self.weight, row_scale(self.weight, 7), 7)))


class RelaidRenewed(Relaid):
    """The renewed parameter is in no optimizer."""

    renew = True


def _pair(name: str, bits: float, broken: Any, right: Any) -> tuple[Setup, Setup]:
    return Setup(Recipe(name, broken, bits)), Setup(Recipe(f"{name}_right", right, bits))


def _swap(cls: type[SwappedLinear]) -> Any:
    return lambda model: swapped(model, cls)


_CASES = (
    ("w8a8_epilogue_without_input_scale", "not-dequantized", 8, _swap(W8A8NoInputScale), _swap(W8A8)),
    (
        "sign_magnitude_parametrization_drops_negatives",
        "sign-lost",
        4,
        lambda model: parametrized(model, lambda _: SignMagnitude(1)),
        lambda model: parametrized(model, lambda _: SignMagnitude(2)),
    ),
    (
        "input_observer_tracks_mean_size",
        "scale-stale",
        8,
        lambda model: _observed(model, mean=True),
        lambda model: _observed(model, mean=False),
    ),
    ("fused_linear_gradient_times_scale", "gradient-misscaled", 6, _swap(FusedScaled), _swap(Fused)),
    (
        "value_projection_left_float",
        "partly-applied",
        5,
        _swap(FusedProjectionTwoThirds),
        _swap(FusedProjection),
    ),
    ("weight_renewed_after_optimizer", "orphaned-parameter", 4, _swap(RelaidRenewed), _swap(Relaid)),
)

FAULTS = {
    name: Fault(name, cause, *_pair(name, bits, broken, right)) for name, cause, bits, broken, right in _CASES
}
