"""The contract of a quantizer: keep shape, dtype, device and input, keep finite values finite, obey torch's seed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from quantgate.probes.quantizer.calls import seeded
from quantgate.probes.tensors import share
from quantgate.training.fakequant import Quantizer


def contract_violation(make_quantizer: Callable[[], Quantizer], name: str, x: Tensor) -> str | None:
    """The first contract violation of the quantizer on x, in a sentence; None if there is none."""
    given = x.clone()
    first = seeded(make_quantizer(), given)
    if not isinstance(first, Tensor):
        return _no_tensor(first)
    if first.shape != x.shape:
        return f"returns shape {tuple(first.shape)} for {tuple(x.shape)}."
    if first.dtype != x.dtype:
        return f"returns {first.dtype} for {x.dtype}; dequantize to the input's dtype."
    if first.device != x.device:
        return f"returns a tensor on {first.device} for one on {x.device}."
    if not torch.equal(given, x):
        return f"changes its input in place ({share(given != x, x.numel()):.0%} of {name})."
    if not torch.isfinite(first).all():
        return f"returns {int((~torch.isfinite(first)).sum())} non-finite elements for finite {name}."
    return None


def _no_tensor(returned: object) -> str:
    said = f"returns {type(returned).__name__}, not a tensor"
    if isinstance(returned, tuple) and any(isinstance(each, Tensor) for each in returned):
        return f"{said}: return the dequantized values alone, (x - zero_point) * scale of what it gives."
    if callable(returned):
        return f"{said}: it makes a quantizer; register it with factory=, or write factory: before its path."
    return f"{said}."


def unrepeatable(make_quantizer: Callable[[], Quantizer], x: Tensor) -> str | None:
    """How two fresh quantizers differ on x under one torch seed, in a sentence; None where they agree."""
    first, second = (seeded(make_quantizer(), x.clone()) for _ in range(2))
    if torch.equal(first, second):
        return None
    return (
        f"{share(first != second, x.numel()):.0%} of the values are others under the same torch seed: it draws from a "
        "generator of its own, or keeps state and was not registered with factory=."
    )
