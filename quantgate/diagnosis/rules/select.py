"""What the rules share: which tensors are asked, and how they are named."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from quantgate.diagnosis.evidence import Evidence, TensorEvidence

#: A gradient is missing where this share of its elements is 0 though the reference's is not. A clip mask
#: leaves at most 0.45 of a normal tensor at 0 (ternary by absolute mean).
BLOCKED_SHARE = 0.9
#: Healthy: 1.00 for an identity backward, 0.75 for a clip mask on ternary.
WRONG_COSINE = 0.5


def has_reference(tensor: TensorEvidence) -> bool:
    return tensor.reference_gradient > 0


def is_blocked(tensor: TensorEvidence) -> bool:
    return has_reference(tensor) and (not tensor.gradient or tensor.gradient_zeros >= BLOCKED_SHARE)


def is_wrong(tensor: TensorEvidence) -> bool:
    return tensor.gradient_cosine < WRONG_COSINE


def at_first_step(tensors: Sequence[TensorEvidence]) -> list[TensorEvidence]:
    """The probes of the first probed step: untouched by what training makes of the weights."""
    return [tensor for tensor in tensors if tensor.step == tensors[0].step]


def select(
    evidence: Evidence, is_bad: Callable[[TensorEvidence], bool], *, both: bool = False
) -> tuple[list[TensorEvidence], list[TensorEvidence]]:
    """The bad ones, and all that were judged, at the first step that has a bad one.

    The weights are asked first, because they are what is trained; the quantizer's own inputs where there are
    no weights to ask or, with `both`, where the weights show nothing: a gradient that is 0 in every weight
    because its values all fell to 0 is seen on the inputs alone.
    """
    for step in sorted({tensor.step for tensor in evidence.weights}):
        judged = [tensor for tensor in evidence.weights if tensor.step == step]
        if bad := [tensor for tensor in judged if is_bad(tensor)]:
            return bad, judged
    if evidence.weights and not both:
        return [], []
    judged = list(evidence.inputs)
    return [tensor for tensor in judged if is_bad(tensor)], judged


def kind(judged: Sequence[TensorEvidence]) -> str:
    return "inputs" if judged[0].tensor.startswith("N(") else "weights"


def worst(tensors: Sequence[TensorEvidence], attribute: str) -> float:
    values = [float(getattr(tensor, attribute)) for tensor in tensors]
    return min(values) if attribute == "gradient_cosine" else max(values)


def names(tensors: Sequence[TensorEvidence]) -> str:
    names = [tensor.tensor for tensor in tensors]
    return ", ".join(names[:4]) + (" and more" if len(names) > 4 else "")
