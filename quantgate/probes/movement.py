"""Do stored weights move? What storage swallows leaves them where they were, whoever stored them."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

#: What differs by less of itself was scaled anew and not moved: some roundings of float32.
ROUNDING = 4e-7


class Movement:
    """Compares parameters with what they were at an earlier step, where either step gave them a gradient.

    Codes that stay while the scale of their row changes have not moved.
    """

    def __init__(self) -> None:
        self._first: dict[str, Tensor] = {}
        self._pulled: dict[str, Tensor] = {}

    def note(self, parameters: Iterable[tuple[str, nn.Parameter]]) -> None:
        """Keep named parameters and where they have a gradient. Tensors of a library's own kind are dequantized."""
        for name, p in parameters:
            if p.grad is None or p.numel() == 0:
                continue
            self._first[name], self._pulled[name] = values(p).clone(), values(p.grad) != 0

    def unmoved(self, parameters: Iterable[tuple[str, nn.Parameter]]) -> float | None:
        """The share of the elements with a gradient that are where they were; None where there are none."""
        still, count = 0, 0
        for name, p in parameters:
            first, pulled = self._first.get(name), self._pulled.get(name)
            if first is None or pulled is None or first.shape != p.shape:
                continue
            still += int((_same(first, values(p)) & pulled).sum())
            count += int(pulled.sum())
        return still / count if count else None


def values(p: Tensor) -> Tensor:
    """The float32 values of a tensor, of whatever kind."""
    found: Tensor = p.detach()
    if type(p) not in {Tensor, nn.Parameter} and callable(dequantize := getattr(found, "dequantize", None)):
        found = dequantize()
    return found.float()


def _same(before: Tensor, after: Tensor) -> Tensor:
    """Elements that are as they were, or only followed the scale of their row."""
    rows = before.reshape(-1, before.shape[-1] if before.ndim else 1).double()
    moved = after.reshape(rows.shape).double()
    factor = (rows * moved).sum(1, keepdim=True) / rows.square().sum(1, keepdim=True).clamp(min=1e-300)
    if rows.shape[1] == 1:  # a scale by itself explains everything
        factor = torch.ones_like(factor)
    scaled = (moved - factor * rows).abs() <= ROUNDING * rows.abs()
    return (scaled | (moved == rows)).view(before.shape)
