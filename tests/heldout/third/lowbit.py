"""Adam, Lion and SGD whose state and weights are kept by storage functions of the case."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

#: Packs a state tensor; the gradient of the step comes with it.
Pack = Callable[[Tensor, Tensor], Any]
Unpack = Callable[[Any, Tensor], Tensor]
Write = Callable[[dict[str, Any], Tensor, Tensor], None]


def keep(state: Tensor, gradient: Tensor) -> Tensor:
    return state


def kept(packed: Tensor, like: Tensor) -> Tensor:
    return packed


def add(state: dict[str, Any], p: Tensor, update: Tensor) -> None:
    p.add_(update)


class StoredAdam(torch.optim.Optimizer):
    """Adam with packed moments."""

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        *,
        first: tuple[Pack, Unpack] = (keep, kept),
        second: tuple[Pack, Unpack] = (keep, kept),
        write: Write = add,
        received: Callable[[Tensor], Tensor] = lambda g: g,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(list(params), {"lr": lr, "betas": (0.9, 0.999), "eps": eps})
        self.first, self.second, self.write, self.received = first, second, write, received

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                g = self.received(p.grad)
                state = self.state[p]
                state["step"] = t = state.get("step", 0) + 1
                m = self.first[1](state["m"], p) if t > 1 else torch.zeros_like(p)
                v = self.second[1](state["v"], p) if t > 1 else torch.zeros_like(p)
                m = b1 * m + (1 - b1) * g
                v = b2 * v + (1 - b2) * g * g
                state["m"], state["v"] = self.first[0](m, g), self.second[0](v, g)
                denominator = (v / (1 - b2**t)).sqrt() + group["eps"]
                self.write(state, p, -group["lr"] * (m / (1 - b1**t)) / denominator)


class StoredMomentum(torch.optim.Optimizer):
    """SGD with momentum 0.9, or Lion, with a packed momentum."""

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        *,
        momentum: tuple[Pack, Unpack],
        lion: bool = False,
    ) -> None:
        super().__init__(list(params), {"lr": lr})
        self.momentum, self.lion = momentum, lion

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                g, state = p.grad, self.state[p]
                m = self.momentum[1](state["m"], p) if "m" in state else torch.zeros_like(p)
                if self.lion:
                    p.add_((0.9 * m + 0.1 * g).sign(), alpha=-group["lr"])
                    m = 0.99 * m + 0.01 * g
                else:
                    m = 0.9 * m + g
                    p.add_(m, alpha=-group["lr"])
                state["m"] = self.momentum[0](m, g)


def blocks_of(x: Tensor, size: int) -> Tensor:
    flat = x.flatten()
    return torch.nn.functional.pad(flat, (0, -flat.numel() % size)).view(-1, size)


def unblocked(blocks: Tensor, like: Tensor) -> Tensor:
    return blocks.flatten()[: like.numel()].view_as(like)


def dynamic_map(signed: bool) -> Tensor:
    """256 (or 128 and their negatives) codes that are finer towards 0: seven decades of nine linear runs."""
    count = 127 if signed else 255
    exponents = torch.linspace(-7, 0, count)
    positive = torch.cat([torch.zeros(1), 10.0**exponents])
    return torch.cat([-positive.flip(0)[:-1], positive]) if signed else positive


def mapped(table: Tensor, size: int, power: float = 1.0) -> tuple[Pack, Unpack]:
    """State as codes of a table, scaled by the largest value of each block."""
    middles = (table[1:] + table[:-1]) / 2

    def pack(state: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        blocks = blocks_of(state.abs().pow(power) * state.sign() if power != 1 else state, size)
        scale = blocks.abs().amax(1, keepdim=True).clamp(min=1e-30)
        return torch.bucketize(blocks / scale, middles.to(state.device)).to(torch.uint8), scale

    def unpack(packed: tuple[Tensor, Tensor], like: Tensor) -> Tensor:
        values = table.to(like.device)[packed[0].int()] * packed[1]
        return unblocked(values.abs().pow(1 / power) * values.sign() if power != 1 else values, like)

    return pack, unpack
