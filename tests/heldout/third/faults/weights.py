"""Weights of faulty recipes: a tensor subclass and a learned step."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.heldout.third.common import round_ste, row_amax, ste


class Int6Weight(Tensor):
    """A weight that linear layers read as six-bit integers, by truncation if its cast does the rounding."""

    truncated = False

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.linear:
            w = args[1].as_subclass(Tensor)
            scale = row_amax(w) / 31
            codes = w.detach() / scale
            codes = codes.to(torch.int8) if cls.truncated else torch.round(codes)
            return F.linear(args[0], ste(w, codes * scale))
        return super().__torch_function__(func, types, args, kwargs or {})  # type: ignore[no-untyped-call]

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        plain = self.detach().as_subclass(Tensor).clone()
        memo[id(self)] = nn.Parameter(plain.as_subclass(type(self)), self.requires_grad)
        return memo[id(self)]


class TruncatedInt6Weight(Int6Weight):
    truncated = True


def subclassed(model: nn.Module, kind: type[Int6Weight]) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.weight = nn.Parameter(module.weight.detach().as_subclass(kind))
    return model


class LearnedStep(nn.Module):
    """LSQ's step as a factor of its first value; with the whole quantizer detached it never learns."""

    first: Tensor

    def __init__(self, weight: Tensor, *, detached: bool) -> None:
        super().__init__()
        self.detached = detached
        self.factor = nn.Parameter(torch.ones(weight.shape[0], 1))
        self.register_buffer("first", 2 * weight.detach().abs().mean(1, keepdim=True) / 7**0.5)

    def forward(self, w: Tensor) -> Tensor:
        step = self.first * self.factor
        if self.detached:
            q = torch.round(w / step).clamp(-8, 7) * step
            return w + (q - w).detach()
        share: float = (w.shape[1] * 7) ** -0.5
        step = step * share + (step * (1 - share)).detach()
        return round_ste((w / step).clamp(-8, 7)) * step
