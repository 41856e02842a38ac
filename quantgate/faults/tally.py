"""The outcomes of a power measurement counted: faults caught, causes named, false alarms, beside BPB < 6.5 alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field

from quantgate.faults.power import Outcome


@dataclass
class Row:
    """Counts of one class of faults, or of one group of healthy subjects."""

    name: str
    cells: int = 0
    flagged: int = 0
    warned: int = 0
    right_cause: int = 0
    among_causes: int = 0
    plainly: int = 0
    #: Healthy ones that do not learn because their grid is too coarse for the optimizer, which no fault is blamed for.
    coarse: int = 0
    #: Faults that passed and healthy ones that did not: how many, and those whose names may be looked at.
    wrong: int = 0
    missed: list[str] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count an outcome."""
        self.cells += 1
        too_coarse = outcome.expected is None and outcome.cause == "resolution"
        self.coarse += too_coarse
        self.flagged += outcome.flagged and not too_coarse
        self.plainly += outcome.plainly_flagged
        expected = outcome.expected
        self.warned += expected is not None and outcome.warned
        self.right_cause += expected is not None and outcome.named
        self.among_causes += expected is not None and not {expected, *outcome.trial.also_right}.isdisjoint(
            {outcome.cause, *outcome.findings, *outcome.warnings}
        )
        caught = (outcome.flagged and not too_coarse) or outcome.warned
        if caught == (expected is not None):
            return
        self.wrong += 1
        if outcome.trial.half == "open":
            where = outcome.trial
            self.missed.append(
                f"{where.name} x {where.optimizer} s{where.seed} w{where.width} {where.corpus}: "
                f"{outcome.verdict} {outcome.cause or ''}"
            )


@dataclass(frozen=True)
class PowerTable:
    """Detection by class, and alarms among what is healthy."""

    faults: tuple[Row, ...]
    healthy: tuple[Row, ...]

    def to_json(self) -> str:
        """Both tables as one JSON object."""
        return json.dumps(
            {"faults": list(map(asdict, self.faults)), "healthy": list(map(asdict, self.healthy))}, indent=1
        )

    def to_markdown(self) -> str:
        """Both tables as Markdown."""
        lines = [
            "| fault class | cells | red | a warning | right cause first | among those named | BPB < 6.5 alone |",
            "|---|---:|---:|---:|---:|---:|---:|",
        ]
        for row in (*self.faults, _total(self.faults)):
            lines.append(
                f"| {row.name} | {row.cells} | {_share(row.flagged, row)} | {row.warned} "
                f"| {_share(row.right_cause, row)} "
                f"| {_share(row.among_causes, row)} | {_share(row.plainly, row)} |"
            )
        lines += ["", "| healthy | cells | false alarms | too coarse to learn | BPB < 6.5 alone |"]
        lines += ["|---|---:|---:|---:|---:|"]
        lines += [
            f"| {row.name} | {row.cells} | {row.flagged} | {row.coarse} | {row.plainly} |"
            for row in self.healthy
        ]
        missed = [line for row in (*self.faults, *self.healthy) for line in row.missed]
        if missed:
            lines += ["", f"Missed or false ({len(missed)}):", *(f"- {line}" for line in missed[:40])]
        return "\n".join(lines)


def tabulate(outcomes: Iterable[Outcome]) -> PowerTable:
    """Count outcomes by class."""
    faults: dict[str, Row] = {}
    healthy: dict[str, Row] = {}
    for outcome in outcomes:
        if outcome.expected is not None:
            faults.setdefault(outcome.expected, Row(outcome.expected)).add(outcome)
        else:
            group = (
                "healthy twins"
                if outcome.trial.role == "twin"
                else outcome.trial.library.rpartition(":")[2].lower()
            )
            healthy.setdefault(group, Row(group)).add(outcome)
    return PowerTable(tuple(faults[name] for name in sorted(faults)), tuple(healthy.values()))


def _total(rows: Sequence[Row]) -> Row:
    counted = ("cells", "flagged", "warned", "wrong", "right_cause", "among_causes", "plainly")
    return Row("**all**", **{name: sum(getattr(row, name) for row in rows) for name in counted})


def _share(count: int, row: Row) -> str:
    return f"{count} ({count / row.cells:.0%})" if row.cells else "0"
