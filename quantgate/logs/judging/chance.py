"""What a model that knows nothing scores, and in which unit: told by how the runs start."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from quantgate.logs.aggregate import Run
from quantgate.logs.judging.rules import FAR_ABOVE, NEAR_CHANCE, UNIT_SLACK, Unit, bits_in
from quantgate.records.verdict import CHANCE_BPB

#: Symbols of vocabularies in use: characters of tiny shakespeare, ASCII, bytes, BERT, Llama 2, GPT-2, GPT-4, Llama 3,
#: Qwen, GPT-4o, Gemma. One that is padded, or nearly as large, is the same here: chance differs by 0.04 bits at most.
VOCABULARIES = (65, 128, 256, 30522, 32000, 50257, 100277, 128256, 151936, 200019, 256000)
#: The first score over chance: initial weights that are small give chance and a little more, and the first that is
#: logged may be of a step or two later.
_USUAL = (0.97, 1.06)
#: Where the unit is not what the column's name says, the start must be chance itself.
_EXACT = (0.99, 1.02)
#: A score of this share of all steps, or of step 10, is still a first one.
_EARLY_SHARE, _EARLY_STEP = 0.01, 10


@dataclass(frozen=True)
class Scale:
    """The unit and chance of a fleet, and why."""

    unit: Unit
    unit_why: str
    #: Bits a symbol.
    chance: float
    chance_why: str
    #: Whether it was given, or the runs start at it; else a start elsewhere may be chance too.
    certain: bool


def find_scale(runs: Sequence[Run], chance: float | None, unit: Unit | None, bits_named: bool) -> Scale:
    """The unit and chance: as given, or as the first scores of the runs say.

    Args:
        runs: The runs that are judged.
        chance: As given, in bits; None derives it.
        unit: As given; None derives it.
        bits_named: Whether the column of scores is named as bits are; a loss is in nats by convention.
    """
    firsts = [run.stretches[0].mean for run in runs if run.stretches[0].mean is not None]
    if chance is not None:
        is_unit, why = (unit, "given") if unit is not None else _unit(firsts, chance, bits_named)
        symbols = f"{2**chance:,.0f} symbols" if chance < 60 else "given"
        return Scale(is_unit, why, chance, symbols, certain=True)
    starts = [score for run in runs if (score := _start(run)) is not None]
    named: Unit = unit or ("bits" if bits_named else "nats")
    other: Unit = "nats" if named == "bits" else "bits"
    why = "given" if unit is not None else "the column says so" if bits_named else "a loss is, by convention"
    if found := _vocabulary(starts, named, _USUAL):
        return _starting(*found, named, why)
    if found := _vocabulary(starts, other, _EXACT):
        size, first = found
        if unit is None and not bits_named:
            return _starting(size, first, other, f"the first scores, {first:.2f}, are chance in {other}")
        # Each run is then refused, with the other unit as the likely mistake.
        return Scale(named, why, math.log2(size), f"{size:,} symbols, in {other}", certain=True)
    shown = sorted(score * bits_in(named) for score in firsts)
    near = [score for score in shown if NEAR_CHANCE <= score / CHANCE_BPB <= FAR_ABOVE]
    if near:
        return Scale(
            named, why, CHANCE_BPB, f"128 symbols: the runs start near it, at {median(near):.2f}", True
        )
    seen = f"the runs start at {median(shown):.2f}, chance of no known vocabulary" if shown else "no run says"
    return Scale(
        named, why, CHANCE_BPB, f"128 symbols, assumed: {seen}; --vocabulary or --chance say it", False
    )


def _starting(size: int, first: float, unit: Unit, why: str) -> Scale:
    start = first * bits_in(unit)
    return Scale(unit, why, math.log2(size), f"{size:,} symbols: the runs start at {start:.2f}", certain=True)


def _start(run: Run) -> float | None:
    """The first score of a run, as logged; None where it is of a later step, or not finite."""
    first = run.stretches[0]
    early = max(_EARLY_STEP, _EARLY_SHARE * run.last_step)
    return first.mean if first.first <= early else None


def _vocabulary(starts: Sequence[float], unit: Unit, share: tuple[float, float]) -> tuple[int, float] | None:
    """The vocabulary at whose chance the most runs start, and where the middle one of them does; None where none does.

    Args:
        starts: First scores, as logged.
        unit: What they are.
        share: The least and the most of chance that a start is taken for it.
    """
    fitting: dict[int, list[float]] = defaultdict(list)
    for score in starts:
        size = min(VOCABULARIES, key=lambda size: abs(score * bits_in(unit) / math.log2(size) - 1))
        if share[0] <= score * bits_in(unit) / math.log2(size) <= share[1]:
            fitting[size].append(score)
    if not fitting:
        return None
    most = max(fitting, key=lambda size: len(fitting[size]))
    return most, median(fitting[most])


def _unit(firsts: Sequence[float], chance: float, bits_named: bool) -> tuple[Unit, str]:
    if bits_named:
        return "bits", "the column says so"
    # A loss may still be in bits: where the runs start tells.
    middle = median(firsts) if firsts else 0.0
    if abs(middle / chance - 1) <= UNIT_SLACK:
        return "bits", f"the first scores, {middle:.2f}, are chance in bits"
    return "nats", "a loss is, by convention"
