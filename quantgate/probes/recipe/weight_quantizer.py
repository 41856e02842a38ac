"""The quantizer inside a layer of a recipe, as a function of the float32 weight: what the probes of a format ask.

Nobody hands a recipe's quantizer over, but a copy of the layer quantizes whatever weight is written into it. What the
layer then computes with is what its linear map reads, or else its output for the unit vectors.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from quantgate.diagnosis.evidence import RelationEvidence, RoundingEvidence
from quantgate.probes.quantizer.calls import SEED, Shape, seeded
from quantgate.probes.quantizer.ramp import RUN, levels_kept, ramp, rounding_evidence
from quantgate.probes.quantizer.relations import relations
from quantgate.probes.recipe.layers import Call, Layer, Recorder
from quantgate.probes.recipe.masters import plain
from quantgate.training.fakequant import Quantizer

#: In decibels: the copy must compute with the weight that the layer was seen to compute with.
SAME_WEIGHT = 60.0


def weight_quantizer(
    module: nn.Module, layer: Layer, parameter: str, master: Tensor, seen: Tensor
) -> Callable[[], Quantizer] | str:
    """Makes the quantizer of a linear layer's weight, each from a copy of the layer; or why there is none.

    Args:
        module: The layer as the recipe left it.
        layer: The layer as it was.
        parameter: The name in the module of the parameter that holds the float32 weight.
        master: Its values.
        seen: The weight that the layer computed with.
    """
    if layer.kind != "Linear" or master.shape[1] % RUN:
        return "no linear layer whose inputs are a multiple of 16"
    units = torch.eye(master.shape[1], device=master.device)[None]

    def make() -> Quantizer:
        twin = copy.deepcopy(module)
        written = plain(twin.get_parameter(parameter))
        assert written is not None

        def quantize(weight: Tensor) -> Tensor:
            written.copy_(weight)
            call = Call(units)
            with Recorder() as inside:
                inside.open.append(call)
                call.y = twin(units)
            read = call.maps[-1].weight.detach().float() if call.maps else None
            if read is not None and read.shape == weight.shape and not torch.equal(read, weight):
                return read.clone()
            return call.y[0].T.detach().float().contiguous()

        return quantize

    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            found = seeded(make(), master.detach().clone())
    except Exception as error:  # a library's own code, called as it need not be
        return f"a copy of the layer cannot be asked ({type(error).__name__})"
    noise = float((found - seen).norm()) if found.shape == seen.shape else math.inf
    if not noise <= 10 ** (-SAME_WEIGHT / 20) * float(seen.norm()):
        return "a copy of the layer computes with another weight"
    return make


def weight_evidence(
    make_quantizer: Callable[[], Quantizer], shape: Shape, peak: float, bits: float | None
) -> tuple[RoundingEvidence, RelationEvidence]:
    """How the quantizer of a layer's weight rounds, and the relations that it keeps.

    Args:
        make_quantizer: From `weight_quantizer`.
        shape: Of the weight.
        peak: The largest element of the weight: a scale that was calibrated covers as much.
        bits: Declared bits of an element; None where unknown.
    """

    def make() -> Quantizer:
        quantize = make_quantizer()
        return lambda x: quantize(x * peak) / peak

    with torch.random.fork_rng(devices=[]):
        steps = ramp(shape=shape)
        q, again = seeded(make(), steps.clone()), seeded(make(), steps.clone(), SEED + 1)
        same = levels_kept(lambda x: seeded(make(), x), steps, q)
        rounding = rounding_evidence(
            steps, q, again, q, same
        )  # not rolled: rows may have scales of their own
        kept = relations(make, steps, q, bits=bits, varies=rounding.varies, by_place=0.0, only=shape)
    return rounding, kept
