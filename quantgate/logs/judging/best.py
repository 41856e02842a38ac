"""A table of results: the best score of each cell, which tells who died and little else."""

from __future__ import annotations

import math
from collections.abc import Mapping

from quantgate.logs.aggregate import Run, Stretch
from quantgate.logs.judging.fleet import Asked, Judged
from quantgate.logs.judging.judge import FLAT_HINT, LAGS_HINT, Judgement
from quantgate.logs.judging.records import to_result, told_apart
from quantgate.logs.judging.rules import FAR_ABOVE, NEAR_CHANCE, Rules
from quantgate.logs.names import Key
from quantgate.records.verdict import CHANCE_BPB, Verdict

#: What it cannot tell.
CANNOT = (
    "a table of best scores has no curves: it cannot tell a run that never moved from one that fell and rose, or that "
    "ended early, nor whether a format is silently float32, nor which commit broke it"
)


def judge_best(best: Mapping[Key, float | None], asked: Asked, *, bits_named: bool) -> Judged:
    """Judge each cell by its best score alone, by the lines of a long run.

    Raises:
        ValueError: There is no score.
    """
    known = [score for score in best.values() if score is not None]
    if not known:
        raise ValueError("no scores: nothing was read that has a name and a score; is it the right column?")
    chance = CHANCE_BPB if asked.chance is None else asked.chance
    unit = asked.unit or ("bits" if bits_named else "nats")
    derived = asked.chance is None
    rules = Rules(chance, unit, limits=asked.limits, derived=derived, known=not derived)
    results = []
    for key, score in best.items():
        good = score if score is not None and math.isfinite(score) else None
        run = Run(key, (Stretch(0, 0, 1, 1, good, good, good),))
        found = _without(score) if good is None else _judged(good * rules.in_bits, rules)
        results.append(to_result(run, found, None, rules))
    assumed = ", assumed: --vocabulary or --chance say it" if derived else ""
    said = [f"unit {unit}", f"chance {chance:.2f} bits{assumed}", CANNOT]
    if not any(score * rules.in_bits >= NEAR_CHANCE * chance for score in known):
        said.append("no score is near chance, so that the unit could not be checked")
    return Judged(told_apart(results), (), len(results), len(results), tuple(said), rules.lines(None))


def _without(score: float | None) -> Judgement:
    """What is said of a cell that has no finite score."""
    if score is None:
        return Judgement(
            Verdict.UNJUDGED,
            "refused",
            "no score in its row: pandas writes NaN as an empty field, and what was not trained has none either.",
        )
    return Judgement(Verdict.DIVERGED, "best-of", "its best score is not finite.", cause="non-finite")


def _judged(score: float, rules: Rules) -> Judgement:
    if rules.derived and score > FAR_ABOVE * rules.chance:
        because = f"its best score, {score:.2f} bits, is far above chance ({rules.chance:.2f}, assumed). Say "
        return Judgement(
            Verdict.UNJUDGED,
            "refused",
            f"{because}--vocabulary, --chance or --unit.",
            final=score,
            best=score,
        )
    lines = rules.lines(None)
    verdict, because, hint = Verdict.LEARNS, "", ""
    if score >= lines.dead_bpb:
        verdict, because, hint = (
            Verdict.DEAD,
            f"at its best {score:.2f}, and chance is {rules.chance:.2f}.",
            FLAT_HINT,
        )
    elif score >= lines.fail_bpb:
        verdict, because, hint = (
            Verdict.PARTIAL,
            f"at its best {score:.2f} (limit {lines.fail_bpb:.2f}).",
            LAGS_HINT,
        )
    return Judgement(verdict, "best-of", because, hint=hint or None, final=score, best=score)
