"""Optimizers that are broken on purpose, and their healthy twins."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

#: How a moment is stored: (moment before, what it would become) -> what is kept of it.
Store = Callable[[Tensor], Tensor]


class AdamWithState(Optimizer):
    """Adam whose second moment passes through `store` after each step.

    Args:
        params: The parameters.
        lr: The learning rate.
        store: float32 -> what is kept of it, as float32.
        eps: Added to the root of the second moment.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, store: Store, eps: float = 1e-8) -> None:
        super().__init__(params, {"lr": lr})
        self.store = store
        self.eps = eps

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state.update(step=0, first=torch.zeros_like(p), second=torch.zeros_like(p))
                state["step"] += 1
                state["first"].lerp_(p.grad, 0.1)
                state["second"] = self.store(state["second"].mul(0.999).addcmul_(p.grad, p.grad, value=0.001))
                first = state["first"] / (1 - 0.9 ** state["step"])
                second = state["second"] / (1 - 0.999 ** state["step"])
                p.sub_(first / (second.sqrt() + self.eps), alpha=group["lr"])


def linear_map(v: Tensor) -> Tensor:
    """8 bits on a linear map of the whole tensor: what is below 1/510 of the largest becomes 0."""
    scale = v.amax().clamp(min=1e-30) / 255
    return (v / scale).round() * scale


def root_map(v: Tensor) -> Tensor:
    """16 bits on a map of the fourth root: small values keep their place."""
    root = v.sqrt().sqrt()
    scale = root.amax().clamp(min=1e-30) / 65535
    return ((root / scale).round() * scale) ** 4


def half(v: Tensor) -> Tensor:
    """float16: what is below 3e-8 becomes 0."""
    return v.half().float()


def keep(v: Tensor) -> Tensor:
    """float32."""
    return v


def adam_with(store: Store, eps: float = 1e-8) -> Callable[[nn.Module, float], Optimizer]:
    """A `build` function of Adam with that state."""
    return lambda model, lr: AdamWithState(model.parameters(), lr, store, eps)


def holding(keeps: Callable[[str], bool]) -> Callable[[nn.Module, float], Optimizer]:
    """AdamW over the parameters whose name passes."""
    return lambda model, lr: AdamW(
        [p for name, p in model.named_parameters() if keeps(name)], lr, weight_decay=0.0
    )


def holding_a_copy(model: nn.Module, lr: float) -> Optimizer:
    """AdamW over the parameters of another model: modules were swapped after it was built."""
    return AdamW(copy.deepcopy(model).parameters(), lr, weight_decay=0.0)
