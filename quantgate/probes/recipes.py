"""What the layers of a recipe's model really compute with, whatever made it so.

Module swaps, parametrizations, tensor subclasses, hooks and custom functions all leave a module where the layer was.
Its input and output are watched; a linear map between them is the effective weight, and the gradient of the output
gives the reference straight-through estimator's for the weight: dL/dY^T X.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from quantgate.diagnosis.evidence import TensorEvidence
from quantgate.probes.tensors import SAME, tensor_evidence

#: A weight that a call of `F.linear` reads is the effective one if it explains the output so well; what differs more
#: was scaled afterwards.
EXPLAINS = 0.1


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


@dataclass
class _Call:
    """One call of a layer: its input, its output, and the weights that linear maps inside it read."""

    x: Tensor
    y: Tensor | None
    weights: list[Tensor]
    inputs: list[Tensor]


class _Inside(TorchFunctionMode):
    """Records what each `F.linear` or `F.embedding` inside a layer reads."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[_Call] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if self.open and func in {F.linear, F.embedding}:
            weight = args[1] if len(args) > 1 else kwargs["weight"]
            if type(weight) in {Tensor, nn.Parameter} and weight.is_floating_point():
                self.open[-1].weights.append(weight)
                self.open[-1].inputs.append(args[0] if args else kwargs["input"])
        return func(*args, **kwargs)


class LayerWatch:
    """Watches the layers of a prepared model during one forward pass.

    Args:
        model: The prepared model.
        layers: The layers that it had in float32.
    """

    def __init__(self, model: nn.Module, layers: tuple[Layer, ...]) -> None:
        modules = dict(model.named_modules())
        self.found: dict[str, nn.Module] = {}
        for layer in layers:
            names = [name for name in modules if name == layer.path or name.endswith(f".{layer.path}")]
            if names:
                self.found[layer.path] = modules[min(names, key=len)]
        self.layers = tuple(layer for layer in layers if layer.path in self.found)
        #: Layers that have no module of their name any more.
        self.lost = tuple(layer.path for layer in layers if layer.path not in self.found)
        self.calls: dict[str, _Call] = {}

    @contextmanager
    def forward(self) -> Iterator[None]:
        """Watch what is called in this context."""
        with _Inside() as inside:
            handles = []
            for path, module in self.found.items():
                before, after = self._hooks(path, inside)
                handles += [
                    module.register_forward_pre_hook(before, prepend=True),
                    module.register_forward_hook(after),
                ]
            try:
                yield
            finally:
                for handle in handles:
                    handle.remove()

    def _hooks(self, path: str, inside: _Inside) -> tuple[Callable[..., None], Callable[..., None]]:
        def before(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            if inputs and isinstance(inputs[0], Tensor):
                inside.open.append(_Call(_keeping(inputs[0]), None, [], []))

        def after(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if inside.open:
                call = inside.open.pop()
                if isinstance(output, Tensor):
                    call.y = _keeping(output)
                    self.calls[path] = call

        return before, after

    def evidence(self, step: int, masters: Mapping[str, Tensor]) -> list[TensorEvidence]:
        """What each layer computed with, beside its float32 weight and input.

        Args:
            step: The optimizer step.
            masters: The float32 weights by layer, with their gradients; a layer without one is left out.
        """
        found = []
        for layer in self.layers:
            call, master = self.calls.get(layer.path), masters.get(layer.path)
            if call is None or call.y is None or master is None:
                continue
            q = _effective(call, layer)
            if q is None or q.shape != master.shape:
                continue
            name = f"{layer.path}.weight"
            found.append(tensor_evidence(name, step, master, q, master.grad, _reference(call, layer)))
            if (given := _input(call, layer)) is not None:
                found.append(
                    tensor_evidence(f"input of {layer.path}", step, call.x.float(), given, None, None)
                )
        return found

    def coverage(self, masters: Mapping[str, Tensor]) -> tuple[tuple[int, int] | None, bool]:
        """Linear layers of the body that compute in float32, of how many; and whether any other layer does not."""
        called = [layer for layer in self.layers if layer.path in self.calls]
        body = [layer for layer in called if layer.body]
        left = sum(self._is_plain(layer, masters) for layer in body)
        others = any(not self._is_plain(layer, masters) for layer in called if not layer.body)
        return (left, len(body)) if body else None, others

    def _is_plain(self, layer: Layer, masters: Mapping[str, Tensor]) -> bool:
        """Whether a layer's output is its input times its float32 weight."""
        call, master = self.calls[layer.path], masters.get(layer.path)
        if master is None or call.y is None:
            return False
        applied = F.embedding(call.x, master) if layer.kind == "Embedding" else F.linear(call.x, master)
        largest = float(call.y.abs().max())  # 0 behind a layer that is dead
        return largest > 0 and float((applied - call.y).abs().max()) <= SAME * largest

    def unreached(self) -> tuple[int, int]:
        """Layers none of whose parameters has a gradient although their output has one, of how many."""
        asked = [
            layer
            for layer in self.layers
            if (call := self.calls.get(layer.path)) is not None
            and call.y is not None
            and call.y.grad is not None
            and bool(call.y.grad.any())
        ]
        lost = [layer for layer in asked if not _has_gradient(self.found[layer.path])]
        return len(lost), len(asked)


def _has_gradient(module: nn.Module) -> bool:
    return any(p.grad is not None and bool((p.grad != 0).any()) for p in module.parameters())


def masters_of(model: nn.Module, layers: tuple[Layer, ...], watch: LayerWatch) -> dict[str, Tensor]:
    """The float32 parameter behind each layer: of its shape, in its module, and no tensor subclass."""
    found: dict[str, Tensor] = {}
    for layer in layers:
        module = watch.found.get(layer.path)
        candidates = [
            p
            for p in (module.parameters() if module is not None else ())
            if p.shape == layer.weight.shape and type(p) is nn.Parameter and p.dtype == torch.float32
        ]
        if len(candidates) == 1:
            found[layer.path] = candidates[0]
    return found


def _keeping(tensor: Tensor) -> Tensor:
    if tensor.requires_grad:
        tensor.retain_grad()
    return tensor


def _effective(call: _Call, layer: Layer) -> Tensor | None:
    """The weight that the layer computes with: one that it read and that explains its output, or a fit."""
    assert call.y is not None
    read = call.weights[-1].detach().float() if call.weights else None
    if layer.kind == "Embedding":
        return read
    given = _input(call, layer)
    x, y = _rows(call.x if given is None else given).double(), _rows(call.y).double()
    if read is not None and read.shape == layer.weight.shape:
        missing = y - x @ read.double().T
        if float(missing.norm()) <= EXPLAINS * float(y.norm()):
            return read
    if len(x) < x.shape[1] or not bool(torch.isfinite(y).all()):
        return None
    fitted: Tensor = torch.linalg.lstsq(x, y).solution
    return fitted.T.float()


def _input(call: _Call, layer: Layer) -> Tensor | None:
    """The input that the layer computes with; None where it is the one that came, or was not seen."""
    if layer.kind == "Embedding" or not call.inputs:
        return None
    given = call.inputs[-1].detach()
    if type(given) is not Tensor or given.shape != call.x.shape or torch.equal(given.float(), call.x.float()):
        return None
    return given.float()


def _reference(call: _Call, layer: Layer) -> Tensor | None:
    """The straight-through estimator's gradient of the weight, from that of the output."""
    if call.y is None or call.y.grad is None:
        return None
    gradient = _rows(call.y.grad)
    if layer.kind == "Embedding":
        summed = torch.zeros_like(layer.weight)
        return summed.index_add_(0, call.x.flatten(), gradient.float())
    return gradient.T @ _rows(call.x)


def _rows(x: Tensor) -> Tensor:
    return x.detach().float().reshape(-1, x.shape[-1])
