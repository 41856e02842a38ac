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
from quantgate.probes.recipe.masters import Master, plain
from quantgate.training.fakequant import Quantizer

#: In decibels: the copy must compute with the weight that the layer was seen to compute with.
SAME_WEIGHT = 60.0
#: The weight of twice the size is quantized alike.
NORMED = 0.05
#: A grid changes so many of its values.
CHANGED = 0.5


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

    def make() -> Quantizer:
        twin = copy.deepcopy(module)
        return lambda weight: _computed(twin, parameter, weight)

    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            found = seeded(make(), master.detach().clone())
            doubled = seeded(make(), 2 * master.detach())
    except Exception as error:  # a library's own code, called as it need not be
        return f"a copy of the layer cannot be asked ({type(error).__name__})"
    noise = float((found - seen).norm()) if found.shape == seen.shape else math.inf
    if not noise <= 10 ** (-SAME_WEIGHT / 20) * float(seen.norm()):
        return "a copy of the layer computes with another weight"
    if float((doubled - found).norm()) <= NORMED * float(found.norm()):
        return "its weight is normed before it is quantized"
    return make


def _computed(twin: nn.Module, parameter: str, weight: Tensor) -> Tensor:
    """What a copy of a layer computes with where its float32 weight is this one."""
    written = plain(twin.get_parameter(parameter))
    assert written is not None
    with torch.no_grad():
        written.copy_(weight)
    call = Call(torch.eye(weight.shape[1], device=weight.device)[None])
    with Recorder() as inside:
        inside.open.append(call)
        call.y = twin(call.x)
    read = call.maps[-1].weight.detach().float() if call.maps else None
    if read is not None and read.shape == weight.shape and not torch.equal(read, weight):
        return read.clone()
    return call.y[0].T.detach().float().contiguous()


def mode_mismatch(module: nn.Module, path: str, master: Master) -> str | None:
    """Whether a layer quantizes its weight where it is trained, scored and deployed alike, in a sentence where not.

    Args:
        module: The layer as the recipe left it.
        path: Its name in the model.
        master: Its float32 weight.
    """
    parameter, weight = master.parameter, master.values
    changed: dict[str, float] = {}
    try:
        for name, training, gradients in (
            ("the training", True, True),
            ("the scoring", True, False),
            ("a deployed model", False, False),
        ):
            twin = copy.deepcopy(module).train(training)
            with torch.random.fork_rng(devices=[]), torch.set_grad_enabled(gradients):
                changed[name] = float((_computed(twin, parameter, weight.clone()) != weight).float().mean())
    except Exception:  # a library's own code, called as it need not be
        return None
    if max(changed.values()) < CHANGED or min(changed.values()) > 0:
        return None
    shares = ", ".join(f"{share:.0%} in {name}" for name, share in changed.items())
    return f"{path} changes other shares of its weight: {shares}."


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
