"""Rules about what is quantized, and what is trained, at all."""

from __future__ import annotations

from quantgate.diagnosis.evidence import Evidence, Finding
from quantgate.diagnosis.rules.select import at_first_step, names


def no_op(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    seen = (*evidence.inputs, *evidence.weights)
    holds_float32 = bits is not None and bits > 24 and evidence.changes_wide and bool(evidence.inputs)
    if lossless or holds_float32:
        return None
    if seen and all(tensor.changed == 0 for tensor in seen):
        tensors = len({tensor.tensor for tensor in seen})
        return Finding("no-op", f"all {tensors} tensors came back unchanged, bit for bit.", {"changed": 0.0})
    if evidence.control_identical:
        return Finding("no-op", "the curve is the float32 control's, bit for bit.", {"control_identical": 1})
    return None


def partly_applied(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    first = at_first_step(evidence.weights)
    untouched = [tensor for tensor in first if tensor.changed == 0]
    if lossless or not untouched or len(untouched) == len(first):
        return None
    return Finding(
        "partly-applied",
        f"{len(untouched)} of {len(first)} weights came back unchanged: {names(untouched)}.",
        {"unchanged": len(untouched), "weights": len(first)},
    )


def uncovered(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    if evidence.uncovered is None or evidence.uncovered[0] == 0 or lossless:
        return None
    left, linears = evidence.uncovered
    numbers: dict[str, float | int | str | None] = {"unchanged": left, "weights": linears}
    if left == linears:
        return Finding("no-op", f"all {linears} linear layers of the body read float32 weights.", numbers)
    return Finding(
        "partly-applied", f"{left} of {linears} linear layers of the body read float32 weights.", numbers
    )


def orphaned(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    if not evidence.frozen:
        return None
    return Finding(
        "orphaned-parameter",
        f"{len(evidence.frozen)} parameters have a gradient and never moved: {', '.join(evidence.frozen[:4])}.",
        {"frozen": len(evidence.frozen)},
    )
