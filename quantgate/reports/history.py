"""The history of a cell as people read it: a line a run, and where it stepped; 80 columns, but for long names."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from quantgate.history.series import Point, Standing, Step
from quantgate.reports.story import GRAVITY
from quantgate.reports.text import printable

#: Runs that are drawn; the earlier ones are counted.
MOST_RUNS = 30
#: Cells that are listed; the others are counted.
MOST_CELLS = 40
#: Columns of the drawing.
_WIDTH = 34
_MARKS = {"regressed": "!", "mended": "+", "improved": "+", "changed": "~"}


def series_text(points: Sequence[Point], steps: Sequence[Step]) -> str:
    """A series, drawn."""
    last = points[-1]
    shown = points[-MOST_RUNS:]
    scores = [point.bpb for point in shown if point.bpb is not None]
    low, high = _range(scores)
    where = f", branch {last.branch}" if last.branch else ""
    kind = "" if last.kind == "format" else f" ({last.kind})"
    lines = [
        printable(
            f"{last.cell}{kind}: {len(points)} run{'s' * (len(points) != 1)} of {last.steps} steps{where}"
        ),
        printable(f"canonical name {last.canon_name}"),
        "",
        f"  {'commit':<13} {'date':<10}    BPB verdict    {low:<8.2f}{f'{high:.2f}':>{_WIDTH - 8}}",
    ]
    marks = {step.after.run: _MARKS[step.kind] for step in steps}
    for point in shown:
        score = "   -" if point.bpb is None else f"{point.bpb:.2f}"
        lines.append(
            f"{marks.get(point.run, ' ')} {_sha(point):<13} {point.ended:%Y-%m-%d} {score:>6} {point.verdict:<9} "
            f"|{_drawn(point.bpb, low, high)}|"
        )
    if len(points) > len(shown):
        lines.append(f"  and {len(points) - len(shown)} earlier runs")
    if any((point.sha or "").endswith("-dirty") for point in shown):
        lines.append("  + after a commit: with changes that were not committed")
    lines.append("")
    lines += [line for step in steps for line in _step_lines(step)] or ["no step"]
    return "\n".join(lines)


def regressions_text(steps: Sequence[Step], since: datetime) -> str:
    """The regressions of all cells."""
    mended = sum(step.mended is not None for step in steps)
    count = f"{len(steps)} regression{'s' * (len(steps) != 1)}" if steps else "no regression"
    lines = [f"{count} since {since:%Y-%m-%d}{f', {mended} mended since' if mended else ''}"]
    for step in steps:
        after = step.after
        lines.append("")
        lines.append(
            printable(
                f"{after.cell}{f', branch {after.branch}' if after.branch else ''}, {after.steps} steps"
            )
        )
        lines += [f"  {line}" for line in _step_lines(step)]
        if step.mended is not None:
            found = f"{_sha(step.mended)} ({step.mended.ended:%Y-%m-%d}): {_found(step.mended)}"
            lines.append(printable(f"  mended at {found}"))
    return "\n".join(lines)


def standings_text(standings: Sequence[Standing]) -> str:
    """The cells of a history, in the order in which they are given; the first of them, where they are many."""
    count = f"{len(standings):,} cell{'s' * (len(standings) != 1)}"
    lines = [
        f"{count}, the worst first; `quantgate history CELL` draws one",
        "",
        f"  {'verdict':<10} {'BPB':>5}  {'commits':>7}  {'last run':<10}  cell",
    ]
    for each in standings[:MOST_CELLS]:
        last = each.last
        score = "-" if last.bpb is None else f"{last.bpb:.2f}"
        kind = "" if last.kind == "format" else f" ({last.kind})"
        branch = f", branch {last.branch}" if last.branch else ""
        lines.append(
            printable(
                f"  {last.verdict:<10} {score:>5}  {each.commits:>7,}  {last.ended:%Y-%m-%d}  "
                f"{last.cell}{kind}{branch}, {last.steps:,} steps"
            )
        )
    if len(standings) > MOST_CELLS:
        lines.append(f"  and {len(standings) - MOST_CELLS:,} more; --json lists all")
    return "\n".join(lines)


def worst_first(standings: Iterable[Standing]) -> list[Standing]:
    """The series whose last run failed, the gravest first, then the others; of two alike the newer one."""

    def place(each: Standing) -> tuple[int, float, tuple[str, str, int, str]]:
        verdict = each.last.verdict
        return GRAVITY.get(verdict, len(GRAVITY)), -each.last.ended.timestamp(), each.last.series

    return sorted(standings, key=place)


def standing_record(standing: Standing) -> dict[str, Any]:
    """Where a series stands, in JSON's own types."""
    last = standing.last
    return {
        "cell": last.cell,
        "kind": last.kind,
        "branch": last.branch,
        "steps": last.steps,
        "runs": standing.runs,
        "commits": standing.commits,
        "last": _point_record(last),
    }


def series_record(points: Sequence[Point], steps: Sequence[Step]) -> dict[str, Any]:
    """A series in JSON's own types."""
    last = points[-1]
    return {
        "cell": last.cell,
        "kind": last.kind,
        "canon_name": last.canon_name,
        "branch": last.branch,
        "steps": last.steps,
        "runs": [_point_record(point) for point in points],
        "changes": [step_record(step) for step in steps],
    }


def step_record(step: Step) -> dict[str, Any]:
    """A step in JSON's own types."""
    return {
        "cell": step.after.cell,
        "branch": step.after.branch,
        "change": step.kind,
        "before": _point_record(step.before),
        "after": _point_record(step.after),
        "also": list(step.also),
        "mended": None if step.mended is None else _point_record(step.mended),
    }


def _step_lines(step: Step) -> Iterator[str]:
    """A step in a sentence or some: the commit, from what to what, why, and what else changed."""
    before, after = step.before, step.after
    yield f"{step.kind} at {_sha(after)} ({after.ended:%Y-%m-%d}): {_found(before)} -> {_found(after)}"
    yield f"  the run before it: {_sha(before)} ({before.ended:%Y-%m-%d})"
    if step.kind in {"regressed", "changed"} and not after.verdict.passes and (after.cause or after.because):
        yield printable(f"  {': '.join(filter(None, (after.cause, after.because)))}")
    if step.also:
        yield printable(f"  also: {', '.join(step.also)}")


def _point_record(point: Point) -> dict[str, Any]:
    return {
        "sha": point.sha,
        "ts": point.ended.isoformat(),
        "run": point.run,
        "bpb": point.bpb,
        "verdict": str(point.verdict),
        "cause": point.cause,
        "because": point.because,
    }


def _range(scores: Sequence[float]) -> tuple[float, float]:
    """The ends of the drawing: a tenth of a bit or more."""
    if not scores:
        return 0.0, 7.0
    low, high = math.floor(min(scores) * 10) / 10, math.ceil(max(scores) * 10) / 10
    return low, max(high, low + 0.1)


def _drawn(score: float | None, low: float, high: float) -> str:
    if score is None:
        return " " * _WIDTH
    place = round((score - low) / (high - low) * (_WIDTH - 1))
    return f"{'*':>{place + 1}}".ljust(_WIDTH)


def _sha(point: Point) -> str:
    if point.sha is None:
        return "no commit"
    return printable(point.sha[:12] + "+" * point.sha.endswith("-dirty"))


def _found(point: Point) -> str:
    return f"{point.verdict}" if point.bpb is None else f"{point.bpb:.2f} {point.verdict}"
