"""Unusual but right recipes."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quantgate.faults.setups import Setup
from quantgate.subjects.kinds import Recipe
from tests.heldout.second.ops import (
    SwappedLinear,
    grad_scale,
    grid,
    linears,
    parametrized,
    round_ste,
    row_scale,
    safe,
    ste,
    swapped,
)


def _hooked(model: nn.Module) -> nn.Module:
    """Int6 per row by a pre-hook that makes `weight` from `weight_orig`, as torch's old weight norm did."""

    def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        w = cast(Tensor, module.weight_orig)
        module.weight = ste(w, grid(w, row_scale(w, 31), 31))

    for layer in linears(model):
        weight = cast(nn.Parameter, layer.weight)
        del layer._parameters["weight"]
        layer.register_parameter("weight_orig", weight)
        layer.weight = weight.detach().clone()
        layer.register_forward_pre_hook(hook)
    return model


class Fp8Weight(Tensor):
    """A tensor subclass that linear layers read in E4M3 per row; the stored values are float32 masters."""

    def new_empty(self, *args: Any, **kwargs: Any) -> Tensor:
        return super().new_empty(*args, **kwargs).as_subclass(type(self))

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.linear and isinstance(args[1], Fp8Weight):
            with torch._C.DisableTorchFunctionSubclass():
                w = args[1].as_subclass(Tensor)
                s = row_scale(w, 448)
                q = (w.detach() / s).clamp(-448, 448).to(torch.float8_e4m3fn).float() * s
                return F.linear(args[0], ste(w, q))
        return super().__torch_function__(func, types, args, kwargs or {})  # type: ignore[no-untyped-call]


def _fp8_subclass(model: nn.Module) -> nn.Module:
    for layer in linears(model):
        layer.weight = nn.Parameter(layer.weight.detach().clone().as_subclass(Fp8Weight))
    return model


class _DynamicMatmul(torch.autograd.Function):
    """W4A8: codes times codes, scales of tokens and of rows in the epilogue; a straight-through backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        xs, ws = row_scale(x, 127), row_scale(w, 7)
        xq, wq = (x / xs).round().clamp(-127, 127), (w / ws).round().clamp(-7, 7)
        ctx.save_for_backward(xq, xs, wq, ws)
        return F.linear(xq, wq) * xs * ws.squeeze(-1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        xq, xs, wq, ws = ctx.saved_tensors
        g = gradients[0]
        return g @ (wq * ws), g.flatten(0, -2).t() @ (xq * xs).flatten(0, -2)


class DynamicTokens(SwappedLinear):
    """Scales of activations are taken anew for each token."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = _DynamicMatmul.apply(x, self.weight)  # type: ignore[no-untyped-call]
        return y


def _hadamard(size: int) -> Tensor:
    h = torch.ones(1, 1)
    while h.shape[0] < size:
        h = torch.cat([torch.cat([h, h], 1), torch.cat([h, -h], 1)])
    turn: Tensor = h / size**0.5
    return turn


class Rotated(SwappedLinear):
    """QuaRot: weights and inputs meet in a basis turned by Hadamard blocks; int4 by int8 there."""

    turn: Tensor

    def setup(self) -> None:
        self.register_buffer("turn", _hadamard(16), persistent=False)

    def _turned(self, x: Tensor) -> Tensor:
        y: Tensor = (x.unflatten(-1, (-1, 16)) @ self.turn).flatten(-2)  # type: ignore[no-untyped-call]
        return y

    def forward(self, x: Tensor) -> Tensor:
        w, y = self._turned(self.weight), self._turned(x)
        return F.linear(ste(y, grid(y, row_scale(y, 127), 127)), ste(w, grid(w, row_scale(w, 7), 7)))


class Smoothed(SwappedLinear):
    """SmoothQuant W8A8: a fixed gain per input, from the weight's columns and the first batch."""

    gain: Tensor

    def setup(self) -> None:
        self.register_buffer("gain", torch.ones(self.in_features))
        self.started = False

    def forward(self, x: Tensor) -> Tensor:
        if not self.started:
            columns = safe(self.weight.detach().abs().amax(0))
            inputs = safe(x.detach().abs().flatten(0, -2).amax(0))
            self.gain.copy_((inputs.sqrt() / columns.sqrt()).clamp(0.1, 10))
            self.started = True
        w, y = self.weight * self.gain, x / self.gain
        return F.linear(ste(y, grid(y, row_scale(y, 127), 127)), ste(w, grid(w, row_scale(w, 127), 127)))


class LogSteps(SwappedLinear):
    """LSQ with the logarithm of the step learned: weights at 4 bits by row, inputs at 8 bits by layer."""

    def setup(self) -> None:
        self.weight_log = nn.Parameter(
            safe(2 * self.weight.detach().abs().mean(-1, keepdim=True) / 7**0.5).log()
        )
        # The inputs are normed, or a GELU of such: their size is about 1, and 6 is beyond all but a few.
        self.input_log = nn.Parameter(torch.tensor(6 / 127).log())

    def forward(self, x: Tensor) -> Tensor:
        s = grad_scale(self.weight_log, (self.in_features * 7) ** -0.5).exp()
        t = grad_scale(self.input_log, (x.numel() * 127) ** -0.5).exp()
        w = round_ste((self.weight / s).clamp(-8, 7)) * s
        return F.linear(round_ste((x / t).clamp(-128, 127)) * t, w)


class TwoTerms(nn.Module):
    """Residual binarization: two signs with a size each, by row: four levels, 2 bits."""

    def forward(self, w: Tensor) -> Tensor:
        d = w.detach()
        first = d.abs().mean(-1, keepdim=True)
        rest = d - first * torch.where(d >= 0, 1.0, -1.0)
        second = rest.abs().mean(-1, keepdim=True)
        q = first * torch.where(d >= 0, 1.0, -1.0) + second * torch.where(rest >= 0, 1.0, -1.0)
        return ste(w, q)


class BitLinear(SwappedLinear):
    """BitNet b1.58: a norm of the inputs, 8 bits per token, ternary weights by their mean size."""

    def forward(self, x: Tensor) -> Tensor:
        y = F.rms_norm(x, (x.shape[-1],))
        s = safe(self.weight.detach().abs().mean())
        w = ste(self.weight, grid(self.weight, s, 1))
        return F.linear(ste(y, grid(y, row_scale(y, 127), 127)), w)


def _swap(cls: type[SwappedLinear]) -> Any:
    return lambda model: swapped(model, cls)


_CASES: tuple[tuple[str, Any, float], ...] = (
    ("weight_from_hook_int6", _hooked, 6),
    ("fp8_row_weight_subclass", _fp8_subclass, 8),
    ("w4a8_dynamic_tokens", _swap(DynamicTokens), 4),
    ("hadamard_rotated_w4a8", _swap(Rotated), 4),
    ("smoothed_w8a8", _swap(Smoothed), 8),
    ("learned_log_steps_w4a8", _swap(LogSteps), 4),
    ("two_term_residual_binary", lambda model: parametrized(model, lambda _: TwoTerms()), 2),
    ("bitlinear_with_own_norm", _swap(BitLinear), 1.58),
)

HEALTHY = {name: Setup(Recipe(name, prepare, bits)) for name, prepare, bits in _CASES}
