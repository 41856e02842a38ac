"""In which terms a layer computes, so that its weight and input can be laid beside the float32 ones.

A layer may multiply integer codes and scale the product (an epilogue), move scales from its input to its weight
(SmoothQuant), rotate both (Hadamard), or norm its input first. Each is a view: an input and a weight whose product is
the layer's output. The plain view is what the layer's linear map read; another is taken where it explains the output
too, and shows input and weight much nearer to the float32 ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from quantgate.probes.recipe.layers import EXPLAINS, Call, Layer, fit, left, rows
from quantgate.probes.tensors import decibels

#: In decibels: so much nearer another view must be.
NEARER = 6.0
#: What is so near is the float32 one, quantized.
ENOUGH = 30.0
#: Of the distance between a fitted weight and the float32 one, what the fit may leave open.
OPEN = 0.3
#: A size that such noise does not make.
SIZE = 0.2


@dataclass(frozen=True)
class View:
    """What a layer computes with."""

    #: None where it could not be seen.
    weight: Tensor | None
    #: What the map's input is compared with: the layer's input, or its norm.
    base: Tensor
    #: The map's input (rows, columns), and what it is multiplied by to be in the terms of `base`; None where the
    #: layer's input is read as it is, or cannot be compared.
    given: Tensor | None = None
    factor: Tensor | None = None
    #: Whether the weight is one that the layer read as it is.
    is_read: bool = False
    #: Whether only the size of the weight is known: the noise of inputs that are quantized out of sight hides the rest.
    is_open: bool = False
    #: What its map gave, where the layer's output is that and quantized.
    raw: Tensor | None = None

    @property
    def x(self) -> Tensor:
        """The effective input, (rows, columns)."""
        if self.given is None:
            return self.base
        return self.given if self.factor is None else self.given * self.factor


def view_of(call: Call, layer: Layer, master: Tensor) -> View:
    """The view in which a call of a layer is measured.

    Args:
        call: A call of the layer, with its output.
        layer: The layer.
        master: Its float32 weight.
    """
    plain = _plain(call, layer)
    if layer.kind == "Embedding" or call.y is None:
        return plain
    best, reached = plain, _nearness(plain, master) + NEARER
    for other in _others(call, layer, master):
        if left(call.y, other.x, other.weight) <= EXPLAINS and _nearness(other, master) > reached:
            best, reached = other, _nearness(other, master)
    if best.is_read or best.weight is None or best.weight.shape != master.shape:
        return best
    return best if _is_certain(best, call.y, master) else _of_its_size(best, master)


def _plain(call: Call, layer: Layer) -> View:
    read = call.maps[-1].weight.detach().float() if call.maps else None
    if layer.kind == "Embedding" or call.y is None:
        return View(read, call.x, is_read=True)
    given = call.input(layer)
    base = rows(call.x)
    if (raw := call.raw_output(layer)) is not None:
        return View(read, base, None if given is None else rows(given), is_read=True, raw=raw)
    x = base if given is None else rows(given)
    if read is not None and read.shape == layer.weight.shape and left(call.y, x, read) <= EXPLAINS:
        return View(read, base, None if given is None else x, is_read=True)
    return View(fit(x, call.y), base, None if given is None else x)


def _of_its_size(view: View, master: Tensor) -> View:
    """The view with a weight of which the size alone is known: the float32 one, unless it is another size."""
    assert view.weight is not None
    size = float((view.weight * master).sum()) / max(float(master.square().sum()), 1e-30)
    return replace(view, weight=master if abs(size - 1) < SIZE else master * size, is_open=True)


def _is_certain(view: View, y: Tensor, master: Tensor) -> bool:
    """Whether a fitted weight differs from the float32 one by more than what it was fitted to leaves open.

    The noise of inputs that are quantized out of sight, over inputs that hardly vary, would be taken for the weight's.
    """
    assert view.weight is not None
    x, output = view.x.double(), rows(y).double()
    free = max(1, len(x) - x.shape[1])
    noise = float((output - x @ view.weight.double().T).square().sum()) / free
    spread = torch.linalg.eigvalsh(x.T @ x).clamp(min=1e-30)
    return noise * float((1 / spread).sum()) <= OPEN * float((view.weight - master).square().sum())


def _others(call: Call, layer: Layer, master: Tensor) -> Iterator[View]:
    assert call.y is not None
    x, given = rows(call.x), call.input(layer)
    read = call.maps[-1].weight.detach().float() if call.maps else None
    if given is not None and read is not None and read.shape == master.shape:
        g = rows(given)
        for base in (x, F.rms_norm(x, x.shape[-1:]), F.layer_norm(x, x.shape[-1:])):
            if base is not x:
                yield View(read, base, g, is_read=True)
            tokens, outputs = _scales(g, base, 1), _scales(read, master, 1)
            yield View(read * outputs, base, g, tokens)
            channels = _scales(g, base, 0)
            yield View(read / channels, base, g, channels)
    if given is not None:
        yield View(fit(x, call.y), x)


def _scales(of: Tensor, to: Tensor, axis: int) -> Tensor:
    """The factors of rows (axis 1) or columns (axis 0) that bring one tensor nearest to another."""
    power = of.square().sum(axis, keepdim=True)
    return torch.where(power > 0, (of * to).sum(axis, keepdim=True) / power.clamp(min=1e-30), 1.0)


def _nearness(view: View, master: Tensor) -> float:
    """Signal over noise of the weight and of the input together, in decibels; each counts up to `ENOUGH`."""
    if view.weight is None or view.weight.shape != master.shape:
        return -math.inf
    pairs = [(master, view.weight), (view.base, view.x)]
    return sum(min(_decibels(signal, signal - other), ENOUGH) for signal, other in pairs)


def _decibels(signal: Tensor, noise: Tensor) -> float:
    power = float(signal.square().sum())
    return decibels(power, float(noise.square().sum())) if power else -math.inf
