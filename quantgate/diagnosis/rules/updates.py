"""Rules about what became of weights, updates and learned scales while it trained."""

from __future__ import annotations

from collections.abc import Callable

from quantgate.diagnosis.evidence import LearnedScale, Severity
from quantgate.diagnosis.numbers import plain
from quantgate.diagnosis.rule import Ask, Case, Limit, Rule, Seen, quantity

SURVIVAL = Limit(
    0.89,
    "fp16, gf16, posit16 and stochastic rounding keep 91% to 103%; bf16 that lags by 0.17 keeps 86%, int8 at most 59%",
    "{:.0%}",
)
STILL = Limit(0.2, "0.01% of float32 masters under SGD; 85% where int8 weights are written back", "{:.0%}")
STATE_COSINE = Limit(
    0.35, "torchao's fp8 state keeps 0.43, 8-bit state in blocks 0.75 to 0.97; a linear map 0.00 to 0.27"
)
REGIONS = Limit(
    0.35,
    "0.9 for state in blocks, 0.36 for a second moment of each row; 0.1 where scales of blocks are misplaced",
)
HARM = Limit(
    3.0,
    "learned scales stay positive, and a lower bound or a zero point may be negative; under 1 dB where "
    "one row of 64 has a step below 0",
    "{:g} dB",
)
ALONE = Limit(0.9, "1.00 for every algorithm, 0.34 where tensors of one shape share state")
LOST = Limit(0.2, "0 for every algorithm; 97% where a first moment is cast to E4M3 without a scale", "{:.0%}")
AGREEMENT = Limit(0.8, "0.97 and more for 4-bit and 8-bit state")


def _other_algorithm(case: Case) -> Seen | None:
    agreement = case.evidence.optimizer_agreement
    if agreement is None or agreement >= AGREEMENT.at:
        return None
    algorithm = case.evidence.optimizer_algorithm
    return Seen({"agreement": agreement, "algorithm": algorithm, "said": _compared(case, agreement)})


def _compared(case: Case, agreement: float) -> str:
    """How an update differs from that of the algorithm which it claims to be, where its direction tells."""
    direction, size = case.evidence.optimizer_direction, case.evidence.optimizer_size
    claimed = f"that of {case.evidence.optimizer_algorithm}, which it claims to be"
    if size == 0:
        return f"the update is 0 where {claimed}, is not"
    if direction is not None and direction <= -AGREEMENT.at:
        return f"the sign of the update is flipped: to {claimed}, it has a cosine of {direction:.2f}"
    if direction is not None and size is not None and direction >= AGREEMENT.at:
        return f"the update has the direction of {claimed}, and {plain(f'{size:.3g}')} times the size"
    return f"the update agrees by {agreement:.2f} with {claimed}; 1 is agreement"


def _follows_another(case: Case) -> Seen | None:
    alone = case.evidence.optimizer_alone
    if alone is None or alone >= ALONE.at:
        return None
    return Seen({"alone": alone, "tensor": case.evidence.optimizer_follows})


def _non_finite(case: Case) -> Seen | None:
    bad = case.evidence.non_finite
    return None if bad is None else Seen({"tensor": bad.tensor, "step": bad.step}, bad.step)


def _swallowed(case: Case) -> Seen | None:
    eta = case.evidence.update_survival
    if eta is None or eta >= SURVIVAL.at:
        return None
    return Seen({"update_survival": eta, "share": max(eta, 0), "limit": SURVIVAL.at})


def _learned(is_bad: Callable[[LearnedScale], bool], step: int) -> Ask:
    def ask(case: Case) -> Seen | None:
        bad = [parameter for parameter in case.evidence.learned if is_bad(parameter)]
        if not bad:
            return None
        counts = {"bad": len(bad), "of": len(case.evidence.learned)}
        return Seen({"name": bad[0].name, "smallest": bad[0].smallest_after, **counts}, step)

    return ask


def _crossed(p: LearnedScale) -> bool:
    return p.is_scale and p.smallest_before > 0 >= p.smallest_after


def _harms(p: LearnedScale) -> bool:
    """Whether the tensor lost by it; where it was not asked, it did."""
    return p.snr_before is None or p.snr_after is None or p.snr_after < p.snr_before - HARM.at


def _qparams(
    said: str,
    measures: str,
    measured: str,
    is_bad: Callable[[LearnedScale], bool],
    limits: tuple[Limit, ...] = (),
    severity: Severity = "fault",
    step: int = 0,
) -> Rule:
    return Rule(
        cause="qparams-invalid",
        measures=measures,
        flagged="one does",
        says=f"the learned parameter {{name}} {said} ({{bad}} of {{of}}).",
        ask=_learned(is_bad, step),
        record=("smallest", ("parameters", "bad")),
        limits=limits,
        measured="" if limits else measured,
        severity=severity,
    )


NON_FINITE = Rule(
    cause="non-finite",
    measures="losses, gradients and weights",
    flagged="the first that is not finite",
    says="{tensor} is the first tensor that is not finite, at step {step}.",
    ask=_non_finite,
    record=("tensor", "step"),
    measured="all are finite",
)

UPDATE_SWALLOWED = Rule(
    cause="update-swallowed",
    measures="share of the intended update that survives in-place storage",
    flagged="below {0}",
    says="{share:.1%} of the intended update survives storage (a healthy one keeps {limit:.0%}).",
    ask=_swallowed,
    record=("update_survival",),
    limits=(SURVIVAL,),
)

UNMOVED = Rule(
    cause="update-swallowed",
    measures="share of the elements with a gradient that 50 steps leave where they were, but for their row's scale",
    flagged="from {0}",
    says="{value:.0%} of the elements that had a gradient were left where they were by half of the training.",
    ask=quantity(lambda evidence: evidence.unmoved, lambda value: value >= STILL.at),
    record=(("unmoved", "value"),),
    limits=(STILL,),
)

OPTIMIZER_STATE = Rule(
    cause="optimizer-state",
    measures="agreement of the update with the same algorithm's with float32 state, where gradients are small",
    flagged="below {0}",
    says="where gradients are small the update agrees by {value:.2f} with the same algorithm's with float32 "
    "state; 1 is agreement.",
    ask=quantity(lambda evidence: evidence.optimizer_cosine, lambda value: not value >= STATE_COSINE.at),
    record=(("optimizer_cosine", "value"),),
    limits=(STATE_COSINE,),
)

SMALLER_STEPS = Rule(
    cause="optimizer-state",
    measures="the same where gradients are small, and an update that is smaller than the algorithm's counts as well",
    flagged="below {0}",
    says="where gradients are small beside larger ones the update agrees by {value:.2f} with the same algorithm's with "
    "float32 state: it is smaller, as where a second moment is shared, or rounded up.",
    ask=quantity(lambda evidence: evidence.optimizer_smaller, lambda value: not value >= STATE_COSINE.at),
    record=(("optimizer_smaller", "value"),),
    limits=(STATE_COSINE,),
    severity="warning",
)

REGION_LOST = Rule(
    cause="optimizer-state",
    measures="the least agreement of the update with the same algorithm's with float32 state, over regions of 2,048 "
    "elements whose gradients have one size",
    flagged="below {0}",
    says="where a region's gradients are of one size and its neighbours' of another, the update agrees by {value:.2f} "
    "with the same algorithm's with float32 state: their state is scaled alike.",
    ask=quantity(lambda evidence: evidence.optimizer_regions, lambda value: not value >= REGIONS.at),
    record=(("optimizer_regions", "value"),),
    limits=(REGIONS,),
)

OTHER_ALGORITHM = Rule(
    cause="optimizer-state",
    measures="agreement of the update with that of the algorithm which the optimizer claims to be",
    flagged="below {0}",
    says="{said}.",
    ask=_other_algorithm,
    record=(("optimizer_agreement", "agreement"),),
    limits=(AGREEMENT,),
)

FOLLOWS_ANOTHER = Rule(
    cause="optimizer-state",
    measures="cosine of a tensor's update to itself while the gradients of another tensor are turned around",
    flagged="below {0}",
    says="the update of {tensor} turns with the gradients of another tensor (cosine {alone:.2f} to itself): they share "
    "state.",
    ask=_follows_another,
    record=("alone", "tensor"),
    limits=(ALONE,),
)

UPDATE_LOST = Rule(
    cause="optimizer-state",
    measures="share of the elements with a gradient that 30 steps of the optimizer do not move, for gradients from "
    "1e-5 to 1e-2",
    flagged="from {0}",
    says="{value:.0%} of the elements with a gradient between 1e-5 and 1e-2 are not moved by 30 steps.",
    ask=quantity(lambda evidence: evidence.optimizer_still, lambda value: value >= LOST.at),
    record=(("optimizer_still", "value"),),
    limits=(LOST,),
)

SCALE_CROSSED_ZERO = _qparams(
    "scales the output and crossed 0",
    "learned parameters that scale the output, were positive and fall to 0 or below, and signal over noise that the "
    "tensor lost since",
    "learned scales stay positive; a lower bound or a zero point may be negative",
    lambda p: _crossed(p) and _harms(p),
    (HARM,),
    step=1,  # after the start
)

SCALE_CROSSED_UNHARMED = _qparams(
    "scales the output and crossed 0, and the values are as near as before",
    "the same, where the tensor lost no more",
    "a step of one row of many, on a grid that is the same for both signs",
    lambda p: _crossed(p) and not _harms(p),
    severity="warning",
)

SCALE_NEGATIVE = _qparams(
    "scales the output and is negative",
    "learned parameters that scale the output and start below 0",
    "learned scales start above 0",
    lambda p: p.is_scale and p.smallest_before < 0,
)

SCALE_WITHOUT_GRADIENT = _qparams(
    "never got a gradient",
    "learned parameters that the output depends on and that no probed step gave a gradient, or one of 0 where values "
    "that are clipped give none either",
    "learned scales get one at each step; a bound that clips nothing gets 0",
    lambda p: p.used and (not p.reached or not (p.has_gradient or p.learns_clipped)),
)
