"""Weights & Biases' export of a chart: a column of steps, and then one of scores for each run, `NAME - METRIC`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from quantgate.logs.names import USUAL

_COLUMN = re.compile(r"(?P<name>.+) - (?P<metric>.+)", re.DOTALL)
#: The bounds of what was drawn as one point.
_BOUNDS = ("__MIN", "__MAX")
_STEP = ("step", "_step", "trainer/global_step", "train/global_step", "global_step", "iteration")


@dataclass(frozen=True)
class Chart:
    """The columns of an export."""

    step: str
    metric: str
    #: The column of each run, by its name.
    runs: dict[str, str]


def find_chart(names: Sequence[str], metric: str | None) -> Chart | None:
    """The chart of a table with these columns; None where it is another table.

    Args:
        names: The columns.
        metric: The metric that is wanted; None takes the likeliest of those that are there.

    Raises:
        ValueError: It is over something else than steps, or has no such metric.
    """
    split = {name: found for name in names if (found := _COLUMN.fullmatch(name))}
    # The axis stands first, and has no run; any other column that has none makes it another table.
    if not names or names[0] in split or len(split) != len(names) - 1 or not split:
        return None
    if names[0].lower() not in _STEP:
        raise ValueError(
            f"a chart that Weights & Biases exported over {names[0]!r}; curves are judged by steps: set its X "
            "axis to Step and export it again."
        )
    runs: dict[str, dict[str, str]] = {}
    for column, found in split.items():
        if not found["metric"].endswith(_BOUNDS):
            runs.setdefault(found["metric"], {})[found["name"]] = column
    usual = [each.lower() for each in USUAL["bpb"]]
    likely = sorted((m for m in runs if m.lower() in usual), key=lambda m: usual.index(m.lower()))
    chosen = metric if metric is not None else next(iter(likely), "")
    if chosen not in runs:
        raise ValueError(
            f"a chart that Weights & Biases exported, of {', '.join(sorted(runs))}; say --columns bpb=METRIC for the "
            "one that is a loss or bits."
        )
    return Chart(names[0], chosen, runs[chosen])
