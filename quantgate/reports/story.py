"""What a run says, from its records alone: what failed, by cause, in which order, and in one sentence."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from quantgate.diagnosis.causes import CAUSES
from quantgate.records.cell import SEEDS, Cell
from quantgate.records.result import CellResult
from quantgate.records.run import RunRecord
from quantgate.records.verdict import Verdict

#: The exit statuses that are none of the cells' doing, in words.
INVALID, USAGE, INTERRUPTED = 70, 4, 2
#: What a subject did, the gravest first: a group is called by its gravest cell.
_DID = {
    Verdict.DEAD: "stopped learning",
    Verdict.DIVERGED: "diverged",
    Verdict.PARTIAL: "stopped learning",
    Verdict.NO_OP: "changes nothing",
    Verdict.REJECTED: "was rejected",
    Verdict.CRASHED: "crashed",
    Verdict.TIMEOUT: "never ended",
    Verdict.FAULTY: "is faulty",
    Verdict.LAGS: "lags behind float32",
    Verdict.UNJUDGED: "was not judged",
}
GRAVITY = {verdict: place for place, verdict in enumerate(_DID)}
#: What became of a cell since its baseline.
_TURNED = {
    "regressed": "regressed since the baseline",
    "improved": "better than the baseline",
    "same": "as in the baseline",
    "new": "not in the baseline",
}
#: The group of the cells that pass and are worse than their baseline: they have no cause of the diagnosis'.
_REGRESSED = "regressed"
_SUMMARIES = {_REGRESSED: "It learns, and is worse than its baseline by more than rounding explains."}
_HINTS = {
    _REGRESSED: "if it is meant, accept it with quantgate baseline accept; if not, look at what changed since."
}
#: More names than these are counted.
_NAMED = 3
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
        known = CAUSES.get(self.cause)
        return self.members[0].hint or (known.hint if known else _HINTS.get(self.cause, ""))

    @property
    def summary(self) -> str:
        """What the cause is, in a sentence; empty where it is none of the diagnosis'."""
        known = CAUSES.get(self.cause)
        return known.summary if known else _SUMMARIES.get(self.cause, "")

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
        cause = _REGRESSED if result.verdict.passes else result.cause or str(result.verdict)
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
    """Whether it does not pass, or passes and is worse than its baseline."""
    return not result.verdict.passes or result.regressed


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


def headline(story: Story) -> str:
    """The run in a sentence, in plain text: names from outside are in it as they are."""
    status = story.run.exit_status
    if status == INVALID:
        return "The run is invalid: the machine or the gate is at fault, not the formats"
    if status == USAGE and story.run.problems:
        return f"Nothing was judged: {story.run.problems[0]}"
    if failing := story.failing:
        return _failed(story, failing)
    if story.run.problems:
        return _capital(story.run.problems[0])
    if story.run.state == "unfinished" or status == INTERRUPTED:
        return f"The run did not end: {len(story.results)} {_cells(len(story.results))} judged until then"
    if not story.results:
        return "No cell was judged"
    known = f", {len(story.known)} as it is known to fail" if len(story.known) == 1 else ""
    known = known or (f", {len(story.known)} fail as they are known to" if story.known else "")
    verb = "learns" if any(each.curve for each in story.results) else "is healthy"
    if known:
        return f"{len(story.passing)} of {len(story.results)} cells pass{known}"
    return f"Every cell {verb}: {len(story.passing)} of {len(story.results)}"


def _failed(story: Story, failing: list[CellResult]) -> str:
    subjects = list(dict.fromkeys(each.subject for each in failing))
    verdicts = {each.verdict for each in failing}
    did = next((did for verdict, did in _DID.items() if verdict in verdicts), "got worse than its baseline")
    causes = [group.cause for group in by_cause(failing) if group.cause != _REGRESSED]
    if len(subjects) == 1:
        who = f"{short(subjects[0])} {did}"
    else:
        kind = "formats" if all(each.kind == "format" for each in failing) else "subjects"
        rest = f" and {len(subjects) - _NAMED} more" if len(subjects) > _NAMED else ""
        names = ", ".join(map(short, subjects[:_NAMED]))
        who = f"{len(subjects)} {kind} fail ({names}{rest})"
    total = len(story.results)
    more = f" and {len(causes) - _NAMED} more" if len(causes) > _NAMED else ""
    why = "".join(f", {cause}" for cause in causes[:_NAMED])
    return (
        f"{who}: {len(failing):,} of {total:,} {_cells(total)}{why}{more}{_since(failing) if causes else ''}"
    )


def _since(failing: list[CellResult]) -> str:
    changes = [said for each in failing if (said := change(each)) is not None]
    if not changes:
        return ""
    worse, unseen = changes.count("regressed"), changes.count("new")
    if worse == len(failing):
        return "; regressed since the baseline"
    if worse:
        return f"; {worse} regressed since the baseline"
    return "; not in the baseline yet" if unseen == len(failing) else "; as in the baseline"


def short(name: str) -> str:
    """A name, its middle left out where it is too long to be read."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 21]}…{name[-20:]}"


def _cells(count: int) -> str:
    return "cell" if count == 1 else "cells"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def counted(story: Story) -> str:
    """What became of the cells that were planned."""
    run = story.run
    if run.state == "unfinished" and not run.planned:
        count = len(story.results)
        return f"{count} {'record' if count == 1 else 'records'}; the run's own record is not there or says unfinished"
    text = f"{run.planned:,} planned / {run.ran:,} ran / {run.judged:,} judged / {run.skipped:,} skipped"
    return (
        text
        if run.planned >= run.matrix
        else f"{text}; {run.planned:,} of {run.matrix:,} cells were selected"
    )


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
