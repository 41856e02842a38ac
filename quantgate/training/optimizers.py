"""The optimizers of the matrix and their learning rates.

The rates are production-like, and so low that a swallowed update shows: the fleet of the incident ran AdamW
at 1e-4, where int8 weights that are requantized in place never move, while at 1e-3 the same fault is
invisible. `tests/benchmarks/rates.py` prints the measurement behind them: at widths 32, 64 and 128, over the
default seeds and both corpora, every control ends below 6.0, ternary learns and in-place int4 is dead.

torch is imported when an optimizer is built, not before: the names are needed where nothing is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

#: `build(model, lr)` returns the optimizers that together hold every parameter of the model.
Build = Callable[["nn.Module", float], "Optimizer | list[Optimizer]"]


@dataclass(frozen=True)
class OptimizerSpec:
    """An optimizer as data: how it is built, and its rate for a width."""

    name: str
    build: Build
    #: Learning rate at width 64.
    lr: float
    #: Whether the rate falls with the width, as 64 / width: optimizers whose step has a fixed size per
    #: element must shrink it as rows grow longer.
    per_width: bool = False
    #: The built-in optimizer whose algorithm it claims to be, with float32 state; None where it claims none.
    reference: str | None = None
    #: Peak of the long lane at width 128, at which gf4 ends below 3.00 BPB; None where none was found: Lion's best is
    #: 3.14, at 3e-4 and at 5e-4.
    long_lr: float | None = None

    def rate(self, width: int, lane: str | None = None) -> float:
        """The default learning rate for a model of this width; in the long lane its peak."""
        lr, at = (self.lr, 64) if lane is None or self.long_lr is None else (self.long_lr, 128)
        return lr * at / width if self.per_width else lr


def _torch(name: str) -> Callable[..., Optimizer]:
    """The optimizer of torch of that name."""
    import torch

    from quantgate.training.eager import eager

    found: Callable[..., Optimizer] = eager(getattr(torch.optim, name))
    return found


def _adamw(model: nn.Module, lr: float) -> Optimizer:
    return _torch("AdamW")(model.parameters(), lr, weight_decay=0.0, fused=_fused(model.parameters()))


def _sgd(model: nn.Module, lr: float) -> Optimizer:
    return _torch("SGD")(model.parameters(), lr, momentum=0.9, fused=_fused(model.parameters()))


def _muon(model: nn.Module, lr: float) -> list[Optimizer]:
    scales = _scales_of_groups(model)
    matrices = [p for p in model.parameters() if p.ndim == 2 and min(p.shape) > 1 and id(p) not in scales]
    held = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in held]
    built: list[Optimizer] = []
    if matrices:
        built.append(_torch("Muon")(matrices, lr, weight_decay=0.0))
    if others:
        built.append(_torch("AdamW")(others, ADAMW_LR, weight_decay=0.0, fused=_fused(others)))
    return built


def _scales_of_groups(model: nn.Module) -> set[int]:
    """What is learned for the rows and groups of a weight: no matrix to orthogonalize, although it has two axes.

    By its shape, and by its place in or below the module that holds the weight: libraries name it as they like.
    """
    found: set[int] = set()
    for module in model.modules():
        weights = [p for p in module.parameters(recurse=False) if p.ndim == 2]
        for p in module.parameters():
            if any(
                p.ndim == 2 and p.shape[0] == w.shape[0] and _divides(p.shape[1], w.shape[1]) for w in weights
            ):
                found.add(id(p))
    return found


def _divides(groups: int, width: int) -> bool:
    return groups < width and width % groups == 0


def _lion(model: nn.Module, lr: float) -> Optimizer:
    from quantgate.training.eager import eager
    from quantgate.training.lion import Lion

    return eager(Lion)(model.parameters(), lr)


def _rmsprop(model: nn.Module, lr: float) -> Optimizer:
    return _torch("RMSprop")(model.parameters(), lr)


def _adafactor(model: nn.Module, lr: float) -> Optimizer:
    return _torch("Adafactor")(model.parameters(), lr, weight_decay=0.0)


def _fused(parameters: Iterable[Tensor]) -> bool:
    """Whether torch has a fused step for where the parameters lie; a library's own kind of tensor has none."""
    from torch import Tensor, nn

    plain = (Tensor, nn.Parameter)
    return all(
        type(p) in plain and p.device.type in {"cpu", "cuda"} and p.is_floating_point() for p in parameters
    )


ADAMW_LR = 2e-4

_OPTIMIZERS = (
    OptimizerSpec("adamw", _adamw, ADAMW_LR, per_width=True, long_lr=3e-3),
    OptimizerSpec("muon", _muon, 5e-3, long_lr=1e-2),
    OptimizerSpec("sgd", _sgd, 2e-3, long_lr=0.1),
    OptimizerSpec("lion", _lion, 1.5e-4, per_width=True),
    OptimizerSpec("rmsprop", _rmsprop, 7e-5, per_width=True, long_lr=1e-3),
    OptimizerSpec("adafactor", _adafactor, 8e-3, long_lr=3e-2),
)

#: The built-in optimizers by name.
OPTIMIZERS: Mapping[str, OptimizerSpec] = MappingProxyType({spec.name: spec for spec in _OPTIMIZERS})
