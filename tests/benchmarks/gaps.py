"""Read a sweep of healthy subjects: how far they end behind their controls, and who is wrongly blamed.

    python -m tests.benchmarks.gaps cells.jsonl [more.jsonl ...]

Prints, as Markdown:
1. gaps to the control (BPB; negative where the subject ends ahead) per class of bits x optimizer, and their
   maxima per width and corpus: maxima that grow with one of these mean that one tolerance for all is wrong;
2. extremes: the most suspicious value of each measurement over all cells of lossy formats that learn, per
   class of bits, to be held against the thresholds of `quantgate/diagnose.py`;
3. false alarms: every cell of a healthy subject whose verdict is not `learns`, with its cause;
4. a proposal for `quantgate.records.verdict.gap_tolerance`: the largest healthy gap times 1.5, rounded up to 0.05.

Subjects that may fail are judged apart: their cells count in no gap, and are no false alarm where the cause
is `resolution`.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any

from quantgate.formats import BUILTIN
from tests.benchmarks.tables import table
from tests.benchmarks.unusual import MAY_FAIL

Record = dict[str, Any]

#: Upper ends of the classes of bits.
CLASSES = (1, 1.58, 2, 3, 4, 6, 8, 12, 16, math.inf)
MARGIN = 1.5
ROUNDED_TO = 0.05
#: Verdicts that the curve alone gives: a gap that is too wide for today's tolerance is still a healthy gap.
_FROM_CURVE = {"learns", "lags", "partial", "dead"}


def read(paths: Iterable[Path]) -> list[Record]:
    """The records of sweeps, controls included."""
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def bits_class(record: Record) -> str:
    """The name of a record's class of bits."""
    bits = record["evidence"].get("bits", "unknown")
    if not isinstance(bits, int | float):
        return "unknown"
    below = [0.0, *CLASSES]
    place = next(i for i, most in enumerate(CLASSES) if bits <= most)
    if math.isinf(CLASSES[place]):
        return "above 16"
    low, high = below[place], below[place + 1]
    return f"{high:g}" if high <= 4 else f"{low:g}-{high:g}".replace(f"{low:g}-", f"{low + 1:g}-")


def class_order(name: str) -> int:
    """Where a class of bits stands in a table."""
    names = ("1", "1.58", "2", "3", "4", "5-6", "7-8", "9-12", "13-16", "above 16", "unknown")
    return names.index(name)


def is_healthy_gap(record: Record) -> bool:
    """Whether a cell's gap says how far behind a healthy cell may end: it has one, and no probe blames it."""
    blamed = record["evidence"].get("findings")
    return record["gap"] is not None and record["verdict"] in _FROM_CURVE and not blamed


def gap_rows(records: Sequence[Record]) -> list[tuple[object, ...]]:
    """Class of bits, optimizer, storage, cells, median, 99th percentile, maximum and who has it."""
    rows: list[tuple[object, ...]] = []
    for (name, optimizer, storage), group in sorted(
        grouped(records, lambda r: (bits_class(r), r["optimizer"], r["storage"])).items(),
        key=lambda item: (item[0][2], class_order(item[0][0]), item[0][1]),
    ):
        gaps = sorted(r["gap"] for r in group)
        cuts = quantiles(gaps, n=100, method="inclusive") if len(gaps) > 1 else gaps * 99
        worst = max(group, key=lambda r: r["gap"])
        rows.append((storage, name, optimizer, len(gaps), cuts[49], cuts[98], gaps[-1], place_of(worst)))
    return rows


def grouped(records: Iterable[Record], key: Callable[[Record], Any]) -> dict[Any, list[Record]]:
    """The records by key."""
    groups = defaultdict(list)
    for record in records:
        groups[key(record)].append(record)
    return groups


def place_of(record: Record) -> str:
    """Where a cell was trained, in one word each."""
    return f"{record['subject']} s{record['seed']} w{record['width']} {corpus_of(record)}"


def corpus_of(record: Record) -> str:
    """A corpus's name, without its folder."""
    return Path(record["corpus"]["name"]).name


def spread_table(records: Sequence[Record], what: str, key: Callable[[Record], Any]) -> str:
    """The largest gap per class of bits (down) and value of `key` (across)."""
    columns = sorted({key(r) for r in records})
    groups = grouped(records, lambda r: (bits_class(r), key(r)))
    names = sorted({bits_class(r) for r in records}, key=class_order)
    rows = [
        [name, *(max((r["gap"] for r in groups.get((name, c), ())), default="-") for c in columns)]
        for name in names
    ]
    return table(["bits", *(f"{what} {column}" for column in columns)], rows)


def extreme_table(records: Iterable[Record]) -> str:
    """The extreme of every measurement per class of bits, and who showed the last of them."""
    seen = defaultdict(list)
    for record in records:
        for name, value in record.get("extremes", {}).items():
            if value is not None:
                seen[name].append((value, bits_class(record), record))
    classes = sorted({bits for values in seen.values() for _, bits, _ in values}, key=class_order)
    rows = []
    for name, values in sorted(seen.items()):
        choose = min if name.endswith("_min") else max
        each = [
            choose((value for value, bits, _ in values if bits == column), default="-") for column in classes
        ]
        _, _, worst = choose(values, key=lambda item: item[0])
        rows.append([name, *each, f"{worst['subject']} x {worst['optimizer']}"])
    return table(["bits", *classes, "who has the extreme"], rows)


def is_lossless(record: Record) -> bool:
    """Whether the subject promises to change nothing."""
    return record["subject"] in BUILTIN and BUILTIN[record["subject"]].lossless


def alarms(records: Iterable[Record]) -> list[Record]:
    """The cells of healthy subjects that do not pass."""
    return [r for r in records if r["verdict"] != "learns" and not is_expected(r)]


def is_expected(record: Record) -> bool:
    """Whether a failure is one that the subject may have."""
    return record["subject"] in MAY_FAIL and record["cause"] == "resolution"


def alarm_rows(records: Iterable[Record]) -> list[tuple[object, ...]]:
    """Each cell that did not pass, with its cause and the evidence."""
    return [
        (
            r["subject"], r["optimizer"], r["seed"], r["width"], corpus_of(r), r["storage"], r["verdict"],
            "-" if r["bpb"] is None else r["bpb"], "-" if r["gap"] is None else r["gap"], r["cause"] or "-",
            r["evidence"].get("because", "-"),
        )
        for r in records
    ]  # fmt: skip


def tolerance(gaps: Sequence[float]) -> float:
    """The largest gap times `MARGIN`, rounded up, and at least one unit of rounding."""
    units = math.ceil(round(max(gaps) * MARGIN / ROUNDED_TO, 6))
    return round(max(units, 1) * ROUNDED_TO, 2)


def proposal(records: Sequence[Record]) -> str:
    """The proposed tolerances: bits down, optimizers across."""
    parts = []
    for storage, stored in sorted(grouped(records, lambda r: r["storage"]).items()):
        groups = grouped(stored, lambda r: (bits_class(r), r["optimizer"]))
        names = sorted({name for name, _ in groups}, key=class_order)
        optimizers = sorted({optimizer for _, optimizer in groups})
        rows = []
        for name in names:
            held = [groups.get((name, optimizer)) for optimizer in optimizers]
            each = [f"{tolerance([r['gap'] for r in group]):.2f}" if group else "-" for group in held]
            rows.append([name, *each, f"{tolerance([r['gap'] for group in held for r in group or ()]):.2f}"])
        parts += [f"{storage}:", "", table(["bits", *optimizers, "any"], rows), ""]
    return "\n".join(parts).rstrip()


def report(records: Sequence[Record]) -> str:
    """Everything, as Markdown."""
    controls = [r for r in records if r["kind"] == "control"]
    cells = [r for r in records if r["kind"] != "control"]
    healthy = [r for r in cells if r["subject"] not in MAY_FAIL]
    measured = [r for r in healthy if is_healthy_gap(r)]
    wrong = alarms(cells)
    expected = [r for r in cells if r["verdict"] != "learns" and is_expected(r)]
    highest = max((r["bpb"] or math.inf for r in controls), default=math.nan)
    lines = [
        f"{len(cells)} healthy cells, {len(controls)} controls, {len(wrong)} false alarms, "
        f"{len(expected)} expected failures ({', '.join(MAY_FAIL)}: resolution).",
        f"Controls: highest final score {highest:.3f}; "
        f"not learning: {sum(r['verdict'] != 'learns' for r in controls)}.",
        "",
        "## Gaps to the control",
        "",
        table(
            ["storage", "bits", "optimizer", "cells", "median", "p99", "max", "who has the max"],
            gap_rows(measured),
        ),
        "",
        spread_table(measured, "width", lambda r: r["width"]),
        "",
        spread_table(measured, "on", corpus_of),
        "",
        "## Extremes of the cells that learn",
        "",
        extreme_table(r for r in healthy if r["verdict"] == "learns" and not is_lossless(r)),
        "",
        "## False alarms",
        "",
    ]
    counts = Counter((r["subject"], r["optimizer"], r["verdict"], r["cause"] or "-") for r in wrong)
    head = ["subject", "optimizer", "verdict", "cause", "cells"]
    lines += [table(head, [(*key, count) for key, count in sorted(counts.items())]), ""]
    head = ["subject", "optimizer", "seed", "width", "corpus", "storage", "verdict", "bpb", "gap", "cause"]
    lines += [table([*head, "evidence"], alarm_rows(wrong)), ""]
    title = f"## Proposed tolerances (largest healthy gap x {MARGIN}, rounded up to {ROUNDED_TO})"
    return "\n".join([*lines, title, "", proposal(measured)])


def main() -> int:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("sweeps", type=Path, nargs="+", metavar="FILE.jsonl")
    print(report(read(parser.parse_args().sweeps)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
