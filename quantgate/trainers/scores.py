"""The scores in what a trainer prints: JSON lines, or text with a pattern; bounded, however much it prints."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from quantgate.logs.judging.rules import Unit
from quantgate.logs.names import USUAL, find_columns, says_bits
from quantgate.logs.reading.patterns import recognize, roles, to_regex

#: Samples that are kept; of more, every other one is forgotten, and then only every second one is taken.
MOST = 4096
#: Columns that may be scores; of JSON lines with more, the first are read.
_MOST_COLUMNS = 16
#: Lines that are kept to tell what they look like, where none holds a score.
_SHOWN = 50

Sample = tuple[int, float]


class Samples:
    """Steps and scores in their order, at most `MOST`: the first, the last and every nth between."""

    def __init__(self) -> None:
        self._kept: list[Sample] = []
        self._every, self._seen = 1, 0
        self._last: Sample | None = None
        #: Scores that were `null` in a row: now, at the most before, and the first step of the row.
        self._nulls, self._most_nulls, self._null_from = 0, 0, 0

    def add(self, step: int, score: float | None) -> None:
        """Take a sample; one that is said twice in a row is taken once."""
        if score is None:
            self._null_from = self._null_from if self._nulls else step
            self._nulls += 1
            return
        self._nulls, self._most_nulls = 0, max(self._nulls, self._most_nulls)
        if self._last is not None and (step, repr(score)) == (self._last[0], repr(self._last[1])):
            return
        self._last = (step, score)
        if self._seen % self._every == 0 or not math.isfinite(score):
            self._kept.append(self._last)
        self._seen += 1
        if len(self._kept) > MOST:
            bad = [sample for sample in self._kept if not math.isfinite(sample[1])][:1]
            self._kept = sorted({*self._kept[::2], *bad}, key=self._kept.index)
            self._every *= 2

    @property
    def curve(self) -> tuple[Sample, ...]:
        """What was kept, the last sample with it.

        A score that is `null` was not measured at that step; that it stays so for longer than ever before is how many
        a writer of JSON says NaN.
        """
        last = [self._last] if self._last is not None and self._kept[-1] != self._last else []
        lost = [(self._null_from, math.nan)] if self._nulls > self._most_nulls else []
        return (*self._kept, *last, *lost)


class Scores:
    """Finds the scores in lines.

    Args:
        pattern: As `quantgate judge --pattern` takes it; None reads JSON lines.
    """

    def __init__(self, pattern: str | None) -> None:
        self._pattern = None if pattern is None else re.compile(to_regex(pattern))
        self._roles = () if pattern is None else roles(pattern)
        self._columns: dict[str, Samples] = {}
        self._shown: list[str] = []

    def take(self, line: str) -> None:
        """Look at a line; one that holds no score is passed over."""
        if len(self._shown) < _SHOWN:
            self._shown.append(line[:500])
        found = self._of_json(line) if self._pattern is None else self._of_text(line, self._pattern)
        if found is None:
            return
        column, step, score = found
        if column in self._columns or len(self._columns) < _MOST_COLUMNS:
            self._columns.setdefault(column, Samples()).add(step, score)

    @property
    def curve(self) -> tuple[Sample, ...]:
        """The samples of the likeliest column: a held-out score rather than a loss, bits rather than nats."""
        return self._columns[self._column].curve if self._columns else ()

    @property
    def unit(self) -> Unit:
        """What the scores are, by the name of their column: a loss is in nats by convention."""
        return "bits" if not self._columns or says_bits(self._column) else "nats"

    @property
    def missing(self) -> str:
        """Why there is no curve: what its lines should be, and what they look like."""
        wanted = (
            'a JSON object with a step and a score, such as {"step": 20, "val_bpb": 5.2}'
            if self._pattern is None
            else "of its pattern"
        )
        like = recognize(self._shown) if self._shown else None
        hint = f'; they look like pattern = "{like}"' if like is not None else ""
        return f"no line of it is {wanted}{hint}"

    @property
    def _column(self) -> str:
        ranked = [name.lower() for name in USUAL["bpb"]]
        return min(
            self._columns,
            key=lambda each: ranked.index(each.lower()) if each.lower() in ranked else len(ranked),
        )

    def _of_text(self, line: str, pattern: re.Pattern[str]) -> tuple[str, int, float | None] | None:
        match = pattern.search(line)
        if match is None:
            return None
        said = dict(zip(self._roles, match.groups(), strict=True))
        column = "bpb" if "bpb" in said else "loss"
        return _sample(column, said["step"].replace(",", ""), said[column].replace(",", ""))

    def _of_json(self, line: str) -> tuple[str, int, float | None] | None:
        start = line.find("{")
        if start < 0:
            return None
        try:
            record: Any = json.loads(line[start:])
        except (ValueError, RecursionError):
            return None
        if not isinstance(record, Mapping):
            return None
        columns = find_columns([str(name) for name in record], {})
        if "step" not in columns or "bpb" not in columns:
            return None
        return _sample(columns["bpb"], record[columns["step"]], record[columns["bpb"]])


def _sample(column: str, step: Any, score: Any) -> tuple[str, int, float | None] | None:
    if isinstance(step, bool) or isinstance(score, bool) or not isinstance(step, int | float | str):
        return None
    try:
        place = int(step)
        value = None if score is None else float(score)
    except (TypeError, ValueError, OverflowError):
        # A text where a number should be, `None` or `*****`: it was not measured.
        return _sample(column, step, None) if isinstance(score, str) else None
    return (column, place, value) if 0 <= place < 2**63 else None
