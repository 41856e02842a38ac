"""Optimizers that are broken on purpose, and their healthy twins."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

#: How a moment is stored: (moment before, what it would become) -> what is kept of it.
Store = Callable[[Tensor], Tensor]


class AdamWithState(Optimizer):
    """Adam whose moments pass through functions of their own after each step.

    Args:
        params: The parameters.
        lr: The learning rate.
        store: What is kept of the second moment, as float32.
        eps: Added to the root of the second moment.
        store_first: What is kept of the first moment.
        key: Where the state of a parameter is found.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        store: Store,
        eps: float = 1e-8,
        store_first: Store | None = None,
        key: Callable[[Tensor], Hashable] = id,
    ) -> None:
        super().__init__(params, {"lr": lr})
        self.store, self.store_first = store, store_first or keep
        self.eps = eps
        self.key = key
        self.moments: dict[Hashable, dict[str, Any]] = {}

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.moments.setdefault(self.key(p), {})
                if not state:
                    state.update(step=0, first=torch.zeros_like(p), second=torch.zeros_like(p))
                state["step"] += 1
                state["first"] = self.store_first(state["first"].lerp(p.grad, 0.1))
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


def e4m3(m: Tensor) -> Tensor:
    """E4M3 without a scale: what is below 0.001 becomes 0."""
    return m.to(torch.float8_e4m3fn).float()


def adam_with(store: Store, eps: float = 1e-8, **more: Any) -> Callable[[nn.Module, float], Optimizer]:
    """A `build` function of Adam with that state."""
    return lambda model, lr: AdamWithState(model.parameters(), lr, store, eps, **more)


def holding(keeps: Callable[[str], bool]) -> Callable[[nn.Module, float], Optimizer]:
    """AdamW over the parameters whose name passes."""
    return lambda model, lr: AdamW(
        [p for name, p in model.named_parameters() if keeps(name)], lr, weight_decay=0.0
    )


def holding_a_copy(model: nn.Module, lr: float) -> Optimizer:
    """AdamW over the parameters of another model: modules were swapped after it was built."""
    return AdamW(copy.deepcopy(model).parameters(), lr, weight_decay=0.0)
