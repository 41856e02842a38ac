"""How a quantizer rounds: its thresholds, its noise and its codebook, measured on a ramp of values."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from quantgate.diagnosis.evidence import RoundingEvidence
from quantgate.formats import BUILTIN
from quantgate.probes.quantizer.calls import Shape
from quantgate.probes.tensors import SAME

#: Elements of the ramp, and of a run: each run of a row or a column holds +1, -1 and 6 values between, so that a scale
#: that is taken per tensor, row, column or block of 8 and more is the same everywhere.
RAMP_SHAPE = (32, 192)
RUN = 8
#: What rounding a level to float32 cannot do.
NUDGE = 1e-3
#: Rows by which the ramp is rolled: half of it, so that blocks of rows stay together.
ROLL = 16
#: A grid of more values is measured element by element: the ramp has too few elements in each of its bins.
MOST_LEVELS = 400
_SEED = 1_597
#: Families whose values are published; integers have no codebook that could be wrong.
_TABLES = ("codebook", "float", "goldenfloat")


def ramp(device: str = "cpu", shape: Shape = RAMP_SHAPE) -> Tensor:
    """Evenly spread values in [-1, 1] in random order, with +1 and -1 in every run."""
    count = shape[0] * shape[1]
    order = torch.randperm(count, generator=torch.Generator().manual_seed(_SEED))
    x = torch.linspace(-1, 1, count)[order].view(shape).clone()
    rows, columns = torch.arange(shape[0])[:, None], torch.arange(shape[1])
    x[columns % RUN == rows % RUN], x[columns % RUN == (rows + 1) % RUN] = 1.0, -1.0
    return x.to(device)


def rounding_evidence(
    x: Tensor, q: Tensor, again: Tensor, rolled: Tensor, levels_kept: float | None = None
) -> RoundingEvidence:
    """Measure the rounding thresholds and the noise of q on the ramp.

    Args:
        x: The `ramp`.
        q: q(x).
        again: q(x) under another torch seed.
        rolled: q of the ramp with its rows moved on by `ROLL`, moved back. A scale for each row, column or block,
            a rotation of rows: all of them move with the rows; noise that is the same each time does not.
        levels_kept: From `levels_kept`.
    """
    span = float(q.abs().max())
    if not span:
        return RoundingEvidence(None, None, 0.0, 0.0)
    flat, values = x.flatten(), q.flatten()
    levels = _levels(values, span)
    if 2 <= len(levels) <= MOST_LEVELS:
        positive, negative = _by_bin(flat, values, levels, span)
    else:
        positive, negative = _by_element(flat, values, span)
    bias_positive, bias_negative = _bias(x, q, again)
    return RoundingEvidence(
        levels_kept=levels_kept,
        error_shape=_error_shape(x, q),
        bias_positive=bias_positive,
        bias_negative=bias_negative,
        uniform=_is_uniform(levels),
        threshold_positive=positive,
        threshold_negative=negative,
        by_place=_apart(rolled, q, span),
        varies=_apart(again, q, span),
    )


def levels_kept(quantizer: Callable[[Tensor], Tensor], x: Tensor, q: Tensor) -> float:
    """The share of levels that come back as they are, whichever way they are rounded; of positive or of negative ones,
    the larger.

    All but a few of a grid that only rounds; of a transform (tanh, a companding curve) many move to another level, on
    both sides.
    """
    size = float((q - x).abs().mean())
    kept = torch.zeros_like(q, dtype=torch.bool)
    for nudge in (
        1 + NUDGE,
        1 - NUDGE,
    ):  # a level that lies a rounding of float32 below itself is not floored
        kept |= (quantizer(q * nudge) - q).abs() <= size
    sides = [kept[side] for side in (q > 0, q < 0) if bool(side.any())]
    return max((float(side.float().mean()) for side in sides), default=1.0)


def _error_shape(x: Tensor, q: Tensor) -> float:
    """Mean |error| over the largest one of values inside the range: 1/2 to nearest, 1/3 where noise is added before."""
    error = (q - x)[x.abs() < 1].abs()
    largest = float(error.quantile(0.995)) if len(error) else 0.0
    return float(error.mean()) / largest if largest else 0.0


def _is_uniform(levels: Tensor) -> bool:
    """Whether the levels are evenly spaced."""
    steps = torch.diff(levels)
    return 2 <= len(steps) < MOST_LEVELS and float(steps.max()) < 1.01 * float(steps.min())


def _bias(x: Tensor, q: Tensor, again: Tensor) -> tuple[float | None, float | None]:
    """Mean error over mean |error| of positive and negative values; of both draws, should they differ.

    Only between the least and the largest level that the run reaches within its range: beyond them all errors have
    one sign. Over whole bins round to nearest has a mean error of 0, wherever the levels lie.
    """
    found = []
    for sign in (1.0, -1.0):
        errors = []
        for draw in (q, again):
            size, value = (sign * x).reshape(-1, RUN), (sign * draw).reshape(-1, RUN)
            top = torch.where(size == 1, value, 0.0).amax(-1, keepdim=True).clamp(max=1.0)
            inside = (size > 0) & (size < top)
            least = float(value[inside].min().clamp(min=0)) if bool(inside.any()) else 0.0
            above = value[inside & (value > 0)]
            first = float(above.min()) if len(above) else 0.0
            inside &= (size >= least) & ((value != 0) | (size < first))  # what was pruned was not rounded
            errors.append((sign * (value - size))[inside])
        error = torch.cat(errors)
        size_of = float(error.abs().mean()) if len(error) >= RUN else 0.0
        found.append(float(error.mean()) / size_of if size_of else None)
    return found[0], found[1]


def _apart(one: Tensor, other: Tensor, span: float) -> float:
    return float(((one - other).abs() > SAME * span).float().mean())


def _levels(values: Tensor, span: float) -> Tensor:
    """The distinct values, ascending."""
    found = torch.sort(values).values
    apart = torch.diff(found) > SAME * span
    return found[torch.cat([torch.ones(1, dtype=torch.bool, device=found.device), apart])]


def _by_bin(x: Tensor, q: Tensor, levels: Tensor, span: float) -> tuple[float | None, float | None]:
    """Where in the bin the threshold lies: the median over bins of the share of elements that round down."""
    inside = (x > levels[0]) & (x < levels[-1])
    x, q = x[inside], q[inside]
    below = torch.searchsorted(levels, x.contiguous(), right=True) - 1
    down = (q <= levels[below] + SAME * span).float()
    bins = len(levels) - 1
    counts = torch.zeros(bins, device=x.device).index_add_(0, below, torch.ones_like(down))
    shares = torch.zeros(bins, device=x.device).index_add_(0, below, down) / counts.clamp_min(1)
    centres = (levels[1:] + levels[:-1]) / 2
    known = counts >= 4
    tiny = SAME * span
    return _median(shares[known & (centres > -tiny)]), _median(shares[known & (centres < tiny)])


def _by_element(x: Tensor, q: Tensor, span: float) -> tuple[float | None, float | None]:
    """The same for a grid too fine to see its bins: the share of elements that round down."""
    rounded = (q != x) & (x.abs() < span)
    down = (q < x).float()
    return _mean(down[rounded & (x > 0)]), _mean(down[rounded & (x < 0)])


def _median(shares: Tensor) -> float | None:
    return float(shares.median()) if len(shares) else None


def _mean(shares: Tensor) -> float | None:
    return float(shares.mean()) if len(shares) >= RUN else None


def table_error(name: str, q: Tensor) -> float | None:
    """The largest difference to the published codebook that a subject's name claims, as a share of its range.

    Args:
        name: The subject's name; `mylib_nf4` claims nf4.
        q: q(ramp), on which every published value occurs.
    """
    for published in BUILTIN.values():
        claimed = published.name in name.lower() and published.name != name
        if not claimed or published.family not in _TABLES or (published.bits or 0) > 8:
            continue
        levels = _levels(q.flatten(), float(q.abs().max()) or 1.0)
        table = torch.tensor(sorted({value + 0.0 for value in published.values or ()}), dtype=torch.float32)
        if len(levels) != len(table):
            return None
        return float((levels.cpu() / levels.abs().max().cpu() - table / table.abs().max()).abs().max())
    return None
