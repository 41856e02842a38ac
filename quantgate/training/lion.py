"""Lion (EvoLved Sign Momentum, arXiv 2302.06675), which torch does not have."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer


class Lion(Optimizer):
    """Lion: each step moves every element by `lr` along the sign of an interpolated momentum.

    Args:
        params: The parameters.
        lr: The step of each element.
        betas: Interpolation of the step's and decay of the momentum.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float = 1e-4, betas: tuple[float, float] = (0.9, 0.99)
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                momentum = state["momentum"]
                p.sub_(torch.lerp(p.grad, momentum, beta1).sign_(), alpha=group["lr"])
                momentum.lerp_(p.grad, 1 - beta2)
        return loss
