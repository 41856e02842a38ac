"""The learning rates: low enough that a swallowed update shows, high enough that the control learns.

    python -m tests.benchmarks.rates --corpora builtin,PATH/tinyshakespeare.txt --jobs 8

For each optimizer, width and corpus, over the seeds: the final score (BPB, chance 7) of the float32 control,
of a healthy ternary quantizer with a master copy, and of int4 and int8 whose weights are requantized in place
after each step, which at production rates swallows every update. A rate holds if the worst control is below
6.0, the worst ternary below 6.5 and the best in-place int4 at 6.9 or more. In-place int8 is shown for what it
is: where it still learns, the update's survival must condemn it, and the last column says whether it did.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from quantgate.records.cell import SEEDS, Config
from tests.benchmarks.gaps import corpus_of, grouped
from tests.benchmarks.sweep import Record, add_common, run, units
from tests.benchmarks.tables import table

CONTROL_BELOW = 6.0
TERNARY_BELOW = 6.5
DEAD_FROM = 6.9

_HEAD = (
    "optimizer", "width", "corpus", "rate", "control", "ternary", "in-place int4", "in-place int8",
    "holds", "int8 flagged",
)  # fmt: skip


def rows(records: Sequence[Record]) -> list[tuple[object, ...]]:
    """One row for each optimizer, width and corpus."""
    keyed = grouped(records, lambda r: (r["optimizer"], r["width"], corpus_of(r)))
    return [_row(key, group) for key, group in sorted(keyed.items())]


def _row(key: tuple[Any, ...], group: Sequence[Record]) -> tuple[object, ...]:
    control = _scores(group, lambda r: r["kind"] == "control")
    ternary = _scores(group, lambda r: r["subject"] == "ternary_absmean")
    int4 = _scores(group, lambda r: r["subject"] == "int4")
    int8 = _scores(group, lambda r: r["subject"] == "int8")
    holds = max(control) < CONTROL_BELOW and max(ternary) < TERNARY_BELOW and min(int4) >= DEAD_FROM
    judged = [r for r in group if r["subject"] == "int8"]
    flagged = sum(r["verdict"] != "learns" for r in judged)
    return (
        *key,
        f"{group[0]['lr']:.3g}",
        max(control),
        max(ternary),
        min(int4),
        f"{min(int8):.3f} .. {max(int8):.3f}",
        "yes" if holds else "NO",
        f"{flagged} of {len(judged)}",
    )


def _scores(group: Sequence[Record], chosen: Any) -> list[float]:
    """Final scores; one that is not finite counts as infinite."""
    return [float("inf") if r["bpb"] is None else r["bpb"] for r in group if chosen(r)]


def main() -> int:
    """Measure and print; exit status 1 if a rate does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_common(parser, seeds=SEEDS[:3], widths=[32, 64, 128])
    given = parser.parse_args()
    planned = units(
        [("ternary_absmean", "master"), ("int4", "inplace"), ("int8", "inplace")],
        given.optimizers,
        given.seeds,
        given.widths,
        given.corpora,
        Config(steps=given.steps),
    )
    found = rows(list(run(planned, given.jobs)))
    print("Control, ternary: highest over the seeds; in-place int4: lowest; int8: range.\n")
    print(table(_HEAD, found))
    broken = [row for row in found if row[8] != "yes"]
    lines = f"control < {CONTROL_BELOW}, ternary < {TERNARY_BELOW}, in-place int4 >= {DEAD_FROM}"
    print(f"\n{lines}: {'holds everywhere' if not broken else f'broken in {len(broken)} rows'}.")
    return 1 if broken or len(found) == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
