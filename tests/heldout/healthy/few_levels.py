"""Two levels, three, and a sum of both."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.heldout.parts import ste


def ternary_twn(x: Tensor) -> Tensor:
    """Ternary weight networks (arXiv 1605.04711), by rows: 0 below 0.7 mean |w|, the mean of the rest above."""

    def grid(v: Tensor) -> Tensor:
        kept = v.abs() > 0.7 * v.abs().mean(-1, keepdim=True)
        count = kept.sum(-1, keepdim=True).clamp(min=1)
        return v.sign() * kept * ((v.abs() * kept).sum(-1, keepdim=True) / count)

    return ste(grid)(x)


def binary_rows(x: Tensor) -> Tensor:
    """XNOR-Net by rows."""
    return ste(lambda v: torch.where(v < 0, -1.0, 1.0) * v.abs().mean(-1, keepdim=True))(x)


def ternary_median(x: Tensor) -> Tensor:
    """{-1, 0, 1} times the mean of the upper half of the magnitudes, which alone are kept."""

    def grid(v: Tensor) -> Tensor:
        kept = v.abs() >= v.abs().median()
        return v.sign() * kept * (v.abs() * kept).sum() / kept.sum().clamp(min=1)

    return ste(grid)(x)


def residual_binary(x: Tensor) -> Tensor:
    """Two binary grids, the second for what the first leaves (ABC-Net): four values by rows."""

    def sign_mean(v: Tensor) -> Tensor:
        return torch.where(v < 0, -1.0, 1.0) * v.abs().mean(-1, keepdim=True)

    return ste(lambda v: sign_mean(v) + sign_mean(v - sign_mean(v)))(x)
