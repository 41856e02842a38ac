"""Backwards of their own."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tests.heldout.parts import amax, ste, symmetric


def int8_hardtanh_gradient(x: Tensor) -> Tensor:
    """The gradient of hardtanh at four times the clip-free range: |x| beyond 1 and beyond amax gets none."""
    return ste(symmetric(127), lambda g, v, q: g * (v.abs() <= amax(v).clamp(min=1.0)))(x)


def int4_soft_backward(x: Tensor) -> Tensor:
    """Hard steps forwards, the derivative of gentle ones backwards (after DSQ, arXiv 1908.05033)."""

    def slope(gradient: Tensor, v: Tensor, q: Tensor) -> Tensor:
        place = v * 7 / amax(v)
        return gradient * (1 - 0.4 * torch.cos(2 * math.pi * place))

    return ste(symmetric(7), slope)(x)


def int6_soft_steps(x: Tensor) -> Tensor:
    """Nearly hard steps that autograd goes through: half hard, half the identity in its gradient."""
    scale = amax(x.detach()) / 31
    codes = x / scale
    soft = codes - 0.3 * torch.sin(2 * math.pi * codes) / (2 * math.pi)
    return (soft + (codes.round() - soft).detach()) * scale
