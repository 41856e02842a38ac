"""Which values share a scale: those whose results an outlier changes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from quantgate.probes.quantizer.calls import SEED, Shape, seeded
from quantgate.probes.tensors import SAME
from quantgate.training.fakequant import Quantizer

SHAPE = (48, 128)
#: Rows and columns of the outliers; none is the mirror of itself.
PLACES = ((5, 37), (40, 26), (17, 3))
#: An outlier this many times as large as the rest takes a scale with it, and the rest to 0 where a scale is a power of
#: two that E4M3 would not notice; half precision holds both.
SMALL, OUTLIER = 2.0**-8, 2.0**12
#: One that leaves the scales of other groups where they are, relative to a scale of the whole tensor above them.
MODERATE = 2.0**-4
#: A unit is touched where so much of it changes.
TOUCHED = 0.5
#: A part shares the outlier's scale where its values change by so much of themselves; what does not, by a third.
SHARED = 0.2


def group_of(granularity: str) -> int | None:
    """The size of the groups in `group:32`; None for `tensor` and `row`."""
    return int(granularity.partition(":")[2]) if ":" in granularity else None


def shares_as_declared(make_quantizer: Callable[[], Quantizer], granularity: str, device: str) -> bool | None:
    """Whether an outlier changes the values of its tensor, row or group throughout, and others much less.

    Asked of a large outlier, and of a moderate one, which is enough for groups below a scale of the whole tensor.

    Returns:
        None where neither changes anything, as on a fixed grid.
    """
    found = reach(make_quantizer, device)
    if found == granularity:
        return True
    group = group_of(granularity)
    x = _values(device, group=group)
    q = seeded(make_quantizer(), x.clone())
    effects = [
        [_effects(make_quantizer, x, q, place, size, granularity, group) for size in (OUTLIER, MODERATE)]
        for place in PLACES
    ]
    if all(max(each) < SHARED for pair in effects for each in pair):
        return None if found is None else False
    return all(any(_is_shared(*each) for each in pair) for pair in effects)


def _is_shared(here: float, there: float, others: float) -> bool:
    return min(here, there) >= SHARED and min(here, there) >= 3 * others


def _effects(
    make_quantizer: Callable[[], Quantizer],
    x: Tensor,
    q: Tensor,
    place: tuple[int, int],
    size: float,
    granularity: str,
    group: int | None,
) -> tuple[float, float, float]:
    """Changes over values in the half of the unit with the outlier, in its other half, and at most in other places."""
    row, column = place
    spiked = x.clone()
    spiked[row, column] = size
    change = (seeded(make_quantizer(), spiked) - q).abs()
    change[row, column] = 0.0

    def of(rows: slice, columns: slice) -> float:
        whole = float(q[rows, columns].abs().sum())
        return float(change[rows, columns].sum()) / whole if whole else 0.0

    everything, own = slice(None), slice(row, row + 1)
    if granularity == "tensor":
        half = len(x) // 2
        return of(slice(0, half), everything), of(slice(half, None), everything), 0.0
    width = group or x.shape[1]
    start, middle = column // width * width, column // width * width + width // 2
    here, there = of(own, slice(start, middle)), of(own, slice(middle, start + width))
    below = slice(row + 1, None)
    others = [of(below, everything), of(below, slice(column, column + 1))]
    if start + width < x.shape[1]:
        others.append(of(own, slice(start + width, start + 2 * width)))
    return here, there, max(others)


def reach(make_quantizer: Callable[[], Quantizer], device: str, shape: Shape = SHAPE) -> str | None:
    """How far an outlier reaches.

    Returns:
        `tensor`, `row`, `column`, `group:N` (of a row), `block` (of several rows and columns), or `elsewhere` (rows
        that are not beside the outlier's own); None where it changes too little, as on a fixed grid, or not always the
        same.
    """
    x = _values(device, shape)
    q = seeded(make_quantizer(), x.clone())
    found = {_unit(make_quantizer, x, q, row, column) for row, column in PLACES}
    if "elsewhere" in found:
        return "elsewhere"
    return found.pop() if len(found) == 1 else None


def _values(device: str, shape: Shape = SHAPE, group: int | None = None) -> Tensor:
    """Small values in rows of several groups."""
    generator = torch.Generator().manual_seed(SEED)
    return (torch.randn(shape[0], max(4 * (group or 0), shape[1]), generator=generator) * SMALL).to(device)


def _unit(make_quantizer: Callable[[], Quantizer], x: Tensor, q: Tensor, row: int, column: int) -> str | None:
    spiked = x.clone()
    spiked[row, column] = OUTLIER
    after = seeded(make_quantizer(), spiked)
    changed = (after - q).abs() > SAME * q.abs()
    changed[row, column] = False
    of_row, of_column = float(changed[row].float().mean()), float(changed[:, column].float().mean())
    if float(changed.float().mean()) > TOUCHED:
        return "tensor"
    rows, columns = changed.any(1).nonzero().flatten().tolist(), changed.any(0).nonzero().flatten().tolist()
    if rows == [row]:
        return "row" if of_row > TOUCHED else _group([*columns, column], x.shape[1])
    if columns == [column]:
        return "column" if of_column > TOUCHED else None
    between = [each for each in range(min(rows, default=0), max(rows, default=0)) if bool(q[each].any())]
    apart = row not in rows or not set(between) <= set(rows)
    if rows and apart and of_column < TOUCHED:
        return "elsewhere"
    return "block" if row in rows and len(rows) < len(x) else None


def _group(columns: list[int], width: int) -> str | None:
    """The smallest group of a row that holds these columns and divides it."""
    size = next(
        size
        for size in range(1, width + 1)
        if width % size == 0 and len({each // size for each in columns}) == 1
    )
    return f"group:{size}" if len(columns) > TOUCHED * size else None
