"""What a run says, from its records alone: what failed, by cause, in which order, and in one sentence."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from quantgate.diagnosis.causes import CAUSES
from quantgate.records.cell import SEEDS, Cell
from quantgate.records.result import NEXT, CellResult
from quantgate.records.run import RunRecord
from quantgate.records.verdict import Verdict
from quantgate.reports.words.commands import Files, into_baseline, out_of_known

#: The exit statuses that are none of the cells' doing.
INVALID, USAGE, INTERRUPTED = 70, 4, 2
#: The gravest first: a group is called by its gravest cell.
_GRAVEST = (
    Verdict.DEAD,
    Verdict.DIVERGED,
    Verdict.PARTIAL,
    Verdict.NO_OP,
    Verdict.REJECTED,
    Verdict.CRASHED,
    Verdict.TIMEOUT,
    Verdict.FAULTY,
    Verdict.LAGS,
    Verdict.UNJUDGED,
)
GRAVITY = {verdict: place for place, verdict in enumerate(_GRAVEST)}
#: What became of a cell since its baseline.
_TURNED = {
    "regressed": "regressed since the baseline",
    "improved": "better than the baseline",
    "same": "as in the baseline",
    "new": "not in the baseline",
}
#: The groups of cells that pass: worse than their baseline, and expected to fail. They have no cause of the diagnosis'.
REGRESSED, LEARNS_NOW = "regressed", "known-failure-learns"
_SUMMARIES = {
    REGRESSED: "It learns, and is worse than its baseline by more than rounding explains.",
    LEARNS_NOW: "The file of known failures says that it fails, and it learns: an entry that stays would hide the next "
    "fault.",
}
_HINTS = {
    REGRESSED: "look at what changed since; if it is meant, accept it.",
    LEARNS_NOW: "take its entry out of the file of known failures; narrow it, where it is a pattern.",
    **{str(verdict): said for verdict, said in NEXT.items()},
}
#: Why an entry of the known failures does not excuse a cell that fails.
_UNEXCUSED = {"over": "known until {until}", "cause": "known for {cause}"}
_LONGEST = 60


@dataclass(frozen=True)
class Story:
    """A run, or several that were put together: its cells in the order of the matrix, its controls, how it ended."""

    results: tuple[CellResult, ...]
    controls: tuple[CellResult, ...] = ()
    run: RunRecord = field(default_factory=RunRecord)

    @property
    def failing(self) -> list[CellResult]:
        """The cells that fail and are not known to."""
        return [each for each in self.results if fails(each) and not self.is_known(each)]

    @property
    def known(self) -> list[CellResult]:
        """The cells that fail as they are known to."""
        return [each for each in self.results if not each.verdict.passes and self.is_known(each)]

    @property
    def passing(self) -> list[CellResult]:
        return [each for each in self.results if not fails(each)]

    def is_known(self, result: CellResult) -> bool:
        """Whether it is a known failure, and fails by the cause that it is known for."""
        listed = self.run.known.get(result.cell.id, {})
        return result.known is not None or ("cause" in listed and listed["cause"] == result.cause)

    def reason(self, result: CellResult) -> str:
        """Why a known failure may fail."""
        return str((result.known or self.run.known.get(result.cell.id, {})).get("reason") or "")

    @property
    def fails(self) -> bool:
        """Whether the build is red."""
        ended = self.run.exit_status
        return bool(self.failing) or bool(self.run.problems) or (ended is not None and ended != 0)


@dataclass(frozen=True)
class Part:
    """The failing cells of one subject by one cause."""

    subject: str
    members: tuple[CellResult, ...]

    @property
    def because(self) -> str:
        first = self.members[0]
        said = (first.baseline or {}) if first.verdict.passes else first.evidence
        return str(said.get("because") or "")

    @property
    def source(self) -> str | None:
        """Where to look; what was not judged has shown nothing of its code."""
        first = self.members[0]
        return None if first.verdict is Verdict.UNJUDGED else first.source


@dataclass(frozen=True)
class CauseGroup:
    """The failing cells of one cause; of the verdict, where none is known."""

    cause: str
    parts: tuple[Part, ...]

    @property
    def members(self) -> list[CellResult]:
        return [each for part in self.parts for each in part.members]

    @property
    def hint(self) -> str:
        known, first = CAUSES.get(self.cause), self.members[0]
        own = (
            "" if first.cell.trainer is not None and not first.verdict.passes else _HINTS.get(self.cause, "")
        )
        return first.hint or (known.hint if known else own)

    @property
    def summary(self) -> str:
        """What the cause is, in a sentence; empty where it is none of the diagnosis'."""
        known = CAUSES.get(self.cause)
        return known.summary if known else _SUMMARIES.get(self.cause, "")

    def remedy(self, files: Files) -> str | None:
        """The command that accepts it, where it may be accepted as it is."""
        if self.cause == REGRESSED:
            return into_baseline([each.cell.id for each in self.members], files)
        if self.cause == LEARNS_NOW and any(
            (each.unexcused or {}).get("pattern") == each.cell.id for each in self.members
        ):
            return out_of_known(files)
        return None

    @property
    def explained(self) -> bool:
        """Whether `quantgate explain` knows it."""
        return self.cause in CAUSES


def tell(
    results: Iterable[CellResult], controls: Iterable[CellResult] = (), run: RunRecord | None = None
) -> Story:
    """The story of a run. Its cells are put in the order of the matrix, as far as the run's record knows it."""
    run = run or RunRecord()
    subjects = {name: place for place, name in enumerate(run.subjects)}
    optimizers = {name: place for place, name in enumerate(run.optimizers)}

    def place(result: CellResult) -> tuple[object, ...]:
        cell = result.cell
        return (
            subjects.get(cell.subject, len(subjects)),
            cell.subject if cell.subject not in subjects else "",
            cell.storage,
            cell.scope,
            cell.width,
            SEEDS.index(cell.seed) if cell.seed in SEEDS else len(SEEDS),
            cell.seed,
            optimizers.get(cell.optimizer, len(optimizers)),
            cell.optimizer,
        )

    return Story(tuple(sorted(results, key=place)), tuple(sorted(controls, key=place)), run)


def by_cause(results: Sequence[CellResult]) -> list[CauseGroup]:
    """Failing cells by cause, the gravest and most frequent first; within a cause by subject."""
    causes: dict[str, dict[str, list[CellResult]]] = {}
    for result in results:
        cause = _passing(result) if result.verdict.passes else result.cause or str(result.verdict)
        subjects = causes.setdefault(cause, {})
        subjects.setdefault(result.subject, []).append(result)
    groups = [
        CauseGroup(cause, tuple(Part(subject, tuple(members)) for subject, members in subjects.items()))
        for cause, subjects in causes.items()
    ]
    return sorted(
        groups, key=lambda group: (not _is_new(group.members), gravest(group.members), -len(group.members))
    )


def fails(result: CellResult) -> bool:
    """Whether it does not pass, or passes and is worse than its baseline, or is a known failure."""
    return not result.verdict.passes or result.regressed or learns_now(result)


def learns_now(result: CellResult) -> bool:
    """Whether it passes and its entry of the known failures says that it fails."""
    return result.verdict.passes and _why(result) == "learns"


def _why(result: CellResult) -> str:
    return str((result.unexcused or {}).get("why"))


def _passing(result: CellResult) -> str:
    return REGRESSED if result.regressed else LEARNS_NOW


def not_excused(result: CellResult) -> str | None:
    """Why an entry of the known failures does not excuse it, `known until 2026-10-31`.

    None where none speaks of it, or where that it learns is all that is wrong with it.
    """
    said = result.unexcused or {}
    if learns_now(result):
        return "a known failure that learns now" if result.regressed else None
    text = _UNEXCUSED.get(_why(result))
    return None if text is None else text.format(until=said.get("until"), cause=said.get("cause"))


def gravest(results: Sequence[CellResult]) -> int:
    """The place of the gravest verdict among these, 0 for the gravest of all; beyond all where each passes."""
    return min((GRAVITY.get(each.verdict, len(GRAVITY)) for each in results), default=len(GRAVITY))


def _is_new(results: Sequence[CellResult]) -> bool:
    return any(change(each) == "regressed" for each in results)


def change(result: CellResult) -> str | None:
    """What became of the cell since its baseline, by the record's word; None where it was compared with none."""
    said = None if result.baseline is None else result.baseline.get("change")
    return said if isinstance(said, str) else None


def turned(result: CellResult) -> str | None:
    """What became of the cell since its baseline, in words; None where it was compared with none."""
    said = change(result)
    return said if said is None else _TURNED.get(said, said)


def short(name: str) -> str:
    """A name, its middle left out where it is too long to be read."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 21]}…{name[-20:]}"


def rerun(result: CellResult, run: RunRecord) -> str | None:
    """The command that judges this cell again; None where no test of pytest's judged it."""
    if result.test is None:
        return None
    place = (
        f"./{result.test}" if result.test.startswith("-") else result.test
    )  # a folder's name, and no option
    return shlex.join(["pytest", place, *run.options])


def title(cell: Cell) -> str:
    """What is not the default about a cell: `s89 w128`, or nothing."""
    parts = cell.id.removeprefix(f"{cell.subject}-{cell.optimizer}").split("-")
    return " ".join(part for part in parts if part not in {"", f"s{SEEDS[0]}"})
