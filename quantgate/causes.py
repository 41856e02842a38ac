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
        "The loss stays where it started; under every optimizer the weights do not move.",
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
