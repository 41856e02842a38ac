"""Is a quantizer as precise as its bits allow, and no more? Outliers that it keeps, codes that it leaves unused."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from quantgate.probes.quantizer.calls import OCTAVE, SEED, Shape, normal, seeded
from quantgate.probes.quantizer.ramp import RAMP_SHAPE, RUN, ramp
from quantgate.probes.tensors import SAME, share
from quantgate.training.fakequant import Quantizer

#: So many rows and columns of outliers stand together, a patch in each 16 rows. Whatever shares a scale of 16 values
#: and more keeps at most two of a row or column exactly, the largest and the least.
TOGETHER = 4
#: What float32 rounds x * s / s to.
EXACT = 1e-6
#: The ends of the range stand in each run of 32 alone, and the rest within this share of them, so that a range of up to
#: five standard deviations ends near the largest.
ENDS_EVERY, INNER = 32, 0.25


def outliers_kept(make_quantizer: Callable[[], Quantizer], device: str, shape: Shape) -> float:
    """Of outliers that are no extreme of their row or column of outliers, the share that comes back exactly.

    A grid has one scale for 16 values and more of a row or a column: values of no particular ratio to the largest lie
    on it by chance alone, unless what is large is left in float32.
    """
    x = normal(1.0, device, shape)
    generator = torch.Generator().manual_seed(SEED)
    middle = torch.zeros(shape, dtype=torch.bool, device=device)
    for place in range(shape[0] // RUN):
        row, column = place * RUN, place * RUN % shape[1]
        outliers = 8 + 8 * torch.rand(TOGETHER, TOGETHER, generator=generator)
        outliers *= (-1.0) ** torch.arange(TOGETHER**2).view(TOGETHER, TOGETHER)
        patch = slice(row, row + TOGETHER), slice(column, column + TOGETHER)
        x[patch] = outliers.to(device)
        middle[patch] = _is_middle(outliers).to(device)
    q = seeded(make_quantizer(), x.clone())
    kept = (q - x).abs()[middle] <= EXACT * x.abs()[middle]
    return share(kept, kept.numel())


def _is_middle(patch: Tensor) -> Tensor:
    """Elements that are no extreme of their row or column."""
    ends = [end(patch, axis, keepdim=True) for axis in (0, 1) for end in (torch.amax, torch.amin)]
    return ~torch.stack([patch == end for end in ends]).any(0)


def codes_used(
    make_quantizer: Callable[[], Quantizer], device: str, shape: Shape = RAMP_SHAPE
) -> float | None:
    """How many steps of an even grid fit between the values that the ends of a range come back as.

    The most over an octave of sizes; None where the ends come back differently from place to place, or nothing is left
    of them.
    """
    x = ramp(device, shape) * INNER
    columns, rows = torch.arange(x.shape[1]), torch.arange(x.shape[0])[:, None]
    ends = [(columns - rows - shift) % ENDS_EVERY == 0 for shift in (0, RUN)]
    x[ends[0]], x[ends[1]] = 1.0, -1.0
    most = 0.0
    for size in OCTAVE:
        q = seeded(make_quantizer(), x * size)
        found = _steps(q, q[ends[0]], q[ends[1]])
        if found is None:
            return None
        most = max(most, found)
    return most + 1


def _steps(q: Tensor, top: Tensor, bottom: Tensor) -> float | None:
    span = float(top.max() - bottom.min())
    uneven = max(float(each.max() - each.min()) for each in (top, bottom))
    if span <= 0 or uneven > 10 * SAME * span:
        return None
    apart = q.flatten().sort().values.diff()
    apart = apart[apart > 10 * SAME * span]
    return span / float(apart.min()) if len(apart) else None
