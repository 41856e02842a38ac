"""`quantgate.judge`: one curve that somebody holds in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from quantgate.logs.aggregate import Run, Stretch
from quantgate.logs.judging.judge import CurveError, judge_run
from quantgate.logs.judging.rules import Rules, Unit
from quantgate.logs.names import Key
from quantgate.records.verdict import CHANCE_BPB, Curve, Limits, Verdict


def judge(
    curve: Curve,
    control: Curve | None = None,
    *,
    chance: float = CHANCE_BPB,
    unit: Unit = "bits",
    horizon: int | None = None,
    tolerance: float | None = None,
    lossless: bool = False,
    limits: Limits | None = None,
) -> Verdict:
    """The verdict on a curve alone, without probes; what cannot be judged is refused with the reason.

    Args:
        curve: (step, score) pairs, the first of a model that has learned nothing yet.
        control: The float32 curve of the same trainer, optimizer, seed and width; without one only the absolute
            lines are applied.
        chance: What a model that knows nothing scores, in bits: log2 of the vocabulary.
        unit: What the scores are, `bits` or `nats`, for a symbol each.
        horizon: The last step of a whole run; None takes the control's.
        tolerance: How far behind its control a run may end, in bits; None takes the widest of healthy 4-bit formats.
        lossless: Whether a curve that equals the control's is what was promised.
        limits: The absolute lines in bits; None takes those of 100 steps in proportion to chance, and for 2,000 steps
            and more a line at what the frequency of symbols alone gives (4.78 of 7).

    Raises:
        CurveError: It is empty or too short, its steps do not rise, its first score is not near chance, its unit
            cannot be right, or it ended early.
    """
    if unit not in ("bits", "nats") or not 0 < chance < math.inf:
        raise ValueError(
            f"unit is {unit!r} and chance {chance!r}; a unit is 'bits' or 'nats', and chance is above 0"
        )
    run, beside = run_of(curve), None if control is None else run_of(control)
    if beside is not None and horizon is None:
        horizon = beside.last_step
    rules = Rules(chance, unit, horizon, limits, tolerance)
    found = judge_run(run, rules, beside, lossless=lossless)
    if found.verdict is Verdict.UNJUDGED:
        raise CurveError(found.because)
    return found.verdict


def run_of(curve: Sequence[tuple[int, float]]) -> Run:
    """The run of a curve, each sample a stretch of its own.

    Raises:
        CurveError: It is empty, or its steps do not rise.
    """
    if not curve:
        raise CurveError("an empty curve: at least a first and a last score are needed; was it trained?")
    for (before, _), (after, _) in pairwise(curve):
        if after <= before:
            raise CurveError(
                f"steps do not rise: step {after:,} comes after step {before:,}. Two runs in one log, or a restart? "
                "Tell them apart by a column (run=...), or cut the log."
            )
    return Run(Key(), tuple(_stretch(place, step, score) for place, (step, score) in enumerate(curve)))


def _stretch(place: int, step: int, score: float) -> Stretch:
    good = score if math.isfinite(score) else None
    return Stretch(
        step, step, 1, 1, good, good, good, int(good is None), step if good is None else None, place, place
    )
