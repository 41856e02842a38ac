"""What the layers of a recipe's model really compute with, whatever made it so.

Module swaps, parametrizations, tensor subclasses, hooks and custom functions all leave a module where the layer was.
Its input and output are watched; a linear map between them is the effective weight, and the gradient of the output
gives the reference straight-through estimator's for the weight: dL/dY^T X.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quantgate.diagnosis.evidence import TensorEvidence
from quantgate.probes.recipe.layers import Call, Layer, Recorder, keeping, rows
from quantgate.probes.recipe.masters import Master
from quantgate.probes.recipe.views import View, view_of
from quantgate.probes.tensors import SAME, tensor_evidence

#: So many tokens of an activation are measured.
TOKENS = 256
#: The least share of large values that a dropout sets to 0.
DROPPED = 0.01


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
            if names:  # a frozen copy, such as an average of the weights, is not what is trained
                trains = [name for name in names if any(p.requires_grad for p in modules[name].parameters())]
                self.found[layer.path] = modules[min(trains or names, key=len)]
        self.layers = tuple(layer for layer in layers if layer.path in self.found)
        #: Layers that have no module of their name any more.
        self.lost = tuple(layer.path for layer in layers if layer.path not in self.found)
        #: The last call of each layer, and how many there were.
        self.calls: dict[str, Call] = {}
        self.counts: Counter[str] = Counter()
        self._views: dict[str, View] = {}
        #: Layers of whose weight only the size is known.
        self.open: set[str] = set()

    @contextmanager
    def forward(self) -> Iterator[None]:
        """Watch what is called in this context."""
        with Recorder() as inside:
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

    def _hooks(self, path: str, inside: Recorder) -> tuple[Callable[..., None], Callable[..., None]]:
        def before(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            if inputs and isinstance(inputs[0], Tensor):
                inside.open.append(Call(keeping(inputs[0])))

        def after(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if inside.open:
                call = inside.open.pop()
                if isinstance(output, Tensor):
                    call.y = keeping(output)
                    self.calls[path] = call
                    self.counts[path] += 1

        return before, after

    def evidence(self, step: int, masters: Mapping[str, Master]) -> list[TensorEvidence]:
        """What each layer computed with, beside its float32 weight and input.

        Args:
            step: The optimizer step.
            masters: The float32 weights by layer; a layer without one is left out.
        """
        found = []
        trained = False  # whether a layer before this one is, so that a gradient is owed to this one's input
        for layer in self.layers:
            before, trained = trained, trained or _trains(self.found[layer.path])
            call, master = self.calls.get(layer.path), masters.get(layer.path)
            if call is None or call.y is None or master is None:
                continue
            view = self._view(layer, call, master)
            if view.weight is None or view.weight.shape != master.values.shape:
                continue
            # The gradient of a weight that is read more than once is the sum of several; one that is frozen has none.
            once = self.counts[layer.path] == 1 and master.alone and master.trains
            reference = call.reference(layer, view.x, view.raw) if once else None
            gradient = master.gradient if once else None
            x = master.values if master.trains else layer.weight
            found.append(tensor_evidence(f"{layer.path}.weight", step, x, view.weight, gradient, reference))
            if layer.kind == "Linear":
                found.append(_input(f"input of {layer.path}", step, call, view, owed=before))
            if view.raw is not None:
                found.append(_between(f"output of {layer.path}", step, view.raw, call.y))
        return found

    def weight_of(self, path: str, master: Master) -> Tensor | None:
        """The weight that a layer computed with, in the terms of its float32 weight; None where it was not seen."""
        layer = next(layer for layer in self.layers if layer.path == path)
        call = self.calls.get(path)
        return None if call is None else self._view(layer, call, master).weight

    def _view(self, layer: Layer, call: Call, master: Master) -> View:
        if layer.path not in self._views:
            self._views[layer.path] = view_of(call, layer, master.values)
            if self._views[layer.path].is_open:
                self.open.add(layer.path)
        return self._views[layer.path]

    def coverage(self, masters: Mapping[str, Master]) -> tuple[tuple[int, int], bool]:
        """Linear layers of the body that compute in float32, of how many; and whether any other layer does not."""
        called = [layer for layer in self.layers if layer.path in self.calls]
        body = [layer for layer in called if layer.body]
        left = sum(self._is_plain(layer, masters) for layer in body)
        others = any(not self._is_plain(layer, masters) for layer in called if not layer.body)
        return (left, len(body)), others

    def _is_plain(self, layer: Layer, masters: Mapping[str, Master]) -> bool:
        """Whether a layer's output is its input times its float32 weight."""
        call, master = self.calls[layer.path], masters.get(layer.path)
        if master is None or call.y is None:
            return False
        # A frozen weight may have been put on the grid once and for all.
        weight = master.values if master.trains else layer.weight
        applied = (
            F.embedding(call.x, weight) if layer.kind == "Embedding" else F.linear(call.x.float(), weight)
        )
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
            and (
                layer.body or any(True for _ in self.found[layer.path].parameters())
            )  # or it is tied to another
        ]
        trained = [each for each in asked if _trains(self.found[each.path])]
        if any(
            each.body for each in trained
        ):  # the others are frozen; where nothing of the body trains, all are
            asked = trained
        lost = [layer for layer in asked if not _has_gradient(self.found[layer.path])]
        return len(lost), len(asked)


def _input(name: str, step: int, call: Call, view: View, *, owed: bool) -> TensorEvidence:
    """What the layer's map read beside the input that came, or its norm, whose gradient is not that of the input.

    The reference is the gradient of the output times the effective weight.
    """
    output = call.y if view.raw is None else view.raw
    same = torch.equal(view.base, rows(call.x))
    dropped = _dropped(view.base, view.x)
    if dropped is not None:
        return _activation(name, step, dropped, view.x, None, None)
    if not same or not owed or output is None or output.grad is None or view.weight is None:
        return _activation(name, step, view.base, view.x, None, None)
    gradient = None if call.x.grad is None else rows(call.x.grad)
    return _activation(name, step, view.base, view.x, gradient, rows(output.grad) @ view.weight)


def _dropped(x: Tensor, q: Tensor) -> Tensor | None:
    """The input behind a dropout, where there is one: large values of both signs are 0, the others have grown alike."""
    large = x.abs() > x.square().mean().sqrt()
    sides = [side for side in (large & (x > 0), large & (x < 0)) if bool(side.any())]
    of_each = [float(((q == 0) & side).sum()) / float(side.sum()) for side in sides] or [0.0]
    if not min(of_each) > DROPPED or max(of_each) > 2 * min(of_each):
        return None
    kept = q != 0
    factor = float((q * x)[kept].sum()) / max(1e-30, float(x[kept].square().sum()))
    behind = torch.where(kept, x * factor, 0.0)
    return behind if float((behind - q).norm()) < float((x - q).norm()) / 2 else None


def _between(name: str, step: int, x: Tensor, q: Tensor) -> TensorEvidence:
    """An activation before and after it was quantized, with both gradients."""
    gradients = (None if each.grad is None else rows(each.grad) for each in (x, q))
    return _activation(name, step, rows(x), rows(q), *gradients)


def _activation(
    name: str, step: int, x: Tensor, q: Tensor, gradient: Tensor | None, reference: Tensor | None
) -> TensorEvidence:
    """The evidence of `TOKENS` rows, which show as much as all of them."""
    every = max(1, len(x) // TOKENS)
    few = [None if each is None else each[::every][None] for each in (gradient, reference)]
    return tensor_evidence(name, step, x[::every][None], q[::every][None], *few)


def _trains(module: nn.Module) -> bool:
    parameters = list(module.parameters())
    return not parameters or any(p.requires_grad for p in parameters)


def _has_gradient(module: nn.Module) -> bool:
    return any(p.grad is not None and bool((p.grad != 0).any()) for p in module.parameters())
