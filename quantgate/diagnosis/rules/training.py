"""Rules about what became of weights, updates and learned scales while it trained."""

from __future__ import annotations

from quantgate.diagnosis.evidence import Evidence, Finding

#: eta of in-place storage: fp16, gf16, posit16 and stochastic rounding keep 0.91 .. 1.03; bf16 that lags by 0.17
#: keeps 0.86, int8 at most 0.59.
SURVIVAL = 0.89
#: Agreement of the update with float32 state: 8-bit state in blocks keeps 0.9.
OPTIMIZER = 0.7


def non_finite(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    bad = evidence.non_finite
    if bad is None:
        return None
    return Finding(
        "non-finite",
        f"{bad.tensor} is the first tensor that is not finite, at step {bad.step}.",
        {"tensor": bad.tensor, "step": bad.step},
        bad.step,
    )


def update_swallowed(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    eta = evidence.update_survival
    if eta is None or eta >= SURVIVAL:
        return None
    return Finding(
        "update-swallowed",
        f"{max(eta, 0):.1%} of the intended update survives storage (a healthy one keeps {SURVIVAL:.0%}).",
        {"update_survival": eta},
    )


def optimizer_state(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    cosine = evidence.optimizer_cosine
    if cosine is None or cosine >= OPTIMIZER:
        return None
    return Finding(
        "optimizer-state",
        f"where gradients are small the update agrees by {cosine:.2f} with the same algorithm's with float32 "
        "state; 1 is agreement.",
        {"optimizer_cosine": cosine},
    )


def qparams_invalid(evidence: Evidence, bits: float | None, lossless: bool) -> Finding | None:
    flipped = [p for p in evidence.learned if p.smallest_before > 0 >= p.smallest_after]
    negative = [p for p in evidence.learned if p.smallest_before < 0 and "log" not in p.name]
    frozen = [p for p in evidence.learned if not p.has_gradient]
    for bad, said in (
        (flipped, "crossed 0"),
        (negative, "is negative"),
        (frozen, "never got a gradient"),
    ):
        if bad:
            return Finding(
                "qparams-invalid",
                f"the learned parameter {bad[0].name} {said} ({len(bad)} of {len(evidence.learned)}).",
                {"smallest": bad[0].smallest_after, "parameters": len(bad)},
            )
    return None
