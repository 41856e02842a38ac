"""Updates and parameters that are lost, and states of optimizers that are kept too coarsely."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from quantgate.faults import Fault, Setup
from quantgate.training.optimizers import Build
from tests.heldout.faults.entries import optimizer, recipe, stored
from tests.heldout.faults.grids import INT8_ROWS, linears_int8, stochastic
from tests.heldout.parts import (
    Grid,
    QuantizedLinear,
    amax,
    grid_of,
    ste,
    swap_linears,
    symmetric,
    user_format,
)

_INT6_ROWS = ste(symmetric(31, -1))


def _linears_int6(model: nn.Module) -> nn.Module:
    return swap_linears(model, lambda linear: QuantizedLinear(linear, _INT6_ROWS))


class _RenewsParameter(QuantizedLinear):
    """Puts a new parameter in the weight's place when training begins: the optimizer holds the old one."""

    renewed = False

    def forward(self, x: Tensor) -> Tensor:
        if self.training and torch.is_grad_enabled() and not self.renewed:
            self.weight = nn.Parameter(self.weight.detach().clone())
            self.renewed = True
        return super().forward(x)


class _WritesBack(QuantizedLinear):
    """Stores the quantized weight as the weight, at every forward pass."""

    def read(self) -> Tensor:
        self.weight.data = symmetric(31, -1)(self.weight.data)
        return self.quantize_weight(self.weight)


class _RoundedAdamW(AdamW):
    """Stores the weights in int8 after each step."""

    def step(self, closure: Any = None) -> Any:
        loss = super().step(closure)
        with torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    p.copy_(grid_of("int8")(p))
        return loss


def _adamw(kind: type[AdamW]) -> Build:
    return lambda model, lr: kind(model.parameters(), lr, weight_decay=0.0)


class _Adam(Optimizer):
    """Adam with stores for both moments and a key for its state."""

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        first: Grid,
        second: Grid,
        key: Callable[[Tensor], Any],
    ) -> None:
        super().__init__(params, {"lr": lr})
        self.first, self.second, self.key = first, second, key
        self.moments: dict[Any, tuple[Tensor, Tensor]] = {}
        self.steps = 0

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.steps += 1
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                start = (torch.zeros_like(p), torch.zeros_like(p))
                m, v = self.moments.get(self.key(p), start)
                m = self.first(m.lerp(p.grad, 0.1))
                v = self.second(v.lerp(p.grad.square(), 0.001))
                self.moments[self.key(p)] = (m, v)
                mean = m / (1 - 0.9**self.steps)
                root = (v / (1 - 0.999**self.steps)).sqrt()
                p.sub_(mean / (root + 1e-8), alpha=group["lr"])


def _same(v: Tensor) -> Tensor:
    return v


def _e4m3_moment(m: Tensor) -> Tensor:
    """e4m3 without a scale: what is below 2^-10 becomes 0."""
    return m.clamp(-448, 448).to(torch.float8_e4m3fn).to(m.dtype)


def _rooted(squared: bool) -> Grid:
    """Codes of the root of the second moment, with or without the square on the way back."""

    def store(v: Tensor) -> Tensor:
        root = v.sqrt()
        scale = amax(root) / 65535
        kept = (root / scale).round() * scale
        return kept.square() if squared else kept

    return store


def _adam(first: Grid = _same, second: Grid = _same, key: Callable[[Tensor], Any] = id) -> Build:
    return lambda model, lr: _Adam(model.parameters(), lr, first, second, key)


def _muon_split(vectors_only: bool) -> Build:
    """Muon for the body, AdamW for the rest, which is picked by its axes where it should be by its name."""

    def outside(name: str) -> bool:
        return any(part in name for part in ("embed", "position", "head"))

    def build(model: nn.Module, lr: float) -> list[Optimizer]:
        named = list(model.named_parameters())
        body = [p for name, p in named if p.ndim == 2 and not outside(name)]
        others = [p for name, p in named if p.ndim != 2 or (outside(name) and not vectors_only)]
        made: list[Optimizer] = [torch.optim.Muon(body, lr, weight_decay=0.0)]
        if others:
            made.append(AdamW(others, 2e-4, weight_decay=0.0))
        return made

    return build


def _deduplicated(key: Callable[[Tensor], Any]) -> Build:
    """AdamW over one parameter of each key, so that tied ones are not stepped twice."""
    return lambda model, lr: AdamW({key(p): p for p in model.parameters()}.values(), lr, weight_decay=0.0)


def faults() -> Iterator[Fault]:
    """The faults of this class."""
    cause = "update-swallowed"
    yield stored("mxfp4")
    yield stored("fp6_e3m2")
    yield Fault(
        "int6_nearest_in_place",
        cause,
        Setup(user_format("int6_nearest_in_place", ste(symmetric(31)), 6), "inplace"),
        Setup(
            user_format("healthy_int6_nearest_in_place", ste(stochastic(31, torch.rand_like)), 6), "inplace"
        ),
    )
    yield optimizer(cause, "optimizer_stores_int8", _adamw(_RoundedAdamW), _adamw(AdamW))
    yield recipe(
        cause,
        "recipe_writes_weight_back",
        lambda model: swap_linears(model, lambda linear: _WritesBack(linear, _INT6_ROWS)),
        _linears_int6,
        6,
    )

    cause = "orphaned-parameter"
    yield optimizer(cause, "muon_without_embeddings", _muon_split(True), _muon_split(False), "muon")
    yield optimizer(cause, "optimizer_one_of_each_shape", _deduplicated(lambda p: p.shape), _deduplicated(id))
    yield recipe(
        cause,
        "recipe_renews_parameters",
        lambda model: swap_linears(model, lambda linear: _RenewsParameter(linear, INT8_ROWS)),
        linears_int8,
        8,
    )

    cause = "optimizer-state"
    yield optimizer(cause, "adam_first_moment_in_e4m3", _adam(first=_e4m3_moment), _adam())
    yield optimizer(cause, "adam_state_by_shape", _adam(key=lambda p: p.shape), _adam())
    yield optimizer(cause, "adam_root_not_squared", _adam(second=_rooted(False)), _adam(second=_rooted(True)))
