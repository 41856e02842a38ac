"""How the cells of a run were trained, and what their scores are held against, in words; what no record says is not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from quantgate.records.result import CellResult
from quantgate.records.verdict import Limits

#: More different numbers of steps than these are given by the least and the most.
_MOST = 3


def training(shown: Sequence[CellResult]) -> str:
    """`100 steps on builtin`; cells of several lengths and texts name them all, and a log names no text."""
    steps = sorted({each.steps for each in shown if each.steps is not None})
    corpora = dict.fromkeys(each.corpus["name"] for each in shown if each.corpus.get("name"))
    length = f"{_numbers(steps)} step{'s' * (steps != [1])}" if steps else "steps that are not recorded"
    return f"{length} on {', '.join(corpora)}" if corpora else length


def chances(shown: Iterable[CellResult]) -> list[float]:
    """What models that know nothing score in these cells, in bits; empty where no record says."""
    return sorted({round(each.chance, 2) for each in shown if each.chance is not None})


def lines(limits: Limits, shown: Sequence[CellResult]) -> str:
    """`below 6.50 passes, 6.90 is dead, 7.00 is chance`."""
    found = " or ".join(f"{each:.2f}" for each in chances(shown))
    chance = f"{found} is chance" if found else "chance is not recorded"
    return f"below {limits.fail_bpb:.2f} passes, {limits.dead_bpb:.2f} is dead, {chance}"


def _numbers(values: Sequence[int]) -> str:
    """`100`, `30, 50 and 100`, `5 to 24,000`."""
    texts = [f"{each:,}" for each in values]
    if len(texts) > _MOST:
        return f"{texts[0]} to {texts[-1]}"
    return " and ".join(filter(None, (", ".join(texts[:-1]), texts[-1])))
