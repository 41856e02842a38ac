"""What a quantizer did in the training, beside what it answers a probe: it must not know which of the two asks.

The questions come from the trained model: its own parameters, shapes and quantizers, in an order that the run draws;
and a tensor that the training gave it is given to it once more.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from quantgate.diagnosis.evidence import DECIBELS_PER_BIT, Evidence
from quantgate.probes.crash import describe
from quantgate.probes.quantizer.ramp import RUN
from quantgate.probes.quantizer.relations import MOST_BITS, STOCHASTIC
from quantgate.probes.quantizer.scale import differs
from quantgate.training.fakequant import QuantizedModel, Quantizer, called

#: A tensor that the training gave a quantizer, and what came back, by the parameter's name.
Seen = Mapping[str, tuple[Tensor, Tensor]]

#: Share of a tensor's elements that another caller gets otherwise: 0 for a function of its input, but for a compiler's
#: last bits, which `differs` does not count.
_OTHERWISE = 0.01
#: Bits beyond the declared ones that a scale of each block may add.
_SPARE_BITS = 1
_WITHOUT_GRADIENTS = "while gradients are off, as they are when it is scored and deployed"


@dataclass(frozen=True)
class _Modes:
    """Shares of the elements that are changed in training, at the scoring, and in a deployed model."""

    training: float
    scoring: float
    deployed: float


def compared(
    evidence: Evidence, trainee: QuantizedModel, seen: Seen, *, bits: float | None, fresh: bool
) -> Evidence:
    """The evidence, with what shows only beside the training.

    Args:
        evidence: What the probes and the training showed.
        trainee: The trained model.
        seen: From a step that the run drew.
        bits: Declared bits of an element.
        fresh: Whether each parameter has a quantizer of its own, which may keep state.
    """
    names = list(trainee.weight_quantizers)
    random.SystemRandom().shuffle(names)
    try:
        evidence = replace(evidence, mode_mismatch=_mismatch(trainee, names))
        if fresh or evidence.state is not None:
            return evidence
        noisy = evidence.rounding is not None and evidence.rounding.varies > STOCHASTIC
        if not noisy and evidence.mode_mismatch is None and evidence.unrepeatable is None:
            evidence = replace(evidence, mode_mismatch=_otherwise(trainee, names, seen))
        if levels := _too_many(trainee, names, bits):
            evidence = replace(evidence, relations=replace(evidence.relations, levels=levels))
    except Exception as error:  # the subject's own code, asked once more
        missing = ("beside the training", describe(error))
        evidence = replace(evidence, not_measured=(*evidence.not_measured, missing))
    return evidence


def _mismatch(trainee: QuantizedModel, names: list[str]) -> str | None:
    """In which mode all weights come back unchanged although another changes them, in a sentence; None if in none."""
    modes = [_modes(trainee.weight_quantizers[name], trainee.model.get_parameter(name)) for name in names]
    training, scoring, deployed = (
        sum(shares) / len(modes)
        for shares in zip(*((m.training, m.scoring, m.deployed) for m in modes), strict=True)
    )
    if training and not scoring:
        return f"the training changes {training:.0%} of the weights' elements and none {_WITHOUT_GRADIENTS}."
    if training and not deployed:
        return f"the training changes {training:.0%} of the weights' elements and none in eval(), as it is deployed."
    if not training and (scoring or deployed):
        return f"{max(scoring, deployed):.0%} of the weights' elements are changed, and none of them in the training."
    return None


def _modes(quantizer: Quantizer, parameter: nn.Parameter) -> _Modes:
    x = parameter.detach()

    def changed(q: Tensor) -> float:
        return float((q.detach() != x).float().mean())

    with torch.enable_grad():
        training = changed(called(quantizer, nn.Parameter(x.clone()), "a weight"))
    with torch.no_grad():
        scoring = changed(called(quantizer, nn.Parameter(x.clone()), "a weight"))
        is_module = isinstance(quantizer, nn.Module)
        if is_module:
            quantizer.eval()  # type: ignore[attr-defined]
        deployed = changed(called(quantizer, x.clone(), "a weight"))
        if is_module:
            quantizer.train()  # type: ignore[attr-defined]
    return _Modes(training, scoring, deployed)


def _otherwise(trainee: QuantizedModel, names: list[str], seen: Seen) -> str | None:
    """The first tensor that a probe gets otherwise than the training did, in a sentence; None where there is none."""
    for name in names:
        if name not in seen:
            continue
        x, q = seen[name]
        again = called(trainee.weight_quantizers[name], x.clone().requires_grad_(), "a weight").detach()
        if (share := differs(again, q)) > _OTHERWISE:
            return f"{share:.0%} of {name} came back otherwise in the training than when a probe asked for the same."
    return None


def _too_many(trainee: QuantizedModel, names: list[str], bits: float | None) -> int | None:
    """Distinct values on a ramp of one of the model's own shapes, where they are more than so many bits can have.

    Of evenly spread values 2^b levels keep 6.02 b dB of signal over noise and no more, wherever they lie.
    """
    if bits is None or bits > MOST_BITS:
        return None
    for name in names:
        parameter = trainee.model.get_parameter(name)
        shape = parameter.shape
        if len(shape) != 2 or any(size % RUN for size in shape):
            continue
        x = _ramp(shape[0], shape[1]).to(parameter.device)
        with torch.no_grad():
            q = called(trainee.weight_quantizers[name], x.clone(), "a weight")
        noise = float((q - x).square().mean())
        distinct = 1 + int((q.flatten().sort().values.diff() > 0).sum())
        if distinct > 2**bits and float(x.square().mean()) > noise * 10 ** (
            DECIBELS_PER_BIT * (bits + _SPARE_BITS) / 10
        ):
            return distinct
    return None


def _ramp(rows: int, columns: int) -> Tensor:
    """Values in [-1, 1] in an order that the run draws, with +1 and -1 in every run of a row or a column."""
    order = torch.randperm(
        rows * columns, generator=torch.Generator().manual_seed(random.SystemRandom().getrandbits(62))
    )
    x = torch.linspace(-1, 1, rows * columns)[order].view(rows, columns).clone()
    row, column = torch.arange(rows)[:, None], torch.arange(columns)
    x[column % RUN == row % RUN], x[column % RUN == (row + 1) % RUN] = 1.0, -1.0
    return x
