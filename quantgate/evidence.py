"""What the probes measured, as plain numbers: the bridge between the experiment and its diagnosis."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class TensorEvidence:
    """A tensor x and its fake-quantized q(x), at one moment. Shares are of elements, in 0..1."""

    #: The parameter's name, or the input of the quantizer's own probe (`N(0, 0.125)`).
    tensor: str
    #: The optimizer step before which it was measured.
    step: int
    #: Root mean square of x.
    rms: float
    #: Elements that q changed.
    changed: float
    #: <q(x), x> / <x, x>: 1 where q is faithful, the factor of a scale that was left out.
    gain: float
    #: |x|^2 / |q(x) - x|^2, in decibels; inf where nothing changed.
    snr: float
    #: Elements that q sends to 0.
    zeros: float
    #: Negative elements below -rms/2 that stay negative, and the same of positive ones.
    negatives_kept: float
    positives_kept: float
    #: Elements at the largest magnitude of q(x).
    saturated: float
    #: Norm of the reference straight-through estimator's gradient: d loss / d q(x) on the same forward.
    reference_gradient: float
    #: Norm of the gradient that reached x; None where q(x) has no graph or no gradient came.
    gradient: float | None
    #: Cosine between the two; 0 where either is 0.
    gradient_cosine: float
    #: Elements whose gradient is 0 although the reference's is not.
    gradient_zeros: float


@dataclass(frozen=True)
class NonFinite:
    """The first non-finite tensor and the step it was met at."""

    tensor: str
    step: int


@dataclass(frozen=True)
class Evidence:
    """All that was measured of one cell, or, without a training, of one quantizer."""

    #: How the subject broke its contract, in a sentence; None where it did not.
    contract: str | None = None
    #: Exception that ended the cell, in a sentence.
    crash: str | None = None
    #: The quantizer alone, on N(0, sigma) inputs.
    inputs: tuple[TensorEvidence, ...] = ()
    #: The weights of the model, at the probed steps.
    weights: tuple[TensorEvidence, ...] = ()
    #: Whether two calls on one input differ when the seed does.
    stochastic: bool = False
    #: State found in a plain function, named; None where there is none.
    state: str | None = None
    non_finite: NonFinite | None = None
    #: Parameters whose gradient was not 0 while their value never moved.
    frozen: tuple[str, ...] = ()
    #: eta, the share of the intended update that survives in-place storage; None with a master copy.
    update_survival: float | None = None
    #: Whether the curve is the control's to the last bit.
    control_identical: bool = False


@dataclass(frozen=True)
class Finding:
    """A cause, with the sentence of evidence that names it."""

    cause: str
    because: str
    #: Numbers behind the sentence, for the record.
    numbers: dict[str, float | int | str | None] = field(default_factory=dict)
    #: False where it explains a bad curve but does not by itself condemn a good one.
    condemns: bool = True
