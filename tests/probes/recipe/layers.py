"""Layers as libraries swap them in, and what is asked of a model that has them."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from quantgate import examine
from quantgate.diagnosis.evidence import TensorEvidence
from quantgate.formats import BUILTIN
from quantgate.gate.examination import Examination
from quantgate.subjects.kinds import Recipe

Prepare = Callable[[nn.Module], nn.Module]


def int8(x: Tensor) -> Tensor:
    return x + (BUILTIN["int8"].fake_quantize(x.detach()) - x).detach()


class Swapped(nn.Module):
    """A layer of a library's own that keeps the float32 weight."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = linear.weight


def swapping(make: Callable[[nn.Linear], nn.Module]) -> Prepare:
    """Puts a module in the place of every linear layer."""

    def prepare(model: nn.Module) -> nn.Module:
        for name, module in list(model.named_modules()):
            if isinstance(module, nn.Linear):
                model.set_submodule(name, make(module))
        return model

    return prepare


def examined(prepare: Prepare, bits: float = 8) -> Examination:
    return examine(Recipe("mine", prepare, bits))


def first(found: Examination, name: str) -> TensorEvidence:
    """The tensor of that name at the first probed step."""
    return next(tensor for tensor in found.evidence.weights if tensor.tensor == name)
