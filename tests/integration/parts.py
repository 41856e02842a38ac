"""What the packages' files share: subjects and faults in one line, and the straight-through estimator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from quantgate.faults.setups import Fault, Setup
from quantgate.formats import BUILTIN, Format
from quantgate.subjects.codecs import FunctionCodec, PairCodec
from quantgate.subjects.kinds import Recipe
from quantgate.training.optimizers import ADAMW_LR, OptimizerSpec

Quantizer = Callable[[Tensor], Tensor]
Batches = Iterable[Tensor]
Setups = dict[str, Setup]
Faults = dict[str, Fault]


def installed(package: str) -> bool:
    """Whether the package is there, without importing it."""
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # its parent is not there
        return False


def named(setups: Iterable[Setup]) -> Setups:
    """Setups by the name of the subject, or of the optimizer where the subject is built in."""
    return {
        (each.optimizer if each.optimizer and each.subject.name in BUILTIN else each.subject).name: each
        for each in setups
    }


def faults(found: Iterable[Fault]) -> Faults:
    return {each.name: each for each in found}


def made(name: str, factory: Callable[[], Any], bits: float, **more: Any) -> Setup:
    """A quantizer of its own for each weight."""
    return Setup(Format(name, FunctionCodec(factory=factory), bits, **more))


def function(name: str, quantize: Quantizer, bits: float, **more: Any) -> Setup:
    """One function for all weights, with its own backward."""
    return Setup(Format(name, FunctionCodec(function=quantize), bits, **more))


def codec(name: str, encode: Callable[[Tensor], Any], decode: Callable[[Any], Tensor], bits: float) -> Setup:
    """A pair of quantize and dequantize."""
    return Setup(Format(name, PairCodec(encode, decode), bits))


def recipe(
    name: str,
    prepare: Callable[[nn.Module], nn.Module],
    bits: float | None,
    calibrate: Callable[[nn.Module, Any], object] | None = None,
) -> Setup:
    """A library's own way to prepare a model."""
    return Setup(Recipe(name, prepare, bits, calibrate=calibrate))


def optimizer(
    name: str, build: Callable[[nn.Module, float], Any], reference: str | None = "adamw", lr: float = ADAMW_LR
) -> Setup:
    """An optimizer over the built-in int8."""
    return Setup(
        BUILTIN["int8"], optimizer=OptimizerSpec(name, build, lr, per_width=True, reference=reference)
    )


def fault(cause: str, broken: Setup, healthy: Setup, *also_right: str) -> Fault:
    """A fault under its broken setup's name; the twin's gets `healthy_` in front where they are the same."""
    name = next(iter(named([broken])))
    return Fault(name, cause, broken, healthy, frozenset(also_right))


def ste(quantize: Quantizer) -> Quantizer:
    """`quantize` forwards, the identity backwards."""

    def quantized(x: Tensor) -> Tensor:
        return x + (quantize(x.detach()) - x).detach()

    return quantized


def linears(model: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    """The linear layers by name; a list first, so that they can be replaced."""
    yield from [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]


def replace_linears(model: nn.Module, make: Callable[[nn.Linear], nn.Module]) -> nn.Module:
    """Replaces each linear layer in the model itself."""
    for name, module in linears(model):
        model.set_submodule(name, make(module))
    return model


@torch.no_grad()
def feed(quantizer: Callable[[Tensor], object], batches: Batches) -> None:
    """Show each batch to a quantizer or a model."""
    for batch in batches:
        quantizer(batch)


_declared: list[torch.library.Library] = []


def without_torchvision_kernels() -> None:
    """Declare the two operators that torchvision registers fakes for even where its kernels cannot be loaded.

    A torchvision built for another torch than the installed one (CUDA beside CPU) raises at import otherwise,
    and with it each package that imports it without a need.
    """
    if _declared or not installed("torchvision"):
        return
    for operator in ("nms", "qnms"):
        if not torch._C._jit_get_schemas_for_operator(f"torchvision::{operator}"):
            library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            _declared.append(library)
