"""The verdict on a curve from elsewhere, and what can be told of its shape. Pure: stretches in, a judgement out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from quantgate.logs.aggregate import Run, Stretch
from quantgate.logs.judging import silence
from quantgate.logs.judging.rules import EARLY_SHARE, FAR_ABOVE, LEAST_STEPS, NEAR_CHANCE, UNIT_SLACK, Rules
from quantgate.records.verdict import DIVERGED_RISE, Verdict, gap_tolerance

#: The causes that a curve at chance cannot tell apart.
FLAT_HINT = (
    "a curve cannot tell gradient-blocked, update-swallowed and range-collapsed apart: `quantgate doctor` its "
    "quantizer, or compare its stored weights before and after a step."
)
FELL_HINT = (
    "is chance right? --vocabulary says it. If it is, the first weights were large, and no more was learned."
)
ROSE_HINT = (
    "look at what changed at that step: a scale that no longer follows (scale-stale), a gradient or a moment that "
    "overflowed; lower the rate."
)
LAGS_HINT = "compare it with its control step by step; `quantgate doctor` its quantizer."
NO_OP_HINT = (
    "check the toggle, the name and the compiled graph; an unknown name that falls back to float32 looks so."
)

#: A run that came down by more, at a chance of 7, was not flat, whatever it ended at.
FELL = 0.15


class CurveError(ValueError):
    """A curve that cannot be judged."""


@dataclass(frozen=True)
class Judgement:
    """What a curve is found to be. Scores are bits a symbol."""

    verdict: Verdict
    #: `learns`, `flat`, `fell-to-chance`, `fell-then-rose`, `diverged`, `identical`, `plateau`, `ended-early`,
    #: `scores-stop`, `best-of` or `refused`.
    shape: str
    because: str
    cause: str | None = None
    hint: str | None = None
    initial: float | None = None
    final: float | None = None
    best: float | None = None
    gap: float | None = None
    curve: tuple[tuple[int, float | None], ...] = ()
    #: What is said and does not fail it, by cause.
    warnings: Mapping[str, str] = field(default_factory=dict)


def judge_run(
    run: Run,
    rules: Rules,
    control: Run | None = None,
    *,
    bits: float | None = None,
    lossless: bool = False,
    same_seed: bool = True,
) -> Judgement:
    """The judgement of one run.

    Args:
        run: The run.
        rules: What it is held against.
        control: A float32 run of the same trainer; without one only the absolute lines are applied.
        bits: Bits of the format, where they are known.
        lossless: Whether a curve that equals the control's is what was promised.
        same_seed: Whether the control had the same seed, so that equal curves mean equal numbers.

    Raises:
        CurveError: It cannot be judged; the message says why.
    """
    _check_order(run)
    factor = rules.in_bits
    curve = tuple(
        (stretch.last, None if stretch.mean is None or stretch.bad else stretch.mean * factor)
        for stretch in run.stretches
    )
    finite = [(step, score) for step, score in curve if score is not None]
    if (bad := sum(stretch.bad for stretch in run.stretches)) > 0:
        step = min(stretch.first_bad for stretch in run.stretches if stretch.first_bad is not None)
        seen = [score for at, score in finite if at < step]
        before = f"; it was {seen[-1]:.2f} before" if seen else ", the first that was logged"
        because = f"not finite from step {step:,} on ({bad:,} of {run.samples:,} scores){before}."
        return Judgement(
            Verdict.DIVERGED,
            "diverged",
            because,
            cause="non-finite",
            initial=seen[0] if seen else None,
            best=min(seen, default=None),
            curve=curve,
        )
    if run.samples < 2:
        raise CurveError(silence.too_little(run))
    initial, final = finite[0][1], finite[-1][1]
    _check_first(run, initial, rules)
    best = min(score for _, score in finite)
    found = _shape(run, rules, control, finite, bits)
    overdue = silence.stopped(run, final)
    if overdue is not None and (found.verdict.passes or not found.verdict.judged):
        found = Judgement(Verdict.UNJUDGED, "scores-stop", overdue, None, silence.HINT)
    gap = None if control is None else _gap(final, control, factor)
    same = None if control is None or lossless or not same_seed else compared(run, control, factor)
    warnings: dict[str, str] = {}
    if same is not None and same.equal and found.verdict not in {Verdict.DIVERGED, Verdict.UNJUDGED}:
        because = f"equal to its float32 control in all {same.decimals} decimals of the log, at {same.steps:,} steps."
        found = Judgement(Verdict.NO_OP, "identical", because, "no-op", NO_OP_HINT)
    elif same is not None and same.near and bits is not None and bits <= 8:
        warnings["no-op"] = (
            f"within {same.most:.1g} of its float32 control at each of {same.steps:,} steps, which {bits:g} bits are "
            "rarely; is it quantized?"
        )
    return replace(found, initial=initial, final=final, best=best, gap=gap, curve=curve, warnings=warnings)


@dataclass(frozen=True)
class Comparison:
    """How two curves agree, over the steps that both have."""

    steps: int
    #: The largest difference in bits.
    most: float
    #: Decimals of the scores, as logged.
    decimals: int

    @property
    def equal(self) -> bool:
        """Whether no digit differs."""
        return self.steps >= 3 and self.most == 0

    @property
    def near(self) -> bool:
        """Nearer than formats of few bits come: int8 differs from float32 by 1e-3 and more on the way."""
        return self.steps >= 8 and self.most < 1e-4


def compared(run: Run, control: Run, factor: float = 1.0) -> Comparison:
    """The comparison of two runs, by the least and the largest score of each stretch that both have whole."""
    theirs = {(s.first, s.last, s.count): s for s in control.stretches}
    pairs = [
        (s, theirs[s.first, s.last, s.count]) for s in run.stretches if (s.first, s.last, s.count) in theirs
    ]
    most = max((_differ(a, b) * factor for a, b in pairs), default=math.inf)
    if len({s.low for s, _ in pairs}) < 2:  # two dead runs are equal without being one
        most = math.inf
    decimals = max((_decimals(s.low) for s, _ in pairs if s.low is not None), default=0)
    return Comparison(sum(s.steps for s, _ in pairs), most, decimals)


def _decimals(score: float) -> int:
    return len(repr(score).partition("e")[0].partition(".")[2])


def _differ(a: Stretch, b: Stretch) -> float:
    if a.low is None or b.low is None or a.high is None or b.high is None:
        return math.inf
    return max(abs(a.low - b.low), abs(a.high - b.high))


def _check_order(run: Run) -> None:
    if not run.stretches:
        raise CurveError("an empty curve: at least a first and a last score are needed; was it trained?")
    twice = [stretch for stretch in run.stretches if stretch.steps < stretch.count]
    # Where the score of a step that is logged twice is the same, the log was merely delivered twice.
    alone = [stretch for stretch in twice if stretch.steps == 1]
    if twice and (not alone or any(stretch.low != stretch.high for stretch in alone)):
        stretch = next((stretch for stretch in alone if stretch.low != stretch.high), twice[0])
        raise CurveError(
            f"steps do not rise: {stretch.count:,} scores for {stretch.steps:,} steps from {stretch.first:,} to "
            f"{stretch.last:,}. Two runs under one name, or a restart? Tell them apart by a column (run=...), or "
            "judge each file alone."
        )
    if not run.one_file:
        return
    for before, after in zip(run.stretches, run.stretches[1:], strict=False):
        if before.ends is not None and after.begins is not None and after.begins < before.ends:
            raise CurveError(
                f"steps do not rise: step {after.first:,} is logged before step {before.last:,}. Two runs in one log, "
                "or a restart? Tell them apart by a column (run=...), or cut the log."
            )


def _check_first(run: Run, initial: float, rules: Rules) -> None:
    chance = rules.chance
    if (
        rules.unit == "nats"
        and rules.known
        and abs(initial * math.log(2) / chance - 1) <= UNIT_SLACK
        and initial > 1.2 * chance
    ):
        raise CurveError(
            f"the unit cannot be right: the first score is {initial * math.log(2):.2f} as it is logged, which is "
            f"chance ({chance:.2f}) in bits, and not in nats. Say --unit bits."
        )
    above = rules.derived and initial > FAR_ABOVE * chance
    if not above and (initial >= NEAR_CHANCE * chance or rules.late_start):
        return
    first = run.stretches[0].first
    if rules.unit == "bits" and abs(initial / math.log(2) / chance - 1) <= UNIT_SLACK:
        raise CurveError(
            f"the unit cannot be right: the first score is {initial:.2f}, which is chance ({chance:.2f} bits) in nats. "
            "Say --unit nats."
        )
    late = (
        f" It is of step {first:,}: was the start logged elsewhere, or the run resumed?"
        if first > 0 and not above
        else ""
    )
    assumed = "" if rules.known else ", assumed"
    raise CurveError(
        f"the first score, {initial:.2f} bits, is not near chance ({chance:.2f}{assumed}).{late} Say --vocabulary "
        f"({2 ** min(initial, 60):.0f} symbols would fit), --chance or --unit."
    )


def _gap(final: float, control: Run, factor: float) -> float | None:
    last = control.stretches[-1].mean
    return None if last is None else final - last * factor


def _shape(
    run: Run, rules: Rules, control: Run | None, finite: list[tuple[int, float]], bits: float | None
) -> Judgement:
    initial, (last, final) = finite[0][1], finite[-1]
    best_step, best = min(finite, key=lambda point: point[1])
    lines, rise = rules.lines(last), DIVERGED_RISE * rules.scale
    horizon = rules.horizon or 0
    at_control = None if control is None else _score_at(control, last, rules.in_bits)
    if final > initial + rise:
        return Judgement(
            Verdict.DIVERGED, "diverged", f"rose from {initial:.2f} to {final:.2f} at step {last:,}.", None, ROSE_HINT
        )  # fmt: skip
    if final > best + rise and best < lines.dead_bpb:
        return Judgement(
            Verdict.DEAD if final >= lines.dead_bpb else Verdict.DIVERGED, "fell-then-rose",
            f"fell to {best:.2f} at step {best_step:,}, then rose to {final:.2f} at step {last:,}.", None, ROSE_HINT,
        )  # fmt: skip
    beside = "" if at_control is None else f"; its control was at {at_control:.2f} by then"
    if last < EARLY_SHARE * horizon and not (
        final >= lines.dead_bpb and at_control is not None and at_control < lines.fail_bpb
    ):
        return Judgement(
            Verdict.UNJUDGED, "ended-early",
            f"ended early: at step {last:,} of {horizon:,}, at {final:.2f}{beside}.", None,
            "look for why it stopped; judge what there is with --horizon.",
        )  # fmt: skip
    if final >= lines.fail_bpb:
        if last - finite[0][0] < LEAST_STEPS:
            raise CurveError(
                f"too little to judge: {last - finite[0][0]} steps, and float32 would hardly have moved by then."
            )
        if final >= lines.dead_bpb and initial - final > FELL * rules.scale:
            because = f"fell from {initial:.2f} to {final:.2f} in {last:,} steps; chance is {rules.chance:.2f}{beside}."
            return Judgement(Verdict.DEAD, "fell-to-chance", because, None, FELL_HINT)
        if final >= lines.dead_bpb:
            exactly = " exactly" if max(score for _, score in finite) - best < 5e-5 else ""
            because = f"flat from the start:{exactly} {final:.2f} after {last:,} steps, {initial:.2f} at first{beside}."
            return Judgement(Verdict.DEAD, "flat", because, None, FLAT_HINT)
        because = f"{_plateau(finite)} {final:.2f} after {last:,} steps (limit {lines.fail_bpb:.2f}{beside})."
        return Judgement(Verdict.PARTIAL, "plateau", because, None, LAGS_HINT)
    if at_control is not None:
        allowed = rules.tolerance
        allowed = _tolerance(run, bits) * rules.scale if allowed is None else allowed
        if final - at_control > allowed:
            return Judgement(
                Verdict.LAGS, "plateau",
                f"{_plateau(finite)} {final:.2f} after {last:,} steps, {final - at_control:.2f} above its control "
                f"({at_control:.2f}; tolerance {allowed:.2f}).", None, LAGS_HINT,
            )  # fmt: skip
    return Judgement(Verdict.LEARNS, "learns", "")


def _tolerance(run: Run, bits: float | None) -> float:
    """The measured one for these bits; where they are not known, 4 bits': the widest would let 2 bits pass."""
    return gap_tolerance(4 if bits is None else bits, run.key.optimizer)


def _plateau(finite: list[tuple[int, float]]) -> str:
    """Since when it has not moved."""
    final = finite[-1][1]
    reach = 0.03 * max(finite[0][1] - final, 0.0)
    step = next(step for step, score in finite if score <= final + reach)
    return f"a plateau since step {step:,}:" if step <= 0.7 * finite[-1][0] else "still falling:"


def _score_at(control: Run, step: int, factor: float) -> float | None:
    """The control's score at a step: of the last stretch that ends there or before, or of its end."""
    means = [s.mean * factor for s in control.stretches if s.last <= step and s.mean is not None]
    return means[-1] if means else None
