"""The causes that a diagnosis can name: what each is, how it looks and how it is mended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Cause:
    """One way in which low-precision training breaks."""

    name: str
    #: What it is, in one sentence.
    summary: str
    #: How it looks in a run.
    looks: str
    #: The next step, one line.
    hint: str
    #: Public threads in which it was met.
    seen: tuple[str, ...] = ()


_CAUSES = (
    Cause(
        "gradient-blocked",
        "No gradient reaches the weights behind the quantizer.",
        "The loss stays where it started, since the weights do not move; where the largest of them get a gradient "
        "through their scale, it falls a little, under optimizers that normalize (Muon, Adam) more.",
        "round() has no gradient; use x + (q(x) - x).detach().",
        ("meta-pytorch/MSLK PR 348", "NVIDIA/TransformerEngine PR 3281"),
    ),
    Cause(
        "gradient-wrong",
        "The quantizer's backward points elsewhere than the straight-through estimator's.",
        "The loss wanders or climbs; a negated gradient diverges.",
        "compare backward with x + (q(x) - x).detach() on the same forward; look for a sign or a constant.",
        ("PannenetsF/TQT issue 4",),
    ),
    Cause(
        "gradient-misscaled",
        "The gradient has the right direction and the wrong size.",
        "Adaptive optimizers hide it; SGD stands still or diverges.",
        "backward must not multiply or divide by the scale: quantize divides by it and dequantize multiplies.",
    ),
    Cause(
        "not-dequantized",
        "The output is on another scale than the input: the factor of the scale is missing or applied twice.",
        "The first loss is far above chance, or, behind a norm, learning is slow.",
        "multiply the rounded codes by the scale that x was divided by, once.",
        ("kyegomez/BitNet PR 33", "zzzxxxttt/pytorch_DoReFaNet issue 9"),
    ),
    Cause(
        "range-collapsed",
        "The grid does not fit the values: most of them fall to 0.",
        "BPB of exactly 7.0000, or a layer that contributes nothing.",
        "scale the values to the grid before rounding, per tensor or per block (amax to the largest code).",
        ("calad0i/HGQ2 issues 11 and 13",),
    ),
    Cause(
        "sign-lost",
        "Negative values do not survive quantization.",
        "It learns, and far worse than its control.",
        "an unsigned grid needs a zero point: q = round(x / s) + z, and (q - z) * s back.",
        ("intel/neural-compressor PR 1611", "1bit-MONSTER issue 704"),
    ),
    Cause(
        "update-swallowed",
        "The weights are stored on the grid, and the steps are too small to reach the next code.",
        "The loss stays where it started although the gradient is right; a larger learning rate hides it.",
        "keep a float32 master copy, or use stochastic rounding.",
        ("NVIDIA-NeMo/Automodel PR 3444", "workofart/ml-by-hand PR 85", "NVIDIA/apex PR 1731"),
    ),
    Cause(
        "no-op",
        "Nothing is quantized: what is called a low-precision format is float32.",
        "The curve is bit for bit the float32 control's: the best score in the table.",
        "check the toggle, the name and the compiled graph; declare lossless=True if it is meant.",
        ("hiyouga/LlamaFactory 9500", "openai/parameter-golf PR 1032", "google/qkeras 60"),
    ),
    Cause(
        "partly-applied",
        "Only some of the weights are quantized.",
        "A gap to the control that is smaller than the format's own.",
        "quantize every matrix, or register the format under the name of what it really covers.",
        ("pytorch/ao issue 2241",),
    ),
    Cause(
        "orphaned-parameter",
        "A parameter has a gradient and never moves: the optimizer does not hold it.",
        "It learns late or stops early.",
        "build the optimizer after modules were swapped.",
        ("IntelLabs/distiller issue 35",),
    ),
    Cause(
        "clip-gradient-lost",
        "Values at the edge of the range get no gradient although they were not clipped.",
        "A small gap to the control that grows with time: the largest weights stand still.",
        "mask with >= and <=, on the rounded code: the largest value itself is inside the range.",
        ("pytorch/ao PR 4806",),
    ),
    Cause(
        "scale-stale",
        "The scale does not follow the values: it was taken once, or from something smaller.",
        "It learns until the weights have outgrown the range, then stops.",
        "take the scale anew at each step, or from a running maximum that can grow.",
        ("NVIDIA/TransformerEngine issues 1047 and 825", "pytorch PR 27113"),
    ),
    Cause(
        "scale-zero",
        "A tensor, row or block of zeros gives a scale of 0, and 0 / 0.",
        "NaN at the first step of a model with a layer that starts at 0, nothing elsewhere.",
        "clamp the scale away from 0: scale = amax.clamp(min=1e-12) / qmax.",
        ("pytorch/ao issue 3356", "Megatron-LM PR 7523"),
    ),
    Cause(
        "optimizer-state",
        "The optimizer's state loses small values: a wrong 8-bit map, or an eps that half precision rounds to 0.",
        "Adaptive optimizers take steps of the wrong size; SGD is immune.",
        "compare the step with the algorithm's formula (momentum, bias corrections); keep eps in float32, and map an "
        "8-bit second moment with a dynamic code per block.",
        ("bitsandbytes issue 227", "keras-hub PR 2629", "optax PR 1754"),
    ),
    Cause(
        "rounding-biased",
        "Values are truncated or floored, not rounded to nearest.",
        "It learns a little worse, or drifts.",
        "use round(), half to even, before the cast.",
        ("Tiiiger/QPyTorch issue 23", "BitMat PR 13"),
    ),
    Cause(
        "rounding-not-random",
        "Stochastic rounding draws the same numbers each time.",
        "Nothing in 100 steps; a bias that never averages out in a long run.",
        "draw from torch's generator, and do not seed it inside the quantizer.",
        ("karpathy/llm.c PR 597",),
    ),
    Cause(
        "wrong-table",
        "The codebook is not the published one that the name claims.",
        "It learns about as well, and is not interchangeable with other implementations.",
        "copy the table's float32 values: quantgate.get_format('nf4').values.",
        ("paiml/entrenar issue 298",),
    ),
    Cause(
        "wrong-axis",
        "Scales are shared along another axis, or by larger or smaller groups, than is declared.",
        "It learns about as well, or a little worse; scales that are exported fit other values.",
        "reduce along the last axis of the weight (its inputs) for scales of rows and of groups.",
    ),
    Cause(
        "nonconforming",
        "The quantizer is not the built-in format that it is declared to be.",
        "It learns about as well; a table, a rounding or a range differs from the specification's.",
        "compare the values that are shown with the format's specification: what shares a scale, then ties, the "
        "range and subnormals.",
    ),
    Cause(
        "train-deploy-mismatch",
        "What is exported is not what was trained.",
        "The curve is right; the deployed model is not.",
        "derive scale and zero point once, and use the same for training and export.",
        ("pytorch/ao PR 4824",),
    ),
    Cause(
        "grad-format",
        "Gradients are cast to a format in which they underflow.",
        "It learns early and stops as gradients become small.",
        "scale the gradient before the cast and unscale it after, per tensor.",
    ),
    Cause(
        "qparams-invalid",
        "A learned scale is negative, crossed 0, or gets no gradient; or a zero point does nothing.",
        "Fine, or NaN, depending on the step.",
        "learn the logarithm of the scale, or clamp it; check that its gradient is not detached, and that codes "
        "move by the zero point.",
    ),
    Cause(
        "overflow-wrapped",
        "Codes beyond the largest wrap around: a large value comes back with another sign or size.",
        "The largest weights turn over, now and then or in every row.",
        "clamp to the largest code before the cast to integers.",
    ),
    Cause(
        "not-monotonic",
        "A larger value comes back smaller than a smaller one: codes are exchanged.",
        "It learns, a little worse; the codebook, the order of nibbles or a carry is wrong.",
        "decode every code in order and look for the first that falls; compare it with the published table.",
    ),
    Cause(
        "scale-misplaced",
        "Values are quantized with the scale of another row, column or group.",
        "It learns a little worse, more so where rows differ in size; square layers hide a wrong axis.",
        "repeat_interleave scales over groups, and keepdim=True in amax; a plain repeat or reshape mixes them up.",
    ),
    Cause(
        "too-many-levels",
        "The quantizer gives more distinct values than the declared bits have codes.",
        "It learns better than such a format can: a clamp is missing, or the bits are not those.",
        "clamp the codes to the declared range, or declare the bits that it has.",
    ),
    Cause(
        "not-reproducible",
        "Two quantizers give different results under one torch seed.",
        "It trains, and no run can be repeated.",
        "draw from torch's generator; register what keeps state with factory=.",
    ),
    Cause(
        "non-finite",
        "A loss, gradient or weight became inf or NaN.",
        "NaN from the named step on.",
        "guard the scale against 0 (an all-zero row or block) and the exponent against overflow.",
        ("pytorch/ao issue 3356", "Megatron-LM PR 7523"),
    ),
    Cause(
        "contract",
        "The subject breaks its contract: another shape or dtype, NaN, or its input changed.",
        "Rejected before it is trained.",
        "return a new tensor of the input's shape and dtype.",
    ),
    Cause(
        "implausible",
        "It ends far below its float32 control, by other means than its numbers.",
        "The best curve of the run: a patched loss, a larger model, held-out text that was trained on.",
        "look for what it changes beside the weights' numbers: the loss, the model, the data, torch itself.",
    ),
    Cause(
        "resolution",
        "The grid is too coarse for this optimizer at this rate.",
        "It learns slowly or not at all, with every other measurement in order.",
        "scale by the mean instead of the maximum, scale per row or block, or take more bits.",
    ),
    Cause(
        "unexplained",
        "No probe found a reason.",
        "",
        "run it with another seed and a larger width, and please report it.",
    ),
)

#: Every cause by its name.
CAUSES: Mapping[str, Cause] = MappingProxyType({cause.name: cause for cause in _CAUSES})
