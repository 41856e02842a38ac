"""How the cells of a run were trained, and what their scores are held against, in words; what no record says is not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from quantgate.records.result import CellResult
from quantgate.records.verdict import Limits

#: More different numbers of steps than these are given by the least and the most.
_MOST = 3


def training(shown: Sequence[CellResult]) -> str:
    """`100 steps on builtin`; cells of several lengths and texts name them all."""
    steps = sorted({each.steps for each in shown if each.steps is not None})
    corpora = dict.fromkeys(each.corpus["name"] for each in shown if each.corpus.get("name"))
    count = (
        f"{steps[0]:,} to {steps[-1]:,}"
        if len(steps) > _MOST
        else " and ".join(f"{each:,}" for each in steps)
    )
    length = f"{count} step{'s' * (steps != [1])}" if steps else "steps that are not recorded"
    return f"{length} on {', '.join(corpora) or 'a text that is not recorded'}"


def chances(shown: Iterable[CellResult]) -> list[float]:
    """What models that know nothing score in these cells, in bits; empty where no record says."""
    return sorted({round(each.chance, 2) for each in shown if each.chance is not None})


def lines(limits: Limits, shown: Sequence[CellResult]) -> str:
    """`below 6.50 passes, 6.90 is dead, 7.00 is chance`."""
    found = " or ".join(f"{each:.2f}" for each in chances(shown))
    chance = f"{found} is chance" if found else "chance is not recorded"
    return f"below {limits.fail_bpb:.2f} passes, {limits.dead_bpb:.2f} is dead, {chance}"
