"""The float32 weights behind the layers of a prepared model, whatever kind of tensor holds them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from quantgate.probes.recipe.layers import Layer

#: Cosine to a layer's first weight: above it a parameter is that weight, after some training too.
ALIKE = 0.3


@dataclass(frozen=True)
class Master:
    """The float32 weight of a layer."""

    #: The name in the layer's module of the parameter that holds it.
    parameter: str
    #: Its values, as a plain tensor that shares their memory.
    values: Tensor
    #: The gradient of the parameter; None where there is none.
    gradient: Tensor | None
    #: Whether the parameter asks for one.
    trains: bool
    #: Whether no other layer reads it.
    alone: bool = True


def masters_of(found: Mapping[str, nn.Module], layers: tuple[Layer, ...]) -> dict[str, Master]:
    """The float32 parameter in a layer's module that holds its weight: of its shape, and most like its first values.

    One that is nothing like them (a transposed weight, a mask) is none.

    Args:
        found: The modules by the paths of the layers.
        layers: The layers that the model had in float32.
    """
    masters: dict[str, Master] = {}
    holders = Counter(id(p) for module in found.values() for p in module.parameters())
    for layer in layers:
        module = found.get(layer.path)
        candidates = [
            Master(
                name, values, None if p.grad is None else plain(p.grad), p.requires_grad, holders[id(p)] == 1
            )
            for name, p in (module.named_parameters() if module is not None else ())
            if (values := plain(p)) is not None and values.shape == layer.weight.shape
        ]
        alike = [each for each in candidates if _likeness(each.values, layer.weight) > ALIKE]
        if alike:
            masters[layer.path] = max(
                alike, key=lambda each: (each.trains, _likeness(each.values, layer.weight))
            )
    return masters


def _likeness(values: Tensor, first: Tensor) -> float:
    return float(torch.cosine_similarity(values.flatten(), first.flatten(), dim=0))


def plain(tensor: Tensor) -> Tensor | None:
    """The float32 values of a tensor without its graph, in its own memory; None where it holds others.

    Of a tensor subclass that wraps others, those of the one float32 tensor of its shape inside.
    """
    if hasattr(tensor, "__tensor_flatten__"):
        names, _ = tensor.__tensor_flatten__()
        inner = [getattr(tensor, name) for name in names]
        whole = [each for each in inner if type(each) is Tensor and each.shape == tensor.shape]
        return _float32(whole[0]) if len(whole) == 1 else None
    with torch._C.DisableTorchFunctionSubclass():
        return _float32(tensor.detach().as_subclass(Tensor))


def _float32(tensor: Tensor) -> Tensor | None:
    return tensor.detach() if tensor.dtype == torch.float32 else None
