"""Hold cells against a baseline: what regressed, improved, is new or gone, and what cannot be compared."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

from quantgate.baselines.document import Baseline, is_kept
from quantgate.baselines.lanes import Lane, lane_of, tolerance
from quantgate.records.cell import CONTROL_KINDS, Cell
from quantgate.records.result import CellResult
from quantgate.records.verdict import Verdict

#: How bad a verdict is; one that is not here is worse than all.
_GRAVITY = {
    Verdict.LEARNS: 0,
    Verdict.HEALTHY: 0,
    Verdict.FAULTY: 1,
    Verdict.LAGS: 1,
    Verdict.NO_OP: 1,
    Verdict.PARTIAL: 2,
    Verdict.DEAD: 3,
    Verdict.DIVERGED: 4,
}
_GRAVEST = 5


@dataclass(frozen=True)
class Comparison:
    """A run beside its baseline."""

    #: The cells of the run, each with its `baseline` where it was compared.
    results: tuple[CellResult, ...]
    #: Ids of cells that only the baseline has; those that stood in for another seed are left out.
    gone: tuple[str, ...]
    #: Why a cell was not compared with what the baseline says of it, by id.
    not_comparable: dict[str, str]

    def changed(self, change: str) -> list[CellResult]:
        """The results that are `same`, `regressed`, `improved` or `new`."""
        return [each for each in self.results if each.baseline and each.baseline["change"] == change]

    @property
    def nothing_compared(self) -> str | None:
        """Why a baseline that has cells of the run says nothing of any of them; None where it does, or has none."""
        new = self.changed("new")
        if not self.not_comparable or any(each.baseline and each not in new for each in self.results):
            return None
        reasons = "; ".join(dict.fromkeys(self.not_comparable.values()))
        return f"the baseline can be compared with no cell: {reasons}; give both the same options, or make it anew"


def compare(baseline: Baseline, results: Iterable[CellResult], planned: Collection[str] = ()) -> Comparison:
    """Hold every cell against the baseline.

    Args:
        baseline: What was.
        results: The run's; controls are left out.
        planned: Ids of cells of the run's matrix that were not selected: they are not gone.
    """
    held = tuple(hold(baseline, each) for each in results if each.kind not in CONTROL_KINDS)
    ids = {each.cell.id for each in held} | set(planned)
    new_seeds = {replace(each.cell, seed=0) for each in held if each.cell.id not in baseline.entries}
    stood_in = {
        name for name, entry in baseline.entries.items() if replace(entry.result.cell, seed=0) in new_seeds
    }
    reasons = {}
    for each in held:
        entry = baseline.entries.get(each.cell.id)
        if entry is not None and (reason := why_not_comparable(entry.result, each)):
            reasons[each.cell.id] = reason
    return Comparison(held, tuple(sorted(baseline.entries.keys() - ids - stood_in)), reasons)


def hold(baseline: Baseline, result: CellResult) -> CellResult:
    """The result with its `baseline`; without one where it says nothing, or what it says cannot be compared."""
    if result.verdict is Verdict.UNJUDGED:
        return result
    before = _before(baseline, result.cell)
    if before is None:
        return replace(result, baseline=_record(None, "new", None, None, "not in the baseline"))
    if why_not_comparable(before, result):
        return result
    lane, differs = lane_of(before, result)
    by_gap = lane is Lane.STATISTICAL and before.gap is not None and result.gap is not None
    allowed = tolerance(lane, result, by_gap=by_gap)
    scores = _scores(before, result, allowed, lane, differs, by_gap=by_gap)
    change, because = _verdicts(before, result) or scores or ("same", differs)
    return replace(result, baseline=_record(before, change, allowed, lane, because))


def why_not_comparable(before: CellResult, now: CellResult) -> str | None:
    """Why two trainings of a cell are not one question; None where they are."""
    if before.steps != now.steps:
        return f"{before.steps} steps there, {now.steps} here"
    if None not in {before.lr, now.lr} and before.lr != now.lr:
        return f"a rate of {before.lr:g} there, {now.lr:g} here"
    texts = [each.corpus.get("sha256") for each in (before, now)]
    if None not in texts and texts[0] != texts[1]:
        return f"another corpus: {before.corpus.get('name')} there, {now.corpus.get('name')} here"
    return None


def _before(baseline: Baseline, cell: Cell) -> CellResult | None:
    """What the baseline says of a cell, or of the middle one of its other seeds."""
    if (entry := baseline.entries.get(cell.id)) is not None:
        return entry.result
    found = [each.result for each in baseline.entries.values()]
    others = [each for each in found if is_kept(each) and replace(each.cell, seed=cell.seed) == cell]
    scored = sorted(
        ((score, each) for each in others if (score := _score(each)) is not None), key=itemgetter(0)
    )
    return scored[len(scored) // 2][1] if scored else None


def _verdicts(before: CellResult, now: CellResult) -> tuple[str, str] | None:
    """(how a cell changed, what says so) by its verdict and cause; None where they are what they were."""
    graver = _gravity(now) - _gravity(before)
    if not graver and (now.verdict.passes or before.cause == now.cause):
        return None
    return "improved" if graver < 0 else "regressed", f"its verdict was {_said(before)}, and is {_said(now)}"


def _scores(
    before: CellResult, now: CellResult, allowed: float, lane: Lane, differs: str, *, by_gap: bool
) -> tuple[str, str] | None:
    """The same by its score, or its gap to the control; None where that is within the tolerance, or no number."""
    was, found = (each.gap if by_gap else each.bpb for each in (before, now))
    if was is None or found is None or not (math.isfinite(was) and math.isfinite(found)):
        return None
    worse = found - was
    change, word = ("regressed", "worse") if worse > 0 else ("improved", "better")
    if abs(worse) <= allowed:
        moved = worse != 0 and lane is Lane.EXACT
        return ("same", f"other bits, {abs(worse):.2g} {word}") if moved else None
    what = f"{found:.4f} BPB behind its control" if by_gap else f"{found:.4f} BPB"
    limit = f"{allowed:g} is within the tolerance ({differs or 'what rounding alone moves it by'})"
    return change, f"{what}, {abs(worse):.2g} {word} than {was:.4f}, where {limit}"


def _gravity(result: CellResult) -> int:
    return _GRAVITY.get(result.verdict, _GRAVEST)


def _said(result: CellResult) -> str:
    return f"{result.verdict} by {result.cause}" if result.cause else str(result.verdict)


def _score(result: CellResult) -> float | None:
    """What the seeds of a cell are ordered by."""
    score = result.bpb if result.gap is None else result.gap
    return score if score is not None and math.isfinite(score) else None


def _record(
    before: CellResult | None, change: str, allowed: float | None, lane: Lane | None, because: str
) -> dict[str, Any]:
    return {
        "bpb": before and before.bpb,
        "verdict": before and str(before.verdict),
        "cause": before and before.cause,
        "curve": [] if before is None else [list(point) for point in before.curve],
        "change": change,
        "tolerance": allowed,
        "lane": lane and str(lane),
        "because": because,
    }
