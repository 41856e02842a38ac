"""A cell from run to run, and where it stepped. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, pairwise
from typing import Literal

from quantgate.records.verdict import Verdict

#: A score that moves by more than this (BPB) has stepped: another machine or torch moves it by 0.005 at the most, and
#: another seed, which is another cell, by 0.04.
STEP_BPB = 0.02

Kind = Literal["regressed", "mended", "improved", "changed"]


@dataclass(frozen=True)
class Point:
    """What one run found of a cell."""

    cell: str
    kind: str
    canon_name: str
    branch: str | None
    steps: int
    sha: str | None
    ended: datetime
    run: str
    bpb: float | None
    verdict: Verdict
    cause: str | None
    because: str | None
    #: What else may differ from run to run, by name.
    setting: tuple[tuple[str, str | None], ...]

    @property
    def series(self) -> tuple[str, str, int, str]:
        """What the points that it is compared with share; the rate of a cell that was lost is not known."""
        return self.cell, self.kind, self.steps, self.branch or ""

    @property
    def is_judged(self) -> bool:
        """Whether it says anything of the cell."""
        return self.verdict is not Verdict.UNJUDGED


@dataclass(frozen=True)
class Step:
    """Where a cell stepped: the run before, and the first one after."""

    kind: Kind
    before: Point
    after: Point
    #: The first run that mended it again; None where none did, and for what did not regress.
    mended: Point | None = None

    @property
    def also(self) -> tuple[str, ...]:
        """What else changed between the two: it may be at fault, and not the commit."""
        before, after = dict(self.before.setting), dict(self.after.setting)
        said = [
            f"{name} {was} -> {after[name]}"
            for name, was in before.items()
            if was and after.get(name) and was != after[name]
        ]
        if self.before.sha is not None and self.before.sha == self.after.sha:
            said.insert(0, "the commit is the same")
        return tuple(said)


@dataclass(frozen=True)
class Standing:
    """Where a series stands: what its last run found, and how many runs and commits it has."""

    last: Point
    runs: int
    #: Runs without a commit are none's.
    commits: int


def by_series(points: Iterable[Point]) -> Iterator[tuple[Point, ...]]:
    """The points of each series, the oldest first, of points that come series by series."""
    for _, members in groupby(points, key=lambda point: point.series):
        yield tuple(sorted(members, key=lambda point: (point.ended, point.run)))


def find_steps(points: Sequence[Point]) -> tuple[Step, ...]:
    """The steps of a series.

    A score is held against that of the last step, not of the last run, so that a slow drift is one, too.
    """
    judged = [point for point in points if point.is_judged]
    steps: list[Step] = []
    if not judged:
        return ()
    level = judged[0].bpb
    for before, after in pairwise(judged):
        kind = _kind(before, after, level)
        if kind is not None:
            steps.append(Step(kind, before, after))
            level = after.bpb
        elif level is None:
            level = after.bpb
    return tuple(_with_mending(step, steps[place + 1 :]) for place, step in enumerate(steps))


def _kind(before: Point, after: Point, level: float | None) -> Kind | None:
    if before.verdict.passes != after.verdict.passes:
        return "mended" if after.verdict.passes else "regressed"
    if level is not None and after.bpb is not None and abs(after.bpb - level) > STEP_BPB:
        return "regressed" if after.bpb > level else "improved"
    return None if before.verdict is after.verdict else "changed"


def _with_mending(step: Step, later: Sequence[Step]) -> Step:
    """The step with the first later run that is as good again as the one before it."""
    if step.kind != "regressed":
        return step
    before = step.before
    for each in later:
        after = each.after
        is_close = before.bpb is None or (after.bpb is not None and after.bpb <= before.bpb + STEP_BPB)
        if after.verdict.passes >= before.verdict.passes and is_close:
            return Step(step.kind, before, step.after, after)
    return step
