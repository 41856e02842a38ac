"""Whether a quantizer's scale follows its input, and what it makes of nothing but zeros."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from quantgate.probes.quantizer.calls import INPUT_SHAPE, normal, seeded
from quantgate.probes.tensors import SAME, share
from quantgate.training.fakequant import Quantizer


def zero_input(make_quantizer: Callable[[], Quantizer], device: str) -> str | None:
    """Which of an all-zero tensor and an all-zero row does not come back finite."""
    row = normal(1.0, device)
    row[3] = 0.0
    for label, x in (("an all-zero tensor", torch.zeros_like(row)), ("an all-zero row", row)):
        if not torch.isfinite(seeded(make_quantizer(), x)).all():
            return label
    return None


def scaling(quantizer: Quantizer, x: Tensor) -> tuple[float | None, float]:
    """(max |q(4 x)| / max |q(x)|, share of elements with q(4 x) != 4 q(x)), on one instance.

    None for a learned scale, or no output. A delayed scale (a maximum over past calls) is given four calls to follow.
    """
    before = seeded(quantizer, x.clone())
    if isinstance(quantizer, nn.Module) and any(True for _ in quantizer.parameters()):
        return None, 0.0  # asked after the first call, which may have made them
    for _ in range(4):
        after = seeded(quantizer, 4 * x)
    largest = float(before.abs().max())
    return (float(after.abs().max()) / largest if largest else None), differs(4 * before, after)


def changes_wide(quantizer: Quantizer, device: str) -> bool:
    """Whether any value between 2^-60 and 2^60 is changed."""
    x = normal(1.0, device) * 2.0 ** torch.linspace(-60, 60, INPUT_SHAPE[1], device=device)
    return not torch.equal(seeded(quantizer, x.clone()), x)


def differs(q: Tensor, other: Tensor) -> float:
    """The share of elements off by more than the straight-through idiom's rounding."""
    return share((q - other).abs() > SAME * float(q.abs().max()), q.numel())
