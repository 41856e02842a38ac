"""What a broken backward makes of a gradient: (gradient, x, q(x)) -> gradient."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from quantgate.faults.parts.quantizers import Backward


def passed(gradient: Tensor, x: Tensor, q: Tensor) -> Tensor:
    """The gradient as it is: the straight-through estimator."""
    return gradient


def times(factor: Callable[[Tensor], Tensor | float]) -> Backward:
    """The gradient times a factor of x."""
    return lambda gradient, x, q: gradient * factor(x)


def cast(dtype: torch.dtype) -> Backward:
    """The gradient through another dtype and back."""
    return lambda gradient, x, q: gradient.to(dtype).to(gradient.dtype)


def inside_rows(gradient: Tensor, x: Tensor, q: Tensor) -> Tensor:
    """The gradient where the code is not the largest of its row."""
    return gradient * (q.abs() < q.abs().amax(dim=-1, keepdim=True))


def inside_tensor(gradient: Tensor, x: Tensor, q: Tensor) -> Tensor:
    """The gradient where the code is not the largest of the tensor."""
    return gradient * (q.abs() < q.abs().amax())
