"""Evidence from dumped weights: what the probes measure of a cell that the gate trains, of one that it did not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from quantgate.diagnosis.evidence import Evidence, NonFinite, TensorEvidence
from quantgate.probes.movement import Movement
from quantgate.probes.tensors import tensor_evidence
from quantgate.probes.training import LONG_ENOUGH
from quantgate.trainers.declared import shares_as_declared
from quantgate.trainers.dump import Array, Moment, Tensors
from quantgate.trainers.sharing import levels, one_way, peak


def evidence_of(
    moments: Sequence[Moment], bits: float | None = None, granularity: str | None = None
) -> Evidence:
    """What the tensors of a dump show.

    Args:
        moments: What was dumped, by step; at least one.
        bits: Of an element; None where unknown.
        granularity: Which values are declared to share a scale; None where nothing is.
    """
    if (bad := _not_finite(moments)) is not None:
        return Evidence(non_finite=bad)
    first = {name: _quantized(moments[0], name)[:2] for name in moments[0].tensors["weights"]}
    relations, shared = levels(first, bits), None
    if granularity is not None and bits is not None:
        # At the start rows may be of one size, and learned scales of theirs have the same value.
        last = {name: _quantized(moments[-1], name)[:2] for name in moments[-1].tensors["weights"]}
        shared, found = shares_as_declared(last, bits, granularity)
        relations = replace(relations, reach=found)
    return Evidence(
        weights=tuple(each for moment in moments for each in _tensors(moment, bits)),
        update_survival=_survival(moments),
        unmoved=_unmoved(moments[0], moments[-1]),
        one_way=one_way(first, bits),
        relations=relations,
        granularity=granularity,
        shares_as_declared=shared,
    )


def _not_finite(moments: Sequence[Moment]) -> NonFinite | None:
    for moment in moments:
        for role, tensors in moment.tensors.items():
            for name, array in tensors.items():
                if not np.isfinite(array).all():
                    return NonFinite(f"{role} of {name}", moment.step)
    return None


def _tensors(moment: Moment, bits: float | None) -> list[TensorEvidence]:
    gradients, references = moment.tensors.get("gradient", {}), moment.tensors.get("reference", {})
    found = []
    for name in moment.tensors["weights"]:
        x, q, asked = _quantized(moment, name)
        gradient, reference = gradients.get(name), references.get(name)
        compared: tuple[Tensor | None, Tensor | None] = (None, None)
        if gradient is not None and reference is not None:
            compared = (_torch(gradient[asked]), _torch(reference[asked]))
        seen = tensor_evidence(name, moment.step, _torch(x[asked]), _torch(q[asked]), *compared)
        left, of = peak(x, q, bits)
        found.append(replace(seen, peak=left, peak_of=of))
    return found


def _quantized(moment: Moment, name: str) -> tuple[Array, Array, Any]:
    """A tensor before and after it is quantized, and which of its elements show that.

    Where weights are stored on the grid, the store quantizes, and what the step did not move says nothing.
    """
    x, q = moment.tensors["weights"][name], moment.tensors["quantized"][name]
    wanted, stored = (moment.tensors.get(role, {}).get(name) for role in ("intended", "stored"))
    if wanted is None or stored is None or not np.array_equal(x, q) or np.array_equal(wanted, stored):
        return x, q, ...
    return wanted, stored, wanted != x


def _survival(moments: Sequence[Moment]) -> float | None:
    """The share of the intended update that is stored; None where that was not dumped.

    It is sum <stored - weights, intended - weights> / sum |intended - weights|^2.
    """
    survived, intended = 0.0, 0.0
    for moment in moments:
        stored, wanted = moment.tensors.get("stored", {}), moment.tensors.get("intended", {})
        for name in stored.keys() & wanted.keys():
            before = moment.tensors["weights"][name].astype(np.float64)
            step = (wanted[name] - before).ravel()
            survived += float(step @ (stored[name] - before).ravel())
            intended += float(step @ step)
    return survived / intended if intended else None


def _unmoved(first: Moment, last: Moment) -> float | None:
    """The share of the elements with a gradient that are where they were, many steps later."""
    if last.step - first.step < LONG_ENOUGH:
        return None
    movement = Movement()
    movement.note(_parameters(first.tensors["weights"], first.tensors.get("gradient", {})))
    return movement.unmoved(_parameters(last.tensors["weights"], {}))


def _parameters(weights: Tensors, gradients: Tensors) -> list[tuple[str, nn.Parameter]]:
    found = []
    for name, x in weights.items():
        p = nn.Parameter(_torch(x))
        if name in gradients:
            p.grad = _torch(gradients[name])
        found.append((name, p))
    return found


def _torch(array: Array) -> Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float32))
