"""The lanes: how much worse than its baseline a cell may end, by what differs between the two trainings."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from quantgate.baselines.document import is_reproducible
from quantgate.records.result import CellResult


class Lane(StrEnum):
    """What can be asked of two trainings of one cell."""

    #: Equal bits: nothing differs that changes them.
    EXACT = "exact"
    #: The same arithmetic, rounded otherwise: another machine, another torch.
    PORTABLE = "portable"
    #: Other random numbers, or a trainer whose bits nobody vouches for.
    STATISTICAL = "statistical"


#: What changes bits, or may. numpy and Python only make texts into tensors.
FINGERPRINT = ("torch", "isa", "cpu", "threads", "device")
#: What a score moves by between machines (BPB), three times what was seen; few bits under Muon are chaotic, since
#: orthogonalizing makes small gradients as large as others.
PORTABLE_BPB, PORTABLE_FEW_BITS_MUON_BPB, FEW_BITS = 0.003, 0.06, 8
#: The optimizers of which that was measured; of others, nothing is known.
MEASURED = frozenset({"adamw", "sgd", "lion", "rmsprop", "adafactor"})
STATISTICAL_BPB = 0.1


def lane_of(before: CellResult, now: CellResult) -> tuple[Lane, str]:
    """The lane of two trainings of a cell, and what differs between them, in words."""
    seeds = [str(each.evidence.get("judged_seed", each.seed)) for each in (before, now)]
    if seeds[0] != seeds[1]:
        return Lane.STATISTICAL, f"seed {seeds[0]} there, {seeds[1]} here"
    if "trainer" in {before.kind, now.kind}:
        return Lane.STATISTICAL, "a trainer from elsewhere"
    if not (is_reproducible(before) and is_reproducible(now)):
        return Lane.STATISTICAL, "its quantizer gives other values in every run"
    there, here = fingerprint(before), fingerprint(now)
    differing = [
        f"{name} {there[name]} there, {here[name]} here" for name in here if there[name] != here[name]
    ]
    if there["device"] != here["device"]:
        return Lane.STATISTICAL, "; ".join(differing)
    if differing:
        return Lane.PORTABLE, "; ".join(differing)
    if here["device"] != "cpu":
        return Lane.PORTABLE, f"{here['device']} may add up in another order"
    return Lane.EXACT, ""


def fingerprint(result: CellResult) -> Mapping[str, Any]:
    """What the bits of a training depend on, beside the cell: libraries, machine, this package."""
    return {
        **{name: result.environment.get(name, "unknown") for name in FINGERPRINT},
        "quantgate": result.quantgate,
    }


def tolerance(lane: Lane, result: CellResult) -> float:
    """How much worse (BPB) a cell may end."""
    if lane is Lane.EXACT:
        return 0.0
    if lane is Lane.STATISTICAL:
        return STATISTICAL_BPB
    bits = result.evidence.get("bits")
    is_steady = result.optimizer in MEASURED or (
        result.optimizer == "muon" and isinstance(bits, int | float) and bits > FEW_BITS
    )
    return PORTABLE_BPB if is_steady else PORTABLE_FEW_BITS_MUON_BPB
