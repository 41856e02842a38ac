"""Verdicts on a training curve, and the lines that they are held against.

All scores are bits per byte (BPB) on a fixed held-out slice; chance on 128 symbols is log2(128) = 7.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

CHANCE_BPB = 7.0

#: A final score that exceeds the first by more than this (BPB) has diverged.
DIVERGED_RISE = 0.5

#: A score that lies further below its control's (BPB) was had by other means than its numbers: the cells of the `pr`
#: matrix end at most 0.001 below.
IMPLAUSIBLE_LEAD = 1.0

#: Within this of the pass limit (BPB), or this share of the tolerance, one seed does not decide.
ESCALATION_BPB = 0.1
ESCALATION_SHARE = 0.2

#: The lanes beside that of 100 steps, each with rates and tolerances of its own.
Lane = Literal["long"]

#: From here on (BPB) digits before the point say nothing, and fill lines: a curve that diverges has hundreds of them.
_ENDLESS = 1e9

#: Steps and scores: ((0, 7.1), (20, 6.8), ..., (100, 5.2)).
Curve = Sequence[tuple[int, float]]


def in_bits(score: float) -> str:
    """A score as it is shown: `5.22`, and `1.0e+30` where that would be long."""
    return f"{score:.2f}" if abs(score) < _ENDLESS else f"{score:.1e}"


class Verdict(StrEnum):
    """What a cell is found to be. `LEARNS` passes, and `HEALTHY` where only the probes were asked."""

    LEARNS = "learns"
    #: No probe found a fault in the few steps that they take; its curve was not trained.
    HEALTHY = "healthy"
    #: A probe found a fault that the curve hides, or that was found without one.
    FAULTY = "faulty"
    LAGS = "lags"
    PARTIAL = "partial"
    DEAD = "dead"
    DIVERGED = "diverged"
    NO_OP = "no-op"
    REJECTED = "rejected"
    CRASHED = "crashed"
    TIMEOUT = "timeout"
    UNJUDGED = "unjudged"

    @property
    def passes(self) -> bool:
        return self in {Verdict.LEARNS, Verdict.HEALTHY}

    @property
    def judged(self) -> bool:
        """Whether it says anything of the subject's learning: a cell that was lost has proved nothing."""
        return self not in {Verdict.CRASHED, Verdict.TIMEOUT, Verdict.UNJUDGED}


@dataclass(frozen=True)
class Limits:
    """The absolute lines."""

    #: At or above it a cell fails.
    fail_bpb: float = 6.5
    #: At or above it a failing cell is dead.
    dead_bpb: float = 6.9


DEFAULT_LIMITS = Limits()


def judge(
    curve: Curve,
    control: Curve | None = None,
    *,
    tolerance: float | None = None,
    lossless: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> Verdict:
    """The verdict on a curve that the gate trained, without probes; `quantgate.judge` is for curves from elsewhere.

    Args:
        curve: (step, BPB) pairs, the first at step 0.
        control: The float32 curve of the same optimizer, seed and width; without one only the absolute
            lines are applied.
        tolerance: How far behind its control a cell may end, in BPB; None takes the widest of
            `gap_tolerance`.
        lossless: Whether a curve that equals the control's is what was promised.
        limits: The absolute lines.

    Raises:
        ValueError: The curve is empty.
    """
    if not curve:
        raise ValueError("an empty curve: at least the score at step 0 is needed; was the cell trained?")
    first, last = curve[0][1], curve[-1][1]
    if not all(math.isfinite(score) for _, score in curve) or last > first + DIVERGED_RISE:
        return Verdict.DIVERGED
    if last >= limits.dead_bpb:
        return Verdict.DEAD
    if last >= limits.fail_bpb:
        return Verdict.PARTIAL
    if control is None:
        return Verdict.LEARNS
    if not lossless and list(curve) == list(control):
        return Verdict.NO_OP
    if control[-1][1] - last > IMPLAUSIBLE_LEAD:
        return Verdict.FAULTY
    allowed = gap_tolerance(None, "") if tolerance is None else tolerance
    return Verdict.LAGS if last - control[-1][1] > allowed else Verdict.LEARNS


#: Tolerances (BPB) by the most bits they hold for, and by optimizer. Each is 1.5 times the largest gap that
#: `tests/benchmarks/sweep.py` saw in healthy cells (34 formats and 16 unusual quantizers, widths 32, 64 and 128,
#: both corpora, seed 47; `tests/benchmarks/gaps.py` prints them), at least 0.08, and no
#: narrower than with more bits.
_TOLERANCES: tuple[tuple[float, dict[str, float]], ...] = (
    (2, {"adamw": 0.75, "muon": 2.2, "sgd": 1.2, "lion": 0.8, "rmsprop": 0.8, "adafactor": 1.05}),
    (3, {"adamw": 0.2, "muon": 0.5, "sgd": 0.2, "lion": 0.15, "rmsprop": 0.25, "adafactor": 0.3}),
    (4, {"adamw": 0.2, "muon": 0.5, "sgd": 0.2, "lion": 0.15, "rmsprop": 0.25, "adafactor": 0.3}),
    (6, {"muon": 0.2, "": 0.1}),
    (math.inf, {"": 0.08}),
)


#: The same for the long lane: 1.5 times the largest gap that its healthy cells left in their records (40 of seed 47,
#: gf4's 0.254 with AdamW and 0.344 with Muon, where seed 89 has 0.416; SGD's 0.317; from 6 bits on at most 0.026),
#: rounded up to 0.05, at least 0.08.
_LONG_TOLERANCES: tuple[tuple[float, dict[str, float]], ...] = (
    (4, {"adamw": 0.4, "muon": 0.65, "sgd": 0.5}),
    (math.inf, {"": 0.08}),
)


def gap_tolerance(bits: float | None, optimizer: str, lane: Lane | None = None) -> float:
    """The largest healthy gap to the float32 control, in BPB, for a format of so many bits under an optimizer.

    Args:
        bits: Bits of one element; None takes the widest tolerance.
        optimizer: The optimizer's name, in whatever case; one that is not listed takes the row's default, or its
            widest.
        lane: The lane that it trains in; None for that of 100 steps.
    """
    rows = _TOLERANCES if lane is None else _LONG_TOLERANCES
    row = rows[0][1] if bits is None else next(row for most, row in rows if bits <= most)
    return row.get(optimizer.lower(), row.get("", max(row.values())))


def is_close_call(bpb: float, gap: float | None, tolerance: float, limits: Limits) -> bool:
    """Whether more seeds must be asked: near the line, or near the edge of the tolerance."""
    near_line = abs(bpb - limits.fail_bpb) <= ESCALATION_BPB
    near_tolerance = gap is not None and abs(gap - tolerance) <= ESCALATION_SHARE * tolerance
    return near_line or near_tolerance


def median_index(scores: Sequence[float]) -> int:
    """The place of the median among an odd number of scores: the run that judges."""
    return list(scores).index(sorted(scores)[len(scores) // 2])
