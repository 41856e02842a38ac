"""Relations that every quantizer keeps, whatever its bits: order, number of levels, the place of scales, free noise.

Each is asked of the ramp, where every run of 16 values has the same range, or of tensors whose halves trade places. A
quantizer that mixes its values (a rotation, error feedback) keeps none of the first two, and is not asked.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from quantgate.diagnosis.evidence import RelationEvidence
from quantgate.probes.quantizer.calls import INPUT_SHAPE, OCTAVE, SEED, Shape, seeded
from quantgate.probes.quantizer.precision import outliers_kept
from quantgate.probes.quantizer.ramp import RUN
from quantgate.probes.quantizer.reach import SHAPE, reach
from quantgate.probes.tensors import SAME, share
from quantgate.training.fakequant import Quantizer

#: A fall of less than this share of the range is float32's, or a scale's that differs a little from row to row.
LEAST_FALL = 2e-3
#: Beyond so many bits the ramp has too few elements to count levels.
MOST_BITS = 8
#: Other values move by this share of the error where a quantizer mixes them.
MIXED = 0.3
#: Elements whose values vary with the seed, beyond which a quantizer is stochastic.
STOCHASTIC = 0.01
#: Of an even grid of 3 bits a seventh of the ramp is 0; where more is, values are pruned by what stands beside them.
PRUNED_BITS, PRUNED = 3, 0.35
#: Elements on the ends of the ramp's range come back as they are; a quantizer that leaves more, now and then, as a
#: regularizer, has more values than codes.
LEFT = 0.3
#: Shapes whose halves trade places: a square one, in which a scale of rows fits columns too, and another.
SHAPES = ((64, 64), (64, 128))
#: Rows and columns whose noise is compared.
NOISE_SHAPE = (64, 64)


def relations(
    make_quantizer: Callable[[], Quantizer],
    x: Tensor,
    q: Tensor,
    *,
    bits: float | None,
    varies: float,
    by_place: float,
    only: Shape | None = None,
) -> RelationEvidence:
    """Ask a quantizer for its relations.

    Args:
        make_quantizer: Makes the function under test.
        x: A ramp.
        q: q(x).
        bits: Declared bits of an element; None where unknown.
        varies: Share of the ramp that differs between seeds.
        by_place: Share of the ramp whose result depends on its row.
        only: The one shape that the quantizer takes, such as that of a layer's weight; None where it takes any.
    """
    kept = outliers_kept(make_quantizer, str(q.device), only or INPUT_SHAPE)
    if varies >= STOCHASTIC:
        return RelationEvidence(
            levels=None if share(q == x, q.numel()) > LEFT else _levels(make_quantizer, x, q, bits),
            shared_noise=_shared_noise(make_quantizer, q.device, only or NOISE_SHAPE),
            outliers_kept=kept,
        )
    if _mixes(make_quantizer, x, q):
        return RelationEvidence(mixes=True, outliers_kept=kept)
    pruned = bits is not None and bits >= PRUNED_BITS and share(q == 0, q.numel()) > PRUNED
    falls, largest = (None, 0.0) if pruned else min(_falls(x, q), _falls(x.T, q.T))
    # A layer may have scales of its own for its rows and columns, which do not move with the values.
    asked = only is None and by_place < STOCHASTIC
    misplaced, shape = _misplaced(make_quantizer, q.device) if asked else (None, "")
    placed = None if by_place >= STOCHASTIC else reach(make_quantizer, str(q.device), only or SHAPE)
    return RelationEvidence(
        falls=falls,
        largest_fall=largest,
        levels=_levels(make_quantizer, x, q, bits),
        outliers_kept=kept,
        misplaced=misplaced,
        misplaced_shape=shape,
        reach=placed,
    )


def _mixes(make_quantizer: Callable[[], Quantizer], x: Tensor, q: Tensor) -> bool:
    """Whether other values of a row move when one, which is not the largest, does."""
    place = 5  # no head of the first row's runs
    moved = x.clone()
    moved[0, place] = -x[0, place] / 2
    change = (seeded(make_quantizer(), moved) - q)[0]
    change[place] = 0.0
    return float(change.norm()) > MIXED * float((q - x)[0].norm())


def _falls(x: Tensor, q: Tensor) -> tuple[float, float]:
    """(the share of neighbours in a run that q puts in the other order, the largest such fall of the range)."""
    values, order = x.reshape(-1, RUN).sort(dim=-1)
    del values
    steps = q.reshape(-1, RUN).gather(-1, order).diff(dim=-1)
    span = 2 * float(q.abs().max()) or 1.0
    return share(steps < -LEAST_FALL * span, steps.numel()), max(0.0, -float(steps.min()) / span)


def _levels(make_quantizer: Callable[[], Quantizer], x: Tensor, q: Tensor, bits: float | None) -> int | None:
    """How many values q takes, at most over an octave of sizes, in which a tie at the end of the range goes either way.

    None where bits are unknown or many, or scales differ from place to place.
    """
    if bits is None or bits > MOST_BITS or torch.equal(q, x):
        return None
    found = []
    for size in OCTAVE:
        values = q if size == 1 else seeded(make_quantizer(), x * size)
        span = float(values.abs().max())
        near, heads = span / (8 * 2**bits), values[x == 1]
        if not span or float(heads.max() - heads.min()) > near:
            return None
        found.append(1 + int((values.flatten().sort().values.diff() > near).sum()))
    return max(found)


def _misplaced(make_quantizer: Callable[[], Quantizer], device: torch.device) -> tuple[float, str]:
    """The share of elements that another place changes, at worst, and the shape that shows it."""
    worst, where = 0.0, ""
    generator = torch.Generator().manual_seed(SEED)
    for shape in SHAPES:
        rows, columns = (2.0 ** (3 * torch.rand(size, generator=generator)) for size in shape)
        x = (torch.randn(shape, generator=generator) * rows[:, None] * columns).to(device)
        q = seeded(make_quantizer(), x.clone())
        for axis, size in enumerate(shape):
            back = seeded(make_quantizer(), x.roll(size // 2, axis)).roll(-size // 2, axis)
            moved = share((back - q).abs() > SAME * float(q.abs().max()), q.numel())
            if moved > worst:
                worst, where = moved, str(shape)
    return worst, where


def _shared_noise(make_quantizer: Callable[[], Quantizer], device: torch.device, shape: Shape) -> str | None:
    """What shares its noise: rows or columns of equal values, or calls of one instance."""
    down, across = (torch.linspace(-1, 1, size, device=device) for size in shape)
    rows, columns = across.repeat(shape[0], 1), down[:, None].repeat(1, shape[1])
    # Both ends of the range in every run of each row and column, so that a scale of rows or columns is the same.
    place, places = torch.arange(shape[1], device=device), torch.arange(shape[0], device=device)[:, None]
    for end, shift in ((1.0, 0), (-1.0, 1)):
        rows[(places - place + shift) % RUN == 0] = end
        columns[(places - place + shift) % RUN == 0] = end
    for what, x, axis in (("rows", rows, 0), ("columns", columns, 1)):
        up = seeded(make_quantizer(), x.clone()) > x
        free = x.abs() < 1
        known = free.sum(axis)
        ups = (up & free).sum(axis)
        if bool(((ups == 0) | (ups == known)).all()):
            return what
    quantizer = make_quantizer()
    first = seeded(quantizer, rows.clone())
    with torch.no_grad():
        later = [quantizer(rows.clone()) for _ in range(2)]
    return "calls" if all(torch.equal(first, each) for each in later) else None
