"""Which elements of a dumped tensor share a scale, and what is seen once that is known: levels, peak and rounding."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from quantgate.diagnosis.evidence import DECIBELS_PER_BIT, OneWay, RelationEvidence
from quantgate.trainers.dump import Array

#: Values nearer than this share of the largest are one: x + (q(x) - x) leaves q(x) by a rounding of float32.
SAME = 1e-5
#: Bits beyond the declared ones whose signal over noise no scale of a few values makes up for.
SPARE_BITS = 1.5
#: Above, distinct values say nothing.
MOST_BITS = 8
#: Of (q - x) / step on average, by which values go one way: 0 to nearest, 0.5 floored.
ONE_WAY = 0.35
#: Rounding to nearest has no error above half a step: the share of those that are, and what is clearly above.
BEYOND_HALF, LEAST_BEYOND = 0.55, 0.1
#: Elements that share a scale wherever any do.
RUN = 8
#: Beyond, float32's rounding hides which multiple of a step a value is.
MOST_CODES = 1024
#: Steps that are no multiples of the least, by this share of it, are scales of their own.
APART = 0.1
#: Fewer elements share no step that could be known.
LEAST = 32

Codes = np.ndarray[Any, np.dtype[np.int64]]
Pairs = Mapping[str, tuple[Array, Array]]


def levels(tensors: Pairs, bits: float | None) -> RelationEvidence:
    """The distinct values of the first tensor that no scale of tensor, row, column or group explains."""
    for name, (x, q) in tensors.items():
        if (
            bits is not None
            and bits <= MOST_BITS
            and not np.array_equal(x, q)
            and _shared(x, q, bits) is None
        ):
            where = f"in {name}, and too many in its rows, columns and groups of 32 and 16 for scales of their own"
            return RelationEvidence(levels=int(distinct(q.reshape(1, -1))[0]), levels_where=where)
    return RelationEvidence()


def peak(x: Array, q: Array, bits: float | None) -> tuple[float, str]:
    """What is left of the largest elements of what shares a scale, on average, and what that is.

    Where that is not known, of the sharing that keeps most.
    """
    of = None if bits is None or bits > MOST_BITS else _shared(x, q, bits)
    found = [(_peak(lines_of(x, each), lines_of(q, each)), each) for each in ([of] if of else _sharings(x))]
    return max(found, default=(1.0, "all elements"))


def one_way(tensors: Pairs, bits: float | None) -> OneWay | None:
    """The first tensor on an even grid that is rounded down, up or towards 0."""
    if bits is None or not 2 < bits <= MOST_BITS:
        return None
    for name, (x, q) in tensors.items():
        of = _shared(x, q, bits)
        found = None if of is None else _errors(lines_of(x, of), lines_of(q, of))
        if found is None:
            continue
        errors, towards = found
        if float(np.mean(np.abs(errors) > BEYOND_HALF)) < LEAST_BEYOND:
            continue
        mean = float(errors.mean())
        if abs(mean) > ONE_WAY:
            return OneWay(name, "down" if mean < 0 else "up", mean)
        if towards.size >= LEAST and float(towards.mean()) < -ONE_WAY:
            return OneWay(name, "towards 0", float(towards.mean()))
    return None


def _sharings(x: Array) -> Iterator[str]:
    """The coarsest first."""
    yield "all elements"
    if x.ndim > 1:
        yield from ("each row", "each column")
    for size in (32, 16):
        if x.size and x.shape[-1] % size == 0:
            yield f"each {size} elements"
    if x.ndim == 2 and x.shape[0] % 16 == 0:
        yield "each 16 elements of a column"


def lines_of(x: Array, of: str) -> Array:
    if of == "all elements":
        return x.reshape(1, -1)
    if of == "each row":
        return x.reshape(len(x), -1)
    if of == "each column":
        return x.reshape(len(x), -1).T
    if of.endswith("column"):
        return np.ascontiguousarray(x.T).reshape(-1, 16)
    return x.reshape(-1, int(of.split()[1]))


def _shared(x: Array, q: Array, bits: float) -> str | None:
    """The largest part of a tensor in which no more values are seen than the bits have codes; None where none is."""
    codes = math.ceil(2**bits - 1e-6)
    for of in _sharings(x):
        lines = lines_of(q, of)
        if lines.shape[1] <= codes:  # any values would do: then it is their noise that says it
            if _too_many_codes(q, of, codes):
                continue
            if _snr(x, q) <= DECIBELS_PER_BIT * (bits + SPARE_BITS) or np.array_equal(x, q):
                return of
        elif int(distinct(lines).max(initial=0)) <= codes:
            return of
    return None


def _too_many_codes(q: Array, of: str, codes: int) -> bool:
    """Whether groups that might have a scale each lie on one even grid of more codes, so that they have none."""
    rows = q.reshape(len(q), -1) if q.ndim > 1 else q.reshape(1, -1)
    along, across = (rows.T, rows) if of.endswith("column") else (rows, rows.T)
    whole = multiples_of(along.reshape(1, -1))
    if whole is not None:
        return _mixes(whole[0].reshape(along.shape), codes)
    if (lines := multiples_of(along)) is not None:
        return _mixes(lines[0], codes)
    # Where each line across has a step of its own, no group along shares one.
    turned = multiples_of(across)
    if turned is None or len(across) == 1:
        return False
    ratios = turned[1] / turned[1].min()
    return float(np.abs(ratios - np.rint(ratios)).max()) > APART and _mixes(turned[0], codes)


def _mixes(multiples: Codes, codes: int) -> bool:
    """Whether runs of a line hold more codes than one scale each explains.

    Scales that are whole numbers or powers of 2 lay all groups on one grid too. Then the elements of a run are
    multiples of its own scale: without it, few codes are seen, or, with a zero point, codes that are near each other.
    """
    runs = multiples[:, : multiples.shape[1] // RUN * RUN].reshape(-1, RUN)
    runs = runs[runs.any(axis=1)]
    scale = np.gcd.reduce(runs, axis=1)[:, None]
    far = np.ptp(runs // scale, axis=1) >= codes
    return np.unique(runs // scale).size > codes and int(far.sum()) > 1


def multiples_of(lines: Array) -> tuple[Codes, Array] | None:
    """What each line is whole multiples of, and these; None where one is not, or of so many that it cannot be told."""
    sizes = np.sort(np.abs(np.pad(lines.astype(np.float64), ((0, 0), (1, 0)))), axis=1)
    gaps, largest = np.diff(sizes, axis=1), sizes[:, -1:]
    step = np.where(gaps > SAME * largest, gaps, np.inf).min(axis=1, keepdims=True)
    found = lines / step
    whole = np.rint(found)
    if np.abs(whole).max(initial=0) > MOST_CODES or np.abs(found - whole).max(initial=0) > 0.05:
        return None
    return whole.astype(np.int64), step[np.isfinite(step)]


def distinct(lines: Array) -> Array:
    ordered = np.sort(lines, axis=1)
    least = SAME * np.abs(lines).max(axis=1, keepdims=True, initial=0)
    found: Array = 1 + (np.diff(ordered, axis=1) > least).sum(axis=1)
    return found


def _snr(x: Array, q: Array) -> float:
    power, noise = (
        float(np.square(x, dtype=np.float64).sum()),
        float(np.square(q - x, dtype=np.float64).sum()),
    )
    return 10 * math.log10(power / noise) if power and noise else math.inf


def _peak(x: Array, q: Array) -> float:
    at = np.abs(x).argmax(axis=1)[:, None]
    largest, left = np.take_along_axis(x, at, 1), np.take_along_axis(q, at, 1)
    present = largest != 0
    return float(np.clip(left[present] / largest[present], 0, None).mean()) if present.any() else 1.0


def _errors(x: Array, q: Array) -> tuple[Array, Array] | None:
    """(q - x) / step where it is not clipped, and the same away from 0 where q is not 0; None off an even grid."""
    errors, towards = [], []
    for before, after in zip(x.astype(np.float64), q.astype(np.float64), strict=True):
        ordered = np.sort(after)
        gaps = np.diff(ordered)
        gaps = gaps[gaps > SAME * np.abs(after).max(initial=0)]
        inside = (after > ordered[0]) & (after < ordered[-1])
        if len(after) < LEAST or not gaps.size or not inside.any():
            continue
        steps = gaps / gaps.min()
        if np.abs(steps - steps.round()).max() > 0.05:
            return None
        error = (after - before)[inside] / gaps.min()
        if float(np.mean(np.abs(error) > 1.05)) > 0.01:
            return None
        errors.append(error)
        towards.append((error * np.sign(before[inside]))[after[inside] != 0])
    return (np.concatenate(errors), np.concatenate(towards)) if errors else None
