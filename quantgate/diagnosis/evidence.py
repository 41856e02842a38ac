"""What the probes measured, as plain numbers: the bridge between the experiment and its diagnosis."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

#: How much a finding weighs: a fault is red, a warning is said and green.
Severity = Literal["fault", "warning"]

#: A code of R bits leaves at least 2^(-2 R) of the power of a Gaussian as noise (rate-distortion theory), and of evenly
#: spread values exactly that.
DECIBELS_PER_BIT = 20 * math.log10(2)


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
    #: rms of q(x) over rms of x: near 1 where q is faithful, the factor of a scale that was left out.
    gain: float
    #: |x|^2 / |q(x) - x|^2, in decibels; inf where nothing changed.
    snr: float
    #: Elements that q sends to 0.
    zeros: float
    #: Negative elements below -rms/2 that stay negative, and the same of positive ones; 1 where there are few.
    negatives_kept: float
    positives_kept: float
    #: Clipped elements: they came back smaller, at the largest or the least value of the tensor, of their row or of
    #: their run of 16.
    saturated: float
    #: Norm of the reference straight-through estimator's gradient: d loss / d q(x) on the same forward.
    reference_gradient: float
    #: Norm of the gradient that reached x; None where q(x) has no graph or no gradient came.
    gradient: float | None
    #: Cosine between the two; 0 where either is 0.
    gradient_cosine: float
    #: Elements whose gradient is 0 although the reference's is not.
    gradient_zeros: float
    #: Of those, the share that q did not clip: |q(x)| >= |x|.
    blocked_unclipped: float
    #: `gain` of the positive or of the negative elements beyond rms/2, whichever is nearer to 1.
    side_gain: float = 1.0
    #: The share of rows, columns or runs of 16 in a row that came back as they were, but for a rounding of float32;
    #: the largest of the three.
    lines_kept: float = 0.0
    #: |x|^2 / |q(x) - x|^2 of the row, column or run of 16 that has the best, in decibels.
    line_snr: float = -math.inf
    #: Mean of q(x) - x over its mean size: 0 where values are rounded both ways, -1 where all are floored.
    drift: float = 0.0
    #: Mean of |q(x)| - |x| over the mean size of q(x) - x, of elements that are neither 0 nor clipped: -1 where all are
    #: truncated.
    shrinks: float = 0.0
    #: |q(x)| / |x| of the largest element of each run of 16, on average: 1 where the scale covers it, 0.5 to 1 where an
    #: exponent is one too small.
    peak: float = 1.0
    #: What the largest elements of `peak` are the largest of.
    peak_of: str = "each 16 elements"
    #: The share of |q(x) - x|^2 that is the clipped elements'.
    clip_noise: float = 0.0
    #: Largest |q(x)| over largest |x|: 1 where one scale, from the largest element, is used for all.
    top: float = 0.0
    #: Largest |q(x)| over the least that is not 0: 7 of int4, 127 of int8, where all codes are in use.
    span: float = 0.0


@dataclass(frozen=True)
class RoundingEvidence:
    """How a quantizer rounds, on a ramp of values in which every run of 16, in rows and columns, has the same range."""

    #: Where between two neighbouring values the threshold lies, for positive and for negative x: 0.5 is round to
    #: nearest, 1 next to the value farther from -inf. None where no two values could be told apart.
    threshold_positive: float | None
    threshold_negative: float | None
    #: Share of elements whose result depends on the row they stand in: 0 without noise.
    by_place: float
    #: Share of elements that differ between two calls under different torch seeds.
    varies: float
    #: Mean error over mean |error| of positive and of negative values between the least and the largest level: 0 is
    #: unbiased, whatever the levels. Of stochastic rounding over several draws.
    bias_positive: float | None = None
    bias_negative: float | None = None
    #: Share of the levels that come back as they are: all of a grid that only rounds, fewer of one behind a transform.
    levels_kept: float | None = None
    #: Mean |error| over the largest one: 1/2 of an even grid that rounds to nearest, wherever its levels lie; 1/3 where
    #: noise is added before.
    error_shape: float = 0.0
    #: Whether the steps between levels are all equal.
    uniform: bool = False


@dataclass(frozen=True)
class OneWay:
    """A dumped tensor on an even grid whose values all went to the same side of it."""

    tensor: str
    way: Literal["down", "up", "towards 0"]
    #: Mean of (q(x) - x) / step over what is not clipped; towards 0, of (|q(x)| - |x|) / step where q(x) is not 0.
    mean: float


@dataclass(frozen=True)
class RelationEvidence:
    """Relations that every quantizer keeps, whatever its bits, as far as they could be asked."""

    #: Whether moving one value re-rounds the others: a rotation, error feedback. Then order and levels say nothing.
    mixes: bool = False
    #: Share of neighbours within a run of 16 of the ramp whose order q turns over, and the largest such fall as a share
    #: of the range.
    falls: float | None = None
    largest_fall: float = 0.0
    #: Distinct values on the ramp, which has the same range everywhere.
    levels: int | None = None
    #: Where those values were seen.
    levels_where: str = "on a ramp"
    #: Share of elements that change when halves of rows or columns trade places, and the shape that shows it.
    misplaced: float | None = None
    misplaced_shape: str = ""
    #: What an outlier changes: its `tensor`, `row`, `column`, `group:N` or `block`, or values `elsewhere`.
    reach: str | None = None
    #: Of outliers that are no extreme of their row or column, the share that came back exactly.
    outliers_kept: float = 0.0
    #: What shares its noise, of a stochastic quantizer: `rows`, `columns` or `calls`.
    shared_noise: str | None = None


@dataclass(frozen=True)
class LearnedScale:
    """A parameter of the quantizer itself, over the training."""

    name: str
    smallest_before: float
    smallest_after: float
    #: Whether any probed step gave it a gradient, and one other than 0.
    has_gradient: bool
    reached: bool = True
    #: Whether values beyond the range double when it doubles, as they do with a scale and with no other parameter.
    is_scale: bool = True
    #: Whether it gets a gradient where values are clipped at both ends; a bound gets none elsewhere.
    learns_clipped: bool = False
    #: Signal over noise of the tensor that it quantizes, at the first and the last probed step; None where not asked.
    snr_before: float | None = None
    snr_after: float | None = None
    #: Whether the output depends on it at all.
    used: bool = True


@dataclass(frozen=True)
class Conformity:
    """A quantizer beside the built-in format that it is declared to be."""

    like: str
    #: Elements that differ, of how many.
    differ: int
    of: int
    #: The first of them, in words.
    shown: tuple[str, ...]
    #: `RelationEvidence.reach` of it and of the format; None where nothing differs, or it is not seen.
    shares: str | None = None
    like_shares: str | None = None


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
    #: The weights of the model, at the probed steps, and the inputs of its linear layers where they are quantized.
    weights: tuple[TensorEvidence, ...] = ()
    #: Whether values from 2^-60 to 2^60 are changed: posit32 keeps all 24 bits of what lies near its scale.
    changes_wide: bool = True
    #: The quantizer's values that came back non-finite for an all-zero tensor or row, named; None where none did.
    zero_input: str | None = None
    #: max |q(4 x)| / max |q(x)| on one instance: 4 where the scale follows its input, 1 where it is frozen.
    scale_follows: float | None = None
    #: rms of q(4 x) over rms of 4 q(x) at the first such call, of elements inside the range of x: 1 where the scale
    #: that they are divided by is the one that they are multiplied by; None where not asked.
    late_gain: float | None = None
    #: Share of elements with q(4 x) != 4 q(x): 0 with a scale, or with exponents enough; high on a fixed grid.
    fixed_grid: float = 0.0
    #: `TensorEvidence.peak` of values of one sign over that of both signs, the larger one; None where not asked.
    one_sided_peak: float | None = None
    #: Share of the gradient that passes at size 1 and is lost at 2^-20, the size of a late gradient.
    gradient_underflow: float = 0.0
    #: |B(u + v) - B(u) - B(v)| / |B(u + v)| of the backward B: 0 but for a rounding of float32 where it is linear.
    gradient_additive: float | None = None
    #: Steps of an even grid between what the ends of a range come back as, and one; None where the grid is not even,
    #: its scale learned or not the same everywhere.
    codes_used: float | None = None
    rounding: RoundingEvidence | None = None
    #: Of dumped weights; None where they are rounded both ways, or their step cannot be known.
    one_way: OneWay | None = None
    relations: RelationEvidence = RelationEvidence()
    #: In which mode, training, scoring or deployed, it changes nothing although it does in another; or that a probe
    #: gets other values than the training did. In a sentence.
    mode_mismatch: str | None = None
    #: How the quantizer gives other results under one torch seed, in a sentence; None where it repeats.
    unrepeatable: str | None = None
    #: Probes that have no answer, each with the reason.
    not_measured: tuple[tuple[str, str], ...] = ()
    #: Largest difference to the published table that the subject's name claims, as a share of its range.
    table_error: float | None = None
    #: None where it is not declared to be one.
    conformity: Conformity | None = None
    #: Which values are declared to share a scale, and whether they do.
    granularity: str | None = None
    shares_as_declared: bool | None = None
    #: A digest of what the quantizer makes of the probes' inputs, and the built-in format of the same one.
    fingerprint: str | None = None
    same_as: str | None = None
    #: Share of elements in which decode(encode(x)) differs from the fake-quantized x that was trained.
    export_differs: float | None = None
    #: The tensor that shows it: the probes' own, or one of the weights that were trained.
    export_tensor: str = "a Gaussian"
    #: Linear layers of the body that a recipe left in float32, of how many; None for formats.
    uncovered: tuple[int, int] | None = None
    #: Layers of a recipe's model none of whose parameters got a gradient, of how many; None for formats.
    unreached: tuple[int, int] | None = None
    #: Whether a recipe quantizes a layer outside the body: an embedding, the head.
    covers_others: bool = False
    learned: tuple[LearnedScale, ...] = ()
    #: Whether training moved a range that the subject learns: what it clips since then, it chose to.
    range_moved: bool = False
    #: Agreement of the optimizer's update with the float32 algorithm's, where gradients are small and where they are
    #: large, in -1..1; and that algorithm.
    optimizer_cosine: float | None = None
    optimizer_agreement: float | None = None
    optimizer_algorithm: str | None = None
    #: Of all gradients: the cosine of the two updates, and the norm of the optimizer's over the algorithm's.
    optimizer_direction: float | None = None
    optimizer_size: float | None = None
    #: The agreement where gradients are small, and an update that is smaller than the algorithm's counts as well.
    optimizer_smaller: float | None = None
    #: The least such agreement of a region whose gradients have one size.
    optimizer_regions: float | None = None
    #: Share of the elements with a gradient that the optimizer does not move; and the least cosine of a tensor's update
    #: to itself while another tensor's gradients differ, with the tensor's name.
    optimizer_still: float | None = None
    optimizer_alone: float | None = None
    optimizer_follows: str | None = None
    #: State found in a plain function, named; None where there is none.
    state: str | None = None
    non_finite: NonFinite | None = None
    #: Parameters whose gradient was not 0 while their value never moved.
    frozen: tuple[str, ...] = ()
    #: eta, the share of the intended update that survives in-place storage; None with a master copy.
    update_survival: float | None = None
    #: Share of the elements with a gradient that the second half of the training left where they were; None where not
    #: asked.
    unmoved: float | None = None
    #: Whether the curve is the control's to the last bit.
    control_identical: bool = False

    @property
    def stochastic(self) -> bool:
        """Whether two calls on one input differ when the seed does."""
        return self.rounding is not None and self.rounding.varies > 0


@dataclass(frozen=True)
class Finding:
    """A cause, with the sentence of evidence that names it."""

    cause: str
    because: str
    #: Numbers behind the sentence, for the record.
    numbers: dict[str, float | int | str | None] = field(default_factory=dict)
    #: The step of the probe that showed it: what is wrong at the start outranks what came of it.
    step: int = 0
    severity: Severity = "fault"
    #: Why the subject is excused from it; None where it is not.
    waived: str | None = None

    @property
    def blames(self) -> bool:
        """Whether it turns a cell red."""
        return self.severity == "fault" and self.waived is None
