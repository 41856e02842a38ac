"""The lanes: how much worse than its baseline a cell may end, by what differs between the two trainings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from quantgate.baselines.document import is_reproducible
from quantgate.records.result import CellResult
from quantgate.records.verdict import gap_tolerance


class Lane(StrEnum):
    """What can be asked of two trainings of one cell."""

    #: Equal bits: nothing differs that changes them.
    EXACT = "exact"
    #: The same arithmetic, rounded otherwise: another machine, another torch.
    PORTABLE = "portable"
    #: Other random numbers, or a trainer whose bits nobody vouches for.
    STATISTICAL = "statistical"


#: What changes bits, or may, with what it is where a record does not say. numpy and Python change none.
FINGERPRINT = {
    **dict.fromkeys(("torch", "isa", "cpu", "threads", "device"), "unknown"),
    **dict.fromkeys(("mkl_cbwr", "mkl_enable_instructions", "onednn_max_cpu_isa"), "unset"),
}
# The figures are those of `python -m tests.benchmarks.portability`, on one processor (AVX512); no GPU was at hand.
# Largest differences in BPB after 100 steps, builtin corpus, width 64, seed 47:
#   a rerun; torch 2.9.1, 2.10, 2.11 and 2.12 beside 2.13; numpy 1.26   none: every curve is equal, bit for bit
#   ATEN_CPU_CAPABILITY=default, 57 cells of the `pr` matrix   0.0003; under Muon 0.021 to 4 bits, 0.0039 to 8, 0.0002
#   the same for Adafactor, RMSprop and Lion, to 8 bits        0.0009, 0.0002, 0.0001
#   the same for int2, ternary, int3, stochastic int4          0.0003; under Muon 0.038
#   avx2; torch 2.9.1 with `default`                           0.016; 0.021, both under Muon to 4 bits
#   MKL_CBWR=COMPATIBLE; ONEDNN_MAX_CPU_ISA=SSE41              0.0085; 0.012, both under Muon to 4 bits
#   seeds 47, 89, 123, 144   0.18 of a score, most of which the control shares; of the gap to it 0.43 of the tolerance
#                            for the gap (gf4 under AdamW), 0.19 for all others

#: How much a score may move between machines (BPB): three times what was seen.
PORTABLE_BPB = 0.003
#: The same after the 2,000 steps of the long lane, where ATEN_CPU_CAPABILITY=default moves gf4 by 0.0028 under AdamW,
#: and by 0.020 under Muon.
PORTABLE_LONG_BPB = 0.01
#: The same under Muon, by the most bits it holds for: it makes small gradients as large as others, so that what was
#: rounded otherwise soon matters.
_PORTABLE_MUON: tuple[tuple[float, float], ...] = ((4, 0.1), (8, 0.012), (math.inf, PORTABLE_BPB))
#: The optimizers of which that was measured; any other may be as Muon is.
_STEADY = frozenset({"adamw", "sgd", "lion", "rmsprop", "adafactor"})
#: How much the gap to the control may move between seeds, as a share of the tolerance for the gap: 1.5 times.
STATISTICAL_SHARE = 0.65
#: How much a score may move between seeds (BPB) where there is no control: 1.6 times.
STATISTICAL_BPB = 0.3


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
        **{name: result.environment.get(name, default) for name, default in FINGERPRINT.items()},
        "quantgate": result.quantgate,
    }


def tolerance(lane: Lane, result: CellResult, *, by_gap: bool) -> float:
    """How much worse (BPB) a cell may end, or its gap to the control may be."""
    bits = result.evidence.get("bits")
    known = float(bits) if isinstance(bits, int | float) else None
    match lane:
        case Lane.EXACT:
            return 0.0
        case Lane.PORTABLE if result.optimizer in _STEADY:
            return PORTABLE_BPB if result.lane is None else PORTABLE_LONG_BPB
        case Lane.PORTABLE:
            most = next(most for limit, most in _PORTABLE_MUON if (known or 0.0) <= limit)
            return most if result.lane is None else max(most, PORTABLE_LONG_BPB)
        case Lane.STATISTICAL if not by_gap:
            return STATISTICAL_BPB
    stated = result.evidence.get("tolerance")
    gap = (
        float(stated)
        if isinstance(stated, int | float)
        else gap_tolerance(known, result.optimizer, result.cell.lane)
    )
    return STATISTICAL_SHARE * gap
