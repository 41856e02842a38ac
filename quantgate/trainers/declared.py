"""Whether the values of dumped matrices that are declared to share a scale do, and no others with them.

Lines (rows, groups) with scales of their own have few values in common. Where all of them take the values of one scale
although they differ in size, they have none of their own, unless scales are kept so coarsely that those of unlike lines
are one: of such scales, a power of 2 among them, only what no rounding explains is held against them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from quantgate.trainers.dump import Array
from quantgate.trainers.sharing import MOST_BITS, Pairs, distinct, lines_of, multiples_of

#: Of the values that lines have alone, so many are left of all of them together where they have them in common.
COMMON = 0.75
#: |x|: part, line of it, element.
Sizes = np.ndarray[Any, np.dtype[np.float64]]

#: Values nearer than this share of themselves are one: learned scales of rows are near each other for long.
EXACT = 2e-6
#: Beyond the logarithm of any float32, in such shares.
FAR = 1e9
#: By how much lines must differ in size, as a share: scales of 4 bits, beside a scale of scales, are one within 12.5%,
#: powers of 2 within a factor of 2. Means of long rows are near each other: it is enough that they differ by more than
#: the 0.8% of a scale in bfloat16 where the largest elements differ by more.
APART, OCTAVE_APART, MEANS_APART = 0.15, 1.1, 0.01
#: A line whose own scale is rounded to a power of 2 reaches half of the largest code; of those that reach less there
#: are so many.
REACHED, SHORT = 0.45, 0.1
#: Of so few lines several may be alike by chance, and a line of so few values uses few codes.
LEAST_LINES, LEAST_VALUES = 4, 32
#: Values of a line, as a multiple of its codes, that are not one scale's with a few outliers'; and the usual groups.
MANY, GROUPS = 1.5, (128, 64, 32)
#: The binary digits that a rounded scale has beyond a code's, at most.
ROUND_DIGITS = 3
#: Of more bits, tables of several scales have no more values than those of one.
TABLE_BITS = 4


def shares_as_declared(tensors: Pairs, bits: float, granularity: str) -> tuple[bool | None, str | None]:
    """Whether values of matrices that are declared to share a scale do, and those of the first matrix that does not.

    Returns:
        None where no matrix tells: more values share a scale than there are codes, or other values share one.
    """
    codes = math.ceil(2**bits - 1e-6)
    size = granularity.partition(":")[2]
    of = {"tensor": "all elements", "row": "each row"}.get(granularity, f"each {size} elements")
    asked = False
    for x, q in tensors.values():
        if q.ndim != 2 or bits > MOST_BITS or np.array_equal(x, q) or (size and q.shape[1] % int(size)):
            continue
        if (wider := _wider(x, q, of, codes)) is not None:
            return False, wider
        fits = _fits(lines_of(q, of), codes)
        if fits or _fits(lines_of(q, "all elements"), codes):
            asked = True
            continue
        # Of floats with powers of 2, those of several scales are no more than those of one; and rounded to half
        # precision, values of one scale are on no grid.
        is_round = _is_round(q, codes)
        if fits is None and is_round:
            continue
        for each in ("each row", "each column") if of == "all elements" else ("each column",):
            lines = lines_of(q, each)
            if not _fits(lines, codes):
                continue
            even = _is_even(lines, codes)
            if (even and _are_full(lines, codes)) if fits is None else (even or not is_round):
                return False, each.removeprefix("each ")
        if (narrower := _narrower(q, of, codes)) is not None:
            return False, narrower
    return (True if asked else None), None


def _fits(lines: Array, codes: int) -> bool | None:
    """Whether lines have no more values than codes, or lie on an even grid of no more; None where nobody can tell."""
    if lines.shape[1] > codes:
        return int(distinct(lines).max(initial=0)) <= codes
    found = multiples_of(lines)
    # Floats lie on even grids of more values than they have codes.
    return True if found is not None and int(np.ptp(found[0], axis=1).max(initial=0)) < codes else None


def _is_even(lines: Array, codes: int) -> bool:
    """Whether lines lie on an even grid of no more values than codes, wherever its 0 is."""
    for found in (multiples_of(lines), multiples_of(lines - lines.min(axis=1, keepdims=True))):
        if found is not None and int(np.ptp(found[0], axis=1).max(initial=0)) < codes:
            return True
    return False


def _are_full(lines: Array, codes: int) -> bool:
    """Whether lines have half of the values that they may have: few are on an even grid by chance."""
    return bool(2 * np.median(distinct(lines)) >= min(codes, lines.shape[1]))


def _wider(x: Array, q: Array, of: str, codes: int) -> str | None:
    """The larger part of a matrix whose values have one scale though its lines differ in size; None where none has."""
    line = lines_of(q, of).shape[1]
    if not q.size or q.size < LEAST_LINES * line:
        return None
    for larger, name in _larger(q, of):
        wide = lines_of(q, larger)
        if not _fits(wide, codes) or not _has_values_in_common(wide, line):
            continue
        sizes = np.abs(lines_of(x, of).astype(np.float64)).reshape(len(wide), -1, line)
        if _is_round(q, codes):
            one = _is_even(wide, codes) and _leaves_codes_unused(wide, sizes, codes)
        elif _is_even(wide, codes) or _mantissas(q) <= math.sqrt(codes) / 2:
            of_rows = of == "each row" and _differ(sizes.max(axis=2, keepdims=True)) > APART
            one = _differ(sizes) > (MEANS_APART if of_rows else APART)
        else:  # a table, of which nobody can say whether its scale is rounded
            one = codes <= 2**TABLE_BITS and _differ(sizes) > APART and _are_short(wide, line)
        if one:
            return name
    return None


def _narrower(q: Array, of: str, codes: int) -> str | None:
    """The groups of a row, longer than there are codes, that have one scale each where lines have far more values."""
    lines = lines_of(q, of)
    if float(np.median(distinct(lines))) < MANY * codes:
        return None
    for size in GROUPS:
        fewer = codes < size < min(lines.shape[1], q.shape[1]) and q.shape[1] % size == 0
        if fewer and _fits(lines_of(q, f"each {size} elements"), codes):
            return f"group:{size}"
    return None


def _larger(q: Array, of: str) -> Iterator[tuple[str, str]]:
    """The parts that hold several lines each, the largest first, and their names in a finding."""
    if of == "all elements":
        return
    yield "all elements", "tensor"
    if of == "each row":
        return
    size = int(of.split()[1])
    if q.shape[1] > size:
        yield "each row", "row"
    for more in (8, 4, 2):
        if q.shape[1] % (more * size) == 0 and more * size < q.shape[1]:
            yield f"each {more * size} elements", f"group:{more * size}"


def _has_values_in_common(wide: Array, line: int) -> bool:
    """Whether the lines of a part take the same values, and not each its own; 0 is everybody's."""

    def values(lines: Array) -> int:
        sizes = np.rint(np.log(np.abs(np.where(lines == 0, 1.0, lines), dtype=np.float64)) / EXACT)
        # The signs apart, and 0 beyond all others.
        ordered = np.sort(np.where(lines == 0, math.inf, np.where(lines < 0, sizes - FAR, sizes)), axis=1)
        present = np.isfinite(ordered)
        return int(present[:, 0].sum()) + int((present[:, 1:] & (ordered[:, 1:] != ordered[:, :-1])).sum())

    return values(wide) <= COMMON * values(wide.reshape(-1, line))


def _differ(sizes: Sizes) -> float:
    """By how much the lines of a part differ, as a share, in what they differ least in: largest, mean or square."""
    found = []
    for size in (sizes.max(axis=2), sizes.mean(axis=2), np.sqrt(np.square(sizes).mean(axis=2))):
        largest, least = size.max(axis=1), size.min(axis=1, where=size > 0, initial=math.inf)
        known = largest > 0
        found.append(float(np.median(largest[known] / least[known])) - 1 if known.any() else 0.0)
    return min(found)


def _is_round(q: Array, codes: int) -> bool:
    """Whether values have few binary digits beyond a code's: their scale is a power of 2, or was kept in few bits."""
    digits = math.ceil(math.log2(codes)) + ROUND_DIGITS
    scaled = np.frexp(np.abs(q[q != 0]).astype(np.float64))[0] * 2.0**digits
    rounded = np.abs(scaled - np.rint(scaled)) < 2.0 ** (digits - 22)
    return bool(rounded.sum() > 0.9 * rounded.size)


def _mantissas(q: Array) -> int:
    """How many values there are but for powers of 2: 8 of E4M3, whatever its scale."""
    found = np.sort(np.frexp(np.abs(q[q != 0]).astype(np.float64))[0])
    return 1 + int((np.diff(found) > 1e-5).sum())


def _leaves_codes_unused(wide: Array, sizes: Sizes, codes: int) -> bool:
    """Whether lines of one scale, on an even grid, differ in size and reach less than half of its codes."""
    found = multiples_of(wide)
    if found is None or sizes.shape[2] < LEAST_VALUES:
        return False
    used = np.abs(found[0].reshape(sizes.shape))
    # Those of twice the scale have even codes alone.
    own = (np.gcd.reduce(used, axis=2) == 1) & (used.max(axis=(1, 2)) >= REACHED * codes / 2)[:, None]
    lines = used[own]
    if len(lines) < max(LEAST_LINES, used.any(axis=2).sum() / 2):
        return False
    short = float(np.mean(lines.max(axis=1) < REACHED * codes / 2))
    return short > SHORT and _differ(np.where(own[..., None], sizes, 0.0)) > OCTAVE_APART


def _are_short(wide: Array, line: int) -> bool:
    """Whether lines reach less than half of what the part that they are of does."""
    sizes = np.abs(wide.astype(np.float64)).reshape(len(wide), -1, line).max(axis=2)
    short = (sizes < REACHED * sizes.max(axis=1, keepdims=True))[sizes > 0]
    return short.size >= LEAST_LINES and float(short.mean()) > SHORT
