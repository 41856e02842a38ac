"""Cells beside their baseline, in words: what regressed with both curves, what improved, what is new or gone."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from quantgate.records.result import CellResult
from quantgate.reports.blocks.line import Line
from quantgate.reports.text import printable
from quantgate.reports.words.commands import Files, into_baseline, into_known

#: Cells of a kind that are named; the others are counted.
MOST_NAMED = 6
#: Points of a curve that are shown: the first, the last, and what lies evenly between.
MOST_POINTS = 8
#: Decimals of curves: two, and more where fewer would not show how they differ.
_DECIMALS = (2, 4, 6)


def regression(result: CellResult, files: Files) -> str:
    """What a cell that regressed is told: what changed, by how much more than is allowed, both curves, what to do."""
    return printable_each([*_what_changed(result), *_next([result], files)])


def _what_changed(result: CellResult) -> list[str]:
    before = result.baseline or {}
    lines = [
        f"{result.cell}: regressed against the baseline: {before.get('because')}.",
        *curves(before.get("curve") or (), result.curve),
    ]
    if (step := parted(before.get("curve") or (), result.curve)) is not None:
        lines.append(f"The curves part at step {step:,}.")
    return lines


def _next(regressed: Sequence[CellResult], files: Files) -> list[str]:
    """How cells that regressed are accepted: by the baseline where they learn, and else as known failures alone."""
    worse = [each.cell.id for each in regressed if each.verdict.passes]
    broken = [each.cell.id for each in regressed if not each.verdict.passes and each.known is None]
    lines = []
    if worse:
        command = into_baseline(worse, files)
        accepted = f"; if it is meant, {files.then(command)}" if command else ""
        lines.append(f"Next: look at what changed since{accepted}.")
    if broken:
        command = files.then(into_known(broken, files))
        lines.append(
            f"Next: mend it, since no baseline excuses what does not learn; until then, {command} makes it a known "
            "failure."
        )
    return lines


def printable_each(lines: Sequence[str]) -> str:
    """The lines as a text that drives no terminal."""
    return "\n".join(map(printable, lines))


def curves(before: Sequence[Sequence[float | None]], now: Sequence[Sequence[float | None]]) -> list[str]:
    """Two curves, a row each, at the steps that both have, or else at those of either."""
    rows = [_points(before), _points(now)]
    steps = sorted(rows[0].keys() & rows[1].keys()) or sorted(rows[0].keys() | rows[1].keys())
    if len(steps) > MOST_POINTS:
        last = len(steps) - 1
        steps = [steps[round(place * last / (MOST_POINTS - 1))] for place in range(MOST_POINTS)]
    if not steps:
        return []
    decimals = next((each for each in _DECIMALS if _differ(rows, steps, each)), _DECIMALS[0])
    heads = [f"{step:,}" for step in steps]
    texts = [[_score(row, step, decimals) for step in steps] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *texts, strict=True)]
    named = (("  step", heads), ("  baseline", texts[0]), ("  now", texts[1]))
    return [
        "  ".join((name.ljust(10), *map(str.rjust, cells, widths))).rstrip()  # a column a step
        for name, cells in named
    ]


def parted(before: Sequence[Sequence[float | None]], now: Sequence[Sequence[float | None]]) -> float | None:
    """The first step at which two curves differ; None where they do not, or have no step in common."""
    rows = _points(before), _points(now)
    common = sorted(rows[0].keys() & rows[1].keys())
    return next((step for step in common if rows[0][step] != rows[1][step]), None)


def section(
    results: Sequence[CellResult],
    gone: Collection[str] | None = None,
    not_comparable: Mapping[str, str] | None = None,
    files: Files | None = None,
) -> list[Line]:
    """What a run says of its baseline: a line of counts, then what is not as it was.

    Args:
        results: The cells, each beside its baseline.
        gone: Cells of the baseline alone; None where that is not known, as from the records.
        not_comparable: Cells that could not be compared, each with the reason; None where that is not known.
        files: What commands that follow name.
    """
    changes: dict[str, list[CellResult]] = {}
    for result in results:
        if result.baseline:
            changes.setdefault(str(result.baseline.get("change")), []).append(result)
    counts = [f"{len(changes.get(each, []))} {each}" for each in ("same", "regressed", "improved", "new")]
    counts += [] if gone is None else [f"{len(gone)} gone"]
    counts += [] if not_comparable is None else [f"{len(not_comparable)} not comparable"]
    gone, not_comparable = gone or (), not_comparable or {}
    lines: list[Line] = [[(f"baseline: {', '.join(counts)}", {})]]
    same = [(each, each.baseline or {}) for each in changes.get("same", [])]
    moved = [each for each, was in same if was.get("lane") == "exact" and was.get("because")]
    if moved:
        first = (moved[0].baseline or {})["because"]
        lines.append([(printable(f"moved  {_named([each.cell.id for each in moved])}: {first}"), {})])
    for result in changes.get("regressed", []):
        first, *rest = map(printable, _what_changed(result))
        if result.known is not None:
            first += " It is a known failure."
        lines.append([(first, {"red": result.known is None, "yellow": result.known is not None})])
        lines += [[(f"  {text}", {})] for text in rest]
    lines += [[(printable(said), {})] for said in _next(changes.get("regressed", []), files or Files())]
    for result in changes.get("improved", []):
        because = (result.baseline or {}).get("because")
        lines.append([(printable(f"improved  {result.cell}: {because}"), {"green": True})])
    new = [each.cell.id for each in changes.get("new", [])]
    lines += [
        [(printable(f"{word}  {_named(ids)}"), {})] for word, ids in (("new", new), ("gone", gone)) if ids
    ]
    for reason in dict.fromkeys(not_comparable.values()):
        ids = [name for name, said in not_comparable.items() if said == reason]
        lines.append([(printable(f"not comparable  {_named(ids)}: {reason}"), {"yellow": True})])
    return lines


def _named(ids: Collection[str]) -> str:
    first = ", ".join(list(ids)[:MOST_NAMED])
    return f"{first} and {len(ids) - MOST_NAMED} more" if len(ids) > MOST_NAMED else first


def _points(curve: Sequence[Sequence[float | None]]) -> dict[float, float | None]:
    return {step: score for step, score in curve if step is not None}


def _differ(rows: Sequence[Mapping[float, float | None]], steps: Sequence[float], decimals: int) -> bool:
    texts = [[_score(row, step, decimals) for step in steps] for row in rows]
    return texts[0] != texts[1]


def _score(row: Mapping[float, float | None], step: float, decimals: int) -> str:
    if step not in row:
        return ""
    score = row[step]
    return "non-finite" if score is None or not math.isfinite(score) else f"{score:.{decimals}f}"
