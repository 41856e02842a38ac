"""What is said of a run in a terminal: the table, the failures by cause below it, close calls and remarks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from quantgate.records.result import CellResult
from quantgate.records.verdict import Limits
from quantgate.reports.blocks.failing import failures
from quantgate.reports.blocks.line import PLAIN, WIDTH, Line
from quantgate.reports.blocks.table import table
from quantgate.reports.text import printable
from quantgate.reports.words.commands import Files


@dataclass(frozen=True)
class Counts:
    """What became of the cells of a run."""

    planned: int
    ran: int
    judged: int
    skipped: int
    #: Cells of the tests that were collected, whether they were then selected or not.
    matrix: int = 0

    @property
    def selection(self) -> str | None:
        """That `-k`, `--deselect`, `--lf` or a plugin left cells out; None where none did."""
        if self.planned >= self.matrix:
            return None
        return f"{self.planned} of {self.matrix} cells of the matrix were selected"

    def __str__(self) -> str:
        return f"{self.planned} planned / {self.ran} ran / {self.judged} judged / {self.skipped} skipped"


def sections(
    results: Sequence[CellResult],
    controls: Sequence[CellResult],
    limits: Limits,
    width: int = WIDTH,
    told: Sequence[str] = (),
    files: Files | None = None,
) -> Iterator[list[Line]]:
    """What is printed of a run's records: the table, the failures by cause, close calls and remarks; none is empty.

    The table is laid out in `width` columns. Sentences are a line each, which a log is searched for; `fold` breaks
    them for a screen. What is `told` at the end of the run is not said of each cell; commands name `files`.
    """
    said = (
        table(results, controls, limits, width),
        failures(results, told, files),
        close_calls(results),
        remarks(results),
    )
    yield from filter(None, said)


def remarks(results: Sequence[CellResult]) -> list[Line]:
    """Warnings and waived causes of cells, and what could not be measured: each said once for a subject."""
    said: dict[str, None] = {}
    for result in results:
        evidence = result.evidence
        for cause, because in evidence.get("warnings", {}).items():
            said[f"warning  {result.subject}: {cause}: {because}"] = None
        if result.verdict.passes and (state := evidence.get("state")):
            said[f"note  {result.subject}: {state}"] = None
        for cause, reason in evidence.get("waived", {}).items():
            said[f"waived  {result.subject}: {cause}: {reason}"] = None
        if missing := evidence.get("not_measured", {}):
            first = f"{', '.join(list(missing)[:3])}{' and more' if len(missing) > 3 else ''}"
            because = "; ".join(dict.fromkeys(missing.values()))
            said[f"not measured  {result.subject}: {first}: {because}"] = None
    return [[(printable(text), PLAIN)] for text in (*said, *_same(results))]


def _same(results: Sequence[CellResult]) -> list[str]:
    """The subjects that are one quantizer under several names, a built-in format's among them."""
    names: dict[str, dict[str, None]] = {}
    for result in results:
        if digest := result.evidence.get("fingerprint"):
            group = names.setdefault(digest, {})
            group[result.subject] = None
            if same := result.evidence.get("same_as"):
                group[f"the built-in {same}"] = None
    groups = [
        [name for name in group if name != f"the built-in {next(iter(group))}"] for group in names.values()
    ]
    return [
        f"one quantizer  {', '.join(group[:-1])} and {group[-1]} agree in every bit of the probes' inputs"
        for group in groups
        if len(group) > 1
    ]


def control_line(controls: Sequence[CellResult]) -> str:
    """Whether the run proved that it can pass and that it can fail."""
    positive = [result for result in controls if result.kind == "control"]
    negative = [result for result in controls if result.kind == "negative-control"]
    learn = sum(result.verdict.passes for result in positive)
    fail = sum(result.verdict.judged and not result.verdict.passes for result in negative)
    counts = (
        f"{learn} of {len(positive)} controls learn" if positive else "",
        f"{fail} of {len(negative)} negative controls fail" if negative else "",
    )
    return ", ".join(filter(None, counts)) or "no controls"


def close_calls(results: Sequence[CellResult]) -> list[Line]:
    """The cells that more seeds were asked for, with every seed's score."""
    lines: list[Line] = []
    for result in results:
        if result.seeds:
            scores = ", ".join(
                f"s{seed} {'non-finite' if score is None else f'{score:.3f}'}"
                for seed, score in result.seeds.items()
            )
            lines.append([(f"close call  {printable(str(result.cell))}: {scores}; the median judges", PLAIN)])
    return lines
