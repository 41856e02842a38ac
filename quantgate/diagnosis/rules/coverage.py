"""Rules about what is quantized, and what is trained, at all."""

from __future__ import annotations

from quantgate.diagnosis.evidence import TensorEvidence
from quantgate.diagnosis.rule import Case, Rule, Seen, at_first_step, names, tensors

#: A format of more bits than float32's significand has may keep every value of a normal tensor.
FLOAT32_BITS = 24
#: With more, many a value of a small tensor lies on the grid.
MOST_BITS = 12
#: In decibels: what is left by a rounding of float32, of x * s / s say, has 140; gf32 with 20 bits of significand 122.
FLOAT32_SNR = 130.0


def _must_change(case: Case) -> bool:
    """Whether values that come back unchanged were not quantized."""
    evidence = case.evidence
    wide = case.bits is not None and case.bits > FLOAT32_BITS
    holds_float32 = wide and evidence.changes_wide and bool(evidence.inputs)
    return not (case.lossless or holds_float32)


def is_kept(tensor: TensorEvidence, case: Case) -> bool:
    """Whether a tensor came back as it was; or, up to float32's own bits, but for a rounding of float32."""
    rounded = case.bits is not None and case.bits <= FLOAT32_BITS and tensor.snr > FLOAT32_SNR
    return tensor.changed == 0 or rounded


def _unchanged(case: Case) -> Seen | None:
    if case.evidence.uncovered is not None:
        return None  # of a recipe, layers are asked, not tensors
    seen = (*case.evidence.inputs, *case.evidence.weights)
    if not _must_change(case) or not seen or not all(is_kept(tensor, case) for tensor in seen):
        return None
    exactly = all(tensor.changed == 0 for tensor in seen)
    said = "bit for bit" if exactly else "but for a rounding of float32"
    changed = max(tensor.changed for tensor in seen)
    tensors = len({tensor.tensor for tensor in seen})
    which = f"all {tensors} tensors" if tensors > 1 else f"{seen[0].tensor}, all that was given to it,"
    return Seen({"tensors": tensors, "which": which, "changed": changed, "said": said})


def _equals_control(case: Case) -> Seen | None:
    return Seen({"one": 1}) if _must_change(case) and case.evidence.control_identical else None


def _untouched(case: Case) -> Seen | None:
    first = at_first_step(case.evidence)
    untouched = [tensor for tensor in first if is_kept(tensor, case)]
    if case.evidence.uncovered is not None or case.lossless or not untouched or len(untouched) == len(first):
        return None
    return Seen({"unchanged": len(untouched), "weights": len(first), "named": names(untouched)})


def _kept(tensor: TensorEvidence, case: Case) -> bool:
    first = min((each.step for each in case.evidence.weights), default=0)
    on_grid_by_training = tensor.step > first  # weights that are clamped to a range end on its edge
    return tensor.lines_kept > 0 and not (on_grid_by_training or is_kept(tensor, case))


def _few_bits(case: Case) -> bool:
    return case.bits is not None and case.bits <= MOST_BITS and not case.lossless


def _uncovered(case: Case) -> Seen | None:
    if case.evidence.uncovered is None or case.evidence.uncovered[0] == 0 or case.lossless:
        return None
    left, linears = case.evidence.uncovered
    if left == linears and case.evidence.covers_others:
        return None  # embeddings alone, by design
    return Seen({"unchanged": left, "weights": linears})


def _all_uncovered(case: Case) -> Seen | None:
    seen = _uncovered(case)
    return seen if seen is not None and seen.values["unchanged"] == seen.values["weights"] else None


def _orphaned(case: Case) -> Seen | None:
    frozen = case.evidence.frozen
    return Seen({"frozen": len(frozen), "named": ", ".join(frozen[:4])}) if frozen else None


UNCHANGED = Rule(
    cause="no-op",
    measures="tensors that come back unchanged, or to 24 bits but for a rounding of float32",
    flagged="all do, where the subject is not declared lossless",
    says="{which} came back unchanged, {said}.",
    ask=_unchanged,
    record=("changed",),
    measured="a lossy format changes every tensor; above 24 bits, values from 2^-60 to 2^60",
)

EQUALS_CONTROL = Rule(
    cause="no-op",
    measures="the curve beside the float32 control's, where no weight was seen to change",
    flagged="equal, bit for bit",
    says="the curve is the float32 control's, bit for bit.",
    ask=_equals_control,
    record=(("control_identical", "one"),),
    measured="what changes neither a weight nor a score is float32",
)

PARTLY_APPLIED = Rule(
    cause="partly-applied",
    measures="weights that come back unchanged at the first step, or to 24 bits but for a rounding of float32",
    flagged="some do, and not all",
    says="{unchanged} of {weights} weights came back unchanged: {named}.",
    ask=_untouched,
    record=("unchanged", "weights"),
    measured="none under a quantizer that is applied to every weight",
)

LINES_KEPT = Rule(
    cause="partly-applied",
    measures="rows, columns or runs of 16 in a row that come back unchanged but for a rounding of float32, to 12 bits "
    "and at the first step",
    flagged="one does",
    says="{lines_kept:.1%} of the rows, columns or runs of {tensor} came back unchanged ({bad} of {of} {kind}).",
    ask=tensors(_kept, worst=lambda tensor: tensor.lines_kept, applies=_few_bits, both=True),
    record=("lines_kept",),
    measured="none: sixteen values of a row are never all on a grid",
)

ALL_UNCOVERED = Rule(
    cause="no-op",
    measures="linear layers of a recipe's body that read a float32 parameter",
    flagged="all do",
    says="all {weights} linear layers of the body read float32 weights.",
    ask=_all_uncovered,
    record=("unchanged", "weights"),
    measured="none in a recipe that swaps or parametrizes every linear layer",
)

UNCOVERED = Rule(
    cause="partly-applied",
    measures="linear layers of a recipe's body that read a float32 parameter",
    flagged="one does",
    says="{unchanged} of {weights} linear layers of the body read float32 weights.",
    ask=_uncovered,
    record=("unchanged", "weights"),
    measured="none in a recipe that swaps or parametrizes every linear layer",
)

ORPHANED = Rule(
    cause="orphaned-parameter",
    measures="parameters that no optimizer holds",
    flagged="one is",
    says="{frozen} parameters have a gradient and never moved: {named}.",
    ask=_orphaned,
    record=("frozen",),
    measured="none where the optimizer is built after the model was prepared",
)
