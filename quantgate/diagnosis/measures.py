"""What each number of a record's evidence is, in plain words, by its name there: what the page says of its columns.

How a number is computed stands in `evidence`, where it lies between healthy and faulty in `rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

#: The fields of `TensorEvidence`, which are measured of each tensor x and its quantized q(x).
COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        "tensor": "the parameter or input that was measured",
        "step": "the optimizer step before which it was measured",
        "rms": "root mean square of the values: their typical size",
        "changed": "share of the values that quantization changed, 0 to 1",
        "gain": "size of the quantized values over that of the originals: 1 is faithful",
        "snr": "signal over quantization noise, in decibels: more is better, about 6 for each bit",
        "zeros": "share of the values that became 0",
        "negatives_kept": "share of the negative values, but the smallest, that stayed negative",
        "positives_kept": "share of the positive values, but the smallest, that stayed positive",
        "saturated": "share of the values that were clipped to the end of the range",
        "reference_gradient": "length of the gradient that a straight-through estimator gives the tensor",
        "gradient": "length of the gradient that the tensor got; none where nothing came",
        "gradient_cosine": "direction of the gradient beside the straight-through estimator's: 1 the same, 0 "
        "unrelated or none, -1 reversed",
        "gradient_zeros": "share of the values that got no gradient although the straight-through estimator gives one",
        "blocked_unclipped": "of those without a gradient, the share that was not clipped either",
        "side_gain": "the gain of the positive or of the negative values alone, whichever is nearer to 1",
        "lines_kept": "share of the rows, columns or runs of 16 that were not quantized at all",
        "line_snr": "signal over noise of the best row, column or run of 16, in decibels",
        "drift": "whether rounding moves values one way: 0 is balanced, -1 always down, 1 always up",
        "shrinks": "whether rounding makes values smaller: 0 is balanced, -1 always towards 0, 1 always away from it",
        "peak": "how much of each group's largest value comes back, on average: 1 is all of it",
        "peak_of": "the groups of values whose largest ones peak is about",
        "clip_noise": "share of the quantization noise that comes from clipped values",
        "top": "largest quantized value over the largest original: 1 where the range covers it",
        "span": "largest quantized value over the smallest that is not 0: 127 where int8 uses all of its codes",
    }
)

#: What a record names of the whole cell: the numbers behind its cause, and what it says of every cell.
FACTS: Mapping[str, str] = MappingProxyType(
    {
        "bits": "the bits that the format is declared to have",
        "tolerance": "how far behind its float32 control it may end, in bits per byte",
        "also": "the other causes that were found, with their evidence",
        "findings": "all causes that were found, the first of them is the cause",
        "warnings": "what was found and does not fail a cell",
        "waived": "what was found and is excused, with the reason",
        "not_measured": "probes that have no answer here, with the reason",
        "fingerprint": "a digest of what the quantizer makes of fixed inputs: equal ones are one quantizer",
        "same_as": "the built-in format that gives the same values in every bit",
        "stochastic": "whether it rounds at random: two calls differ under two seeds",
        "state": "what a quantizer that should be a plain function remembers",
        "judged_seed": "the seed whose score, the median of all, judges",
        "update_survival": "share of the optimizer's update that the stored weights keep",
        "unmoved": "share of the values with a gradient that half of the training left where they were",
        "unchanged": "tensors or layers that came back unchanged",
        "weights": "tensors or layers that were asked",
        "most": "the most that so many bits can have",
        "least": "the least that the plainest grids of so many bits have",
        "used": "codes that lie in the range of the values",
        "codes": "codes that so many bits have",
        "levels": "different values that the quantizer gives",
        "late_gain": "the gain once the input has grown fourfold",
        "scale_follows": "how far the largest output grows when the input grows fourfold: 4 is right",
        "one_sided_peak": "the peak of values of one sign over that of values of both",
        "smallest": "the smallest value of a learned parameter",
        "parameters": "learned parameters of which this holds",
        "blocked": "tensors or layers without a gradient",
        "of": "how many were asked",
        "gradient_underflow": "share of a gradient that is lost when it is a million times smaller",
        "gradient_additive": "how far the gradient of a sum is from the sum of the gradients: 0 is right",
        "gradient_ratio": "length of the gradient over that of the straight-through estimator's: 1 is right",
        "frozen": "parameters that have a gradient and never moved",
        "control_identical": "whether its curve is the float32 control's, bit for bit",
        "input": "the input that does not come back finite",
        "by_place": "share of the values that depend on the row they stand in",
        "varies": "share of the values that differ under another seed",
        "shared_noise": "what gets the same noise: rows, columns or calls",
        "threshold_positive": "where between two levels positive values are rounded up: 0.5 is to the nearest",
        "threshold_negative": "where between two levels negative values are rounded up: 0.5 is to the nearest",
        "way": "the direction in which values are rounded",
        "mean": "how far values move by rounding on average, in steps of the grid: 0 is balanced",
        "bias_positive": "mean error of positive values over their mean size of error: 0 is balanced",
        "bias_negative": "mean error of negative values over their mean size of error: 0 is balanced",
        "table_error": "largest distance to the published table, as a share of its range",
        "falls": "share of the steps of a rising input at which the output falls",
        "fall": "the largest such fall, as a share of the range",
        "misplaced": "share of the values that change when halves of the tensor trade places",
        "reach": "what one outlier changes: values that share its scale, or others",
        "declared": "the values that are declared to share a scale",
        "found": "the values that share one in fact",
        "outliers_kept": "share of the outliers that come back exactly",
        "like": "the built-in format that it is declared to be",
        "differ": "values that are not that format's",
        "export_differs": "share of the values in which what is exported is not what was trained",
        "export_tensor": "the tensor that shows it",
        "optimizer_cosine": "agreement of the update with float32's where gradients are small: 1 is full",
        "optimizer_smaller": "the same, where an update that is too small counts as well",
        "optimizer_regions": "the least agreement of a region whose gradients have one size: 1 is full",
        "optimizer_agreement": "agreement of the update with the algorithm that it claims to be: 1 is full",
        "optimizer_still": "share of the values with a gradient that the optimizer does not move",
        "alone": "direction of a tensor's update when only another tensor's gradients change: 1 is unmoved by them",
        "limit": "the score from which on it fails",
        "shape": "the form of the curve",
        "best": "the best score of the curve",
        "samples": "scores that the log holds of it",
        "control": "the float32 run that it is held against",
        "not_logged": "what the log does not say of it",
    }
)
