"""Rules about values that fall to 0: of a range that collapsed, or beside the largest elements of the tensor's own."""

from __future__ import annotations

import math

from quantgate.diagnosis.evidence import TensorEvidence
from quantgate.diagnosis.rule import Case, Limit, LimitByBits, Rule, Value, tensors

#: An amax scale on a normal tensor of 12,000 elements. Where bits are unknown, so few may be in use.
ZEROS = LimitByBits(
    {2: 0.999, 4: 0.9, math.inf: 0.6},
    "int2 95%, int3 50%, gf4 52%, int4 22%, gf8 and int8 at most 2%",
    "{:.1%}",
)
#: Fewer are no tail's: int4 with one scale zeroes 93% to 99.9% of a Student t of 2 to 3 degrees, int8 85%.
TAIL = 0.5
TOP = Limit(0.1, "0 for a scale from the largest element; a fixed step of 0.25 leaves 0.83 of it", "{:g}")


def width(case: Case) -> str:
    """The bits in words."""
    return "unknown bits" if case.bits is None else f"{case.bits:g} bits"


def _zeros_limit(case: Case, tensor: TensorEvidence) -> dict[str, Value]:
    return {"limit": ZEROS.for_bits(case.bits), "width": width(case)}


def _many(tensor: TensorEvidence, case: Case) -> bool:
    return tensor.rms > 0 and tensor.zeros > ZEROS.for_bits(case.bits)


def covers_a_tail(tensor: TensorEvidence, case: Case) -> bool:
    """Whether the scale covers the largest element with all its codes, so that the zeros are the tensor's doing."""
    if case.bits is None or tensor.zeros < TAIL:
        return False
    return abs(tensor.top - 1) <= TOP.at and tensor.span >= 2 ** (case.bits - 1) - 1.5


RANGE_COLLAPSED = Rule(
    cause="range-collapsed",
    measures="share of elements that fall to 0, but beside a heavy tail that the scale covers",
    flagged="above {0}",
    says="{zeros:.1%} of {tensor} falls to 0 (at most {limit:.1%} for {width}; {bad} of {of} {kind}).",
    ask=tensors(
        lambda tensor, case: _many(tensor, case) and not covers_a_tail(tensor, case),
        worst=lambda tensor: tensor.zeros,
        add=_zeros_limit,
    ),
    record=("zeros", "tensor"),
    limits=(ZEROS,),
)

#: What the format is: its curve says what that costs.
BESIDE_A_TAIL = Rule(
    cause="range-collapsed",
    measures="share of elements that fall to 0, where the largest element comes back within {1} of itself and the "
    "least that does is as many codes below it as the bits have",
    flagged="above {0}",
    says="{zeros:.1%} of {tensor} falls to 0 beside its largest elements, which the scale covers ({bad} of {of} "
    "{kind}); a scale for each row or group keeps more.",
    ask=tensors(
        lambda tensor, case: _many(tensor, case) and covers_a_tail(tensor, case),
        worst=lambda tensor: tensor.zeros,
    ),
    record=("zeros", "tensor"),
    limits=(ZEROS, TOP),
    severity="warning",
)
