"""Rules about the gradient that the quantizer passes on, beside the reference straight-through estimator's."""

from __future__ import annotations

import math
from collections.abc import Callable

from quantgate.diagnosis.evidence import Severity, TensorEvidence
from quantgate.diagnosis.rule import Case, Limit, Rule, Seen, Value, quantity, tensors

BLOCKED = Limit(
    0.9,
    "0 for a straight-through estimator, at most 45% for a clip mask (ternary by absolute mean)",
    "{:.0%}",
)
COSINE = Limit(0.5, "1.00 for an identity backward, 0.75 for a clip mask on ternary")
UNCLIPPED = Limit(0.2, "0 for every mask at the edge of the range", "{:.0%}")
RATIO_LOW = Limit(1 / 3, "0.7 where a clip mask takes 40% of ternary", "{:.2g}")
RATIO_HIGH = Limit(1.8, "1.25 through a tanh transform")
#: One value on the edge of a row of 64 is 1.6%.
EDGE = Limit(
    0.007,
    "NNCF's mask takes 0.3%, the largest of each row; dropping the largest code takes 0.8% and more",
    "{:.1%}",
)
UNDERFLOW = Limit(0.5, "a cast of the gradient to float16 loses 3%, to E5M2 all", "{:.0%}")


ADDITIVE = Limit(
    0.007, "1e-7 in float32, 0.002 in bfloat16; 0.015 where a gradient is rounded to 8 bits", "{:.1%}"
)


def _has_reference(tensor: TensorEvidence) -> bool:
    return tensor.reference_gradient > 0


def _blocked(tensor: TensorEvidence, case: Case) -> bool:
    """Whether no gradient comes, and not for a clip mask where all is clipped."""
    clipped = tensor.gradient is not None and tensor.saturated >= BLOCKED.at
    return _has_reference(tensor) and not _comes(tensor) and not clipped


def _comes(tensor: TensorEvidence) -> bool:
    return bool(tensor.gradient) and tensor.gradient_zeros < BLOCKED.at


def _zeros(tensor: TensorEvidence) -> float:
    return tensor.gradient_zeros if tensor.gradient else 1.0


def _elements(case: Case, least: TensorEvidence) -> dict[str, Value]:
    """How many elements of the tensors are meant where not all are: the largest may get one through the scale."""
    share = math.floor(1000 * _zeros(least)) / 1000
    return {"elements": "" if share == 1 else f"{share:.1%} and more of the elements of "}


def _passes(tensor: TensorEvidence, case: Case) -> bool:
    return _has_reference(tensor) and _comes(tensor)


def _wrong(tensor: TensorEvidence, case: Case) -> bool:
    """Whether the direction is further from the reference's than a clip mask on the clipped elements takes it."""
    return tensor.gradient_cosine < COSINE.at * math.sqrt(1 - tensor.saturated)


def _direction(case: Case, tensor: TensorEvidence) -> dict[str, Value]:
    negated = tensor.gradient_cosine < -COSINE.at
    return {"said": "is negated" if negated else "points elsewhere"}


def _ratio(tensor: TensorEvidence) -> float:
    return (tensor.gradient or 0.0) / tensor.reference_gradient


def _misscaled(tensor: TensorEvidence, case: Case) -> bool:
    if not _passes(tensor, case) or _wrong(tensor, case) or not 0 < _ratio(tensor) < math.inf:
        return False  # what is not finite is said as non-finite
    # Behind a learned length the gradient is as many times larger as the values are.
    sizes = (1.0, tensor.gain or 1.0)
    return not any(RATIO_LOW.at < _ratio(tensor) / size < RATIO_HIGH.at for size in sizes)


def _edge_lost(tensor: TensorEvidence, case: Case) -> bool:
    some = 0 < tensor.gradient_zeros < BLOCKED.at
    return some and tensor.blocked_unclipped >= UNCLIPPED.at


def _edge_dropped(tensor: TensorEvidence, case: Case) -> bool:
    return _edge_lost(tensor, case) and tensor.gradient_zeros >= EDGE.at


def _unreached(case: Case) -> Seen | None:
    if case.evidence.unreached is None or case.evidence.unreached[0] == 0:
        return None
    lost, layers = case.evidence.unreached
    return Seen({"blocked": lost, "of": layers})


GRAD_FORMAT = Rule(
    cause="grad-format",
    measures="share of a gradient that passes at size 1 and is lost at size 2^-20",
    flagged="above {0}",
    says="{value:.0%} of a gradient that passes at size 1 is lost at size 2^-20.",
    ask=quantity(lambda evidence: evidence.gradient_underflow, lambda value: not value <= UNDERFLOW.at),
    record=(("gradient_underflow", "value"),),
    limits=(UNDERFLOW,),
)

GRADIENT_ROUNDED = Rule(
    cause="grad-format",
    measures="how far the gradient of a sum is from the sum of the gradients, as a share of it",
    flagged="above {0}",
    says="the gradient of a sum is {value:.1%} from the sum of the gradients: the backward rounds them, or scales each "
    "by itself.",
    ask=quantity(lambda evidence: evidence.gradient_additive, lambda value: not value <= ADDITIVE.at),
    record=(("gradient_additive", "value"),),
    limits=(ADDITIVE,),
    severity="warning",
)

GRADIENT_BLOCKED = Rule(
    cause="gradient-blocked",
    measures="share of elements whose gradient is 0 where the reference's is not",
    flagged="from {0}, or no gradient at all",
    says="the gradient is 0 for {elements}{bad} of {of} {kind} where the reference straight-through estimator's is "
    "not.",
    ask=tensors(_blocked, worst=lambda tensor: -_zeros(tensor), both=True, add=_elements),
    record=(("blocked", "bad"), "of", "gradient_zeros"),
    limits=(BLOCKED,),
)


def _edge(
    is_bad: Callable[[TensorEvidence, Case], bool], least_share: float, flagged: str, severity: Severity
) -> Rule:
    return Rule(
        cause="clip-gradient-lost",
        measures="of the elements that lost their gradient, the share that was not clipped",
        flagged=flagged,
        says="{gradient_zeros:.1%} of {tensor} gets no gradient although it was not clipped "
        "({bad} of {of} tensors).",
        ask=tensors(
            is_bad,
            worst=lambda tensor: tensor.gradient_zeros,
            both=True,
            least_share=least_share,
            among=lambda tensor: tensor.changed > 0,
            applies=lambda case: not case.evidence.gradient_underflow > UNDERFLOW.at,
        ),
        record=("gradient_zeros", "blocked_unclipped"),
        limits=(UNCLIPPED, EDGE),
        severity=severity,
    )


CLIP_GRADIENT_LOST = _edge(
    _edge_dropped, 0.5, "from {0}, in half of the tensors, where {1} of all are lost", "fault"
)

CLIP_GRADIENT_GRAZED = _edge(
    _edge_lost, 0.5, "from {0}, in half of the tensors, where fewer are lost", "warning"
)

UNREACHED = Rule(
    cause="gradient-blocked",
    measures="layers of a recipe's model none of whose parameters gets a gradient",
    flagged="one does not",
    says="{blocked} of {of} layers of the prepared model have no parameter that gets a gradient.",
    ask=_unreached,
    record=("blocked", "of"),
    measured="none in a recipe that trains",
)

GRADIENT_WRONG = Rule(
    cause="gradient-wrong",
    measures="cosine to the reference straight-through estimator's gradient",
    flagged="below {0}, times the root of the share that is not clipped",
    says="the gradient {said} (cosine {gradient_cosine:.2f} to the reference straight-through estimator's) for "
    "{bad} of {of} {kind}.",
    ask=tensors(
        lambda tensor, case: _passes(tensor, case) and _wrong(tensor, case),
        worst=lambda tensor: -tensor.gradient_cosine,
        both=True,
        add=_direction,
    ),
    record=("gradient_cosine",),
    limits=(COSINE,),
)

GRADIENT_MISSCALED = Rule(
    cause="gradient-misscaled",
    measures="norm of the gradient over the reference's, where the direction is right",
    flagged="up to {0}, or from {1}",
    says="the gradient of {tensor} is {ratio:.3g} times the reference straight-through estimator's "
    "({bad} of {of} {kind}).",
    ask=tensors(
        _misscaled,
        worst=lambda tensor: abs(math.log(_ratio(tensor))),
        both=True,
        # The sign of one bit has no scale to divide by: its gradient is the scale times the reference's, by custom.
        applies=lambda case: case.bits is None or case.bits > 1,
        add=lambda case, tensor: {"ratio": _ratio(tensor)},
    ),
    record=(("gradient_ratio", "ratio"), "tensor"),
    limits=(RATIO_LOW, RATIO_HIGH),
)
