"""What one call of a layer read and gave: its effective weight, input and output.

The linear map inside a layer is seen where it is called. Where it is not, as in a custom function, the map that fits
input and output is the effective weight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

#: A weight that was read is the effective one if it explains the output so well; what differs more was scaled or
#: quantized afterwards.
EXPLAINS = 0.1
#: A linear map leaves less than this share of an output; quantization to 8 bits leaves 0.4% and more.
LINEAR = 1e-3


@dataclass(frozen=True)
class Layer:
    """A linear or embedding layer of the float32 model."""

    path: str
    kind: str
    #: Its first weight, before anything was prepared.
    weight: Tensor
    #: Whether it belongs to the body, which a recipe is expected to quantize; many leave embeddings and head alone.
    body: bool


def layers_of(model: nn.Module) -> tuple[Layer, ...]:
    """The layers of a float32 model in order, with copies of their weights."""
    return tuple(
        Layer(path, type(module).__name__, module.weight.detach().clone(), path.startswith("blocks."))
        for path, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Embedding)
    )


@dataclass(frozen=True)
class Map:
    """One `F.linear` or `F.embedding` inside a layer: what it read and what it gave."""

    x: Tensor
    weight: Tensor
    y: Tensor


@dataclass
class Call:
    """One call of a layer: its input, its output, and the maps inside it."""

    x: Tensor
    y: Tensor | None = None
    maps: list[Map] = field(default_factory=list)

    def input(self, layer: Layer) -> Tensor | None:
        """The input that the layer computes with; None where it is the one that came, or was not seen."""
        if layer.kind == "Embedding" or not self.maps:
            return None
        given = self.maps[-1].x
        same = given.shape != self.x.shape or torch.equal(given.detach().float(), self.x.detach().float())
        return None if same else given

    def raw_output(self, layer: Layer) -> Tensor | None:
        """What the layer's one linear map gave, where the output is that and quantized; None where it is not."""
        if layer.kind == "Embedding" or len(self.maps) != 1 or self.y is None:
            return None
        x, weight, raw = rows(self.maps[0].x), self.maps[0].weight.detach().float(), self.maps[0].y
        if raw.shape != self.y.shape or weight.shape != layer.weight.shape or torch.equal(raw, self.y):
            return None
        fitted = fit(x, self.y)
        by_more_than_a_map = fitted is not None and left(self.y, x, fitted) > LINEAR
        return raw if by_more_than_a_map and left(raw, x, weight) <= LINEAR else None

    def reference(self, layer: Layer, x: Tensor, raw: Tensor | None) -> Tensor | None:
        """The straight-through estimator's gradient of the weight: that of the map's output times its input x.

        Args:
            layer: The layer.
            x: The effective input, (rows, columns).
            raw: What the map gave, where the output is that and quantized.
        """
        output = self.y if raw is None else raw
        if output is None or output.grad is None:
            return None
        gradient = rows(output.grad)
        if layer.kind == "Embedding":
            summed = torch.zeros_like(layer.weight)
            return summed.index_add_(0, self.x.flatten(), gradient)
        return gradient.T @ x


class Recorder(TorchFunctionMode):
    """Adds each `F.linear` and `F.embedding` to the innermost layer that is open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[Call] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if self.open and func in {F.linear, F.embedding}:
            read = [*args[:2], *(kwargs[name] for name in ("input", "weight") if name in kwargs)]
            x, weight, y = (dense(each) for each in (*read[:2], result))
            if x is not None and y is not None and weight is not None and weight.is_floating_point():
                # A copy: some layers quantize the parameter in place, and put it back afterwards.
                self.open[-1].maps.append(Map(keeping(x), weight.detach().clone(), keeping(y)))
        return result


def dense(value: Any) -> Tensor | None:
    """The plain tensor of what a linear map reads: a tensor, or a tuple that begins with one; None for any other."""
    if isinstance(value, tuple) and value:
        value = value[0]
    return value if type(value) in {Tensor, nn.Parameter} else None


def keeping(tensor: Tensor) -> Tensor:
    """A tensor whose gradient will be kept, where it gets one."""
    if tensor.requires_grad:
        tensor.retain_grad()
    return tensor


def fit(x: Tensor, y: Tensor) -> Tensor | None:
    """The weight of the linear map that takes x nearest to y; None where there are too few rows for one."""
    output = rows(y).double()
    if len(x) < x.shape[1] or not bool(torch.isfinite(output).all()):
        return None
    fitted: Tensor = torch.linalg.lstsq(x.double(), output).solution
    return fitted.T.float()


def left(y: Tensor, x: Tensor, weight: Tensor | None) -> float:
    """The share of y that is not x times a weight; all of it without a weight."""
    if weight is None:
        return 1.0
    output = rows(y)
    norm = float(output.norm())
    return float((output - x @ weight.T).norm()) / norm if norm else 0.0


def rows(x: Tensor) -> Tensor:
    """A tensor without its graph as a matrix of its last axis, in float32."""
    return x.detach().float().reshape(-1, x.shape[-1])
