"""Logged curves that the tests write down in many forms."""

from __future__ import annotations

import csv
import json
import math
import random
from collections.abc import Iterator
from pathlib import Path

from quantgate.records.result import CellResult

#: (step, bits).
Samples = list[tuple[int, float]]


def falling(end: float, *, steps: int = 2000, every: int = 20, start: float = 7.02, seed: int = 1) -> Samples:
    """A curve that falls from chance to `end`, with some noise, to four digits as logs have them."""
    noise = random.Random(f"{seed} {end}")
    return [
        (step, round(start - (start - end) * (1 - math.exp(-step / 200)) + noise.uniform(-0.005, 0.005), 4))
        for step in range(0, steps + 1, every)
    ]


def rising_again(low: float) -> Samples:
    """A curve that falls to `low` at half of its steps, and rises to chance."""
    curve = falling(low)
    return [(s, v if s <= 1000 else round(v + (7.0 - v) * (s - 1000) / 1000, 4)) for s, v in curve]


def not_a_number(after: int) -> Samples:
    """A curve that becomes NaN."""
    return [(step, score if step <= after else math.nan) for step, score in falling(2.6)]


def name(format: str, seed: int = 47, optimizer: str = "adamw") -> str:
    """The fleet's name of a cell."""
    return f"IGLA-TIER1-{format}-h64-LR0.001-rng{seed}-{optimizer}"


#: A fleet: a control, one that learns, and a cell for each way to fail.
FLEET: dict[str, Samples] = {
    "fp32": falling(2.6),
    "int8": falling(2.62),
    "posit8": falling(6.99),
    "nf4": rising_again(2.7),
    "mxfp8": not_a_number(900),
    "int4": falling(5.0),
    "uint8": falling(3.4),
    "gf32": falling(2.6),
    "bf16": falling(2.61, steps=400),
}


def lines(fleet: dict[str, Samples]) -> Iterator[str]:
    """The fleet as JSON lines, its cells by turns as they came in."""
    rows = [
        (step, format, json.dumps({"canon_name": name(format), "step": step, "bpb": score, "sha": "abc123"}))
        for format, curve in fleet.items()
        for step, score in curve
    ]
    yield from (line + "\n" for _, _, line in sorted(rows, key=lambda row: row[:2]))


def verdicts(said: str) -> dict[str, str]:
    """The cells of `--json`, by name."""
    records = [CellResult.from_record(json.loads(line)) for line in said.splitlines()]
    return {record.canon_name: str(record.verdict) for record in records}


def write(path: Path, curve: Samples, step: str, score: str) -> Path:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow([step, score])
        table.writerows(curve)
    return path
