"""Recipe faults, second half: shared scales, tensor subclasses, masks, learned steps, row blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from quantgate.faults.setups import Fault, Setup
from quantgate.subjects.kinds import Recipe
from tests.heldout.second.ops import (
    SwappedLinear,
    grid,
    linears,
    parametrized,
    round_ste,
    row_scale,
    safe,
    ste,
    swapped,
    tensor_scale,
)


class FirstScale(nn.Module):
    """Int6 that keeps the scale of the first weight that it saw, when it was set up."""

    def __init__(self, keep: bool) -> None:
        super().__init__()
        self.keep = keep
        self.scale: Tensor | None = None

    def forward(self, w: Tensor) -> Tensor:
        if self.scale is None or not self.keep:
            self.scale = tensor_scale(w, 31)
        return ste(w, grid(w, self.scale, 31))


def _one_quantizer_for_all(model: nn.Module) -> nn.Module:
    """Bug: one instance for all layers, registered from the head on, whose weights are 4 times smaller."""
    shared = FirstScale(keep=True)
    layers = linears(model)
    shared(layers[-1].weight)  # the head's
    for layer in reversed(layers):
        parametrize.register_parametrization(layer, "weight", shared, unsafe=True)
    return model


class QuantizedWeight(Tensor):
    """A tensor subclass that a linear layer reads on a 5-bit grid of its rows, as torchao's do."""

    rounding: Callable[[Tensor], Tensor] = staticmethod(torch.round)

    def new_empty(self, *args: Any, **kwargs: Any) -> Tensor:
        return super().new_empty(*args, **kwargs).as_subclass(type(self))

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.linear and isinstance(args[1], QuantizedWeight):
            with torch._C.DisableTorchFunctionSubclass():
                w = args[1].as_subclass(Tensor)
                s = row_scale(w, 15)
                q = cls.rounding(w.detach() / s).clamp(-15, 15) * s
                return F.linear(args[0], ste(w, q))
        return super().__torch_function__(func, types, args, kwargs or {})  # type: ignore[no-untyped-call]


class TruncatedWeight(QuantizedWeight):
    """Bug: `.to(int8)` semantics, truncation towards 0: every weight shrinks."""

    rounding = staticmethod(torch.trunc)


def _subclassed(cls: type[Tensor]) -> Callable[[nn.Module], nn.Module]:
    def prepare(model: nn.Module) -> nn.Module:
        for layer in linears(model):
            layer.weight = nn.Parameter(layer.weight.detach().clone().as_subclass(cls))
        return model

    return prepare


class MaskedInt3(nn.Module):
    """3 bits per row and a clip mask. Bug: a strict comparison, the end codes lose their gradient."""

    def __init__(self, strict: bool) -> None:
        super().__init__()
        self.strict = strict

    def forward(self, w: Tensor) -> Tensor:
        s = row_scale(w, 3)
        codes = (w.detach() / s).round()
        mask = codes.abs() < 3 if self.strict else codes.abs() <= 3
        return ste(w, codes.clamp(-3, 3) * s, mask)


class LogStep(SwappedLinear):
    """Int4, the logarithm of each row's step learned. Bug: plain torch.round, no weight gradient."""

    through = True

    def setup(self) -> None:
        start = safe(2 * self.weight.detach().abs().mean(-1, keepdim=True) / 7**0.5)
        self.log_step = nn.Parameter(start.log())

    def forward(self, x: Tensor) -> Tensor:
        s = self.log_step.exp()
        scaled = (self.weight / s).clamp(-7, 7)
        return F.linear(x, (round_ste(scaled) if self.through else torch.round(scaled)) * s)


class LogStepBlocked(LogStep):
    """Only the steps learn; round has a derivative of 0."""

    through = False


class LearnedStep(SwappedLinear):
    """LSQ, 5 bits, one step a tensor, gradient scaled by 1 / sqrt(numel Qp).

    Bug: the step is read as `.data` (a mended dtype clash), so that it never learns.
    """

    detached = False

    def setup(self) -> None:
        self.step = nn.Parameter(safe(2 * self.weight.detach().abs().mean() / 15**0.5))

    def forward(self, x: Tensor) -> Tensor:
        g = (self.weight.numel() * 15) ** -0.5
        s = self.step.data if self.detached else self.step.detach() * (1 - g) + self.step * g
        return F.linear(x, round_ste((self.weight / s).clamp(-15, 15)) * s)


class LearnedStepDetached(LearnedStep):
    """`.data` cuts the graph."""

    detached = True


class RowBlocks(nn.Module):
    """7 bits with one scale for each of four blocks of rows (fused weights).

    Bug: `repeat` lays the four scales out in turns, where `repeat_interleave` gives each block its own.
    """

    def __init__(self, turns: bool) -> None:
        super().__init__()
        self.turns = turns

    def forward(self, w: Tensor) -> Tensor:
        rows = w.shape[0] // 4
        scales = safe(w.detach().reshape(4, -1).abs().amax(1) / 63)
        each = scales.repeat(rows) if self.turns else scales.repeat_interleave(rows)
        return ste(w, grid(w, each[:, None], 63))


def _swap(cls: type[SwappedLinear]) -> Any:
    return lambda model: swapped(model, cls)


def _fault(
    name: str, cause: str, bits: float, broken: Any, right: Any, also: frozenset[str] = frozenset()
) -> Fault:
    return Fault(
        name, cause, Setup(Recipe(name, broken, bits)), Setup(Recipe(f"{name}_right", right, bits)), also
    )


_CASES = (
    _fault(
        "one_scale_from_head_for_all_layers",
        "scale-stale",
        6,
        _one_quantizer_for_all,
        lambda model: parametrized(model, lambda _: FirstScale(keep=False)),
        frozenset({"scale-misplaced"}),
    ),
    _fault(
        "subclass_truncates_weight",
        "rounding-biased",
        5,
        _subclassed(TruncatedWeight),
        _subclassed(QuantizedWeight),
    ),
    _fault(
        "end_codes_masked_out",
        "clip-gradient-lost",
        3,
        lambda model: parametrized(model, lambda _: MaskedInt3(strict=True)),
        lambda model: parametrized(model, lambda _: MaskedInt3(strict=False)),
    ),
    _fault("round_without_straight_through", "gradient-blocked", 4, _swap(LogStepBlocked), _swap(LogStep)),
    _fault("learned_step_read_as_data", "qparams-invalid", 5, _swap(LearnedStepDetached), _swap(LearnedStep)),
    _fault(
        "row_block_scales_in_turns",
        "scale-misplaced",
        7,
        lambda model: parametrized(model, lambda _: RowBlocks(turns=True)),
        lambda model: parametrized(model, lambda _: RowBlocks(turns=False)),
    ),
)

FAULTS = {fault.name: fault for fault in _CASES}
