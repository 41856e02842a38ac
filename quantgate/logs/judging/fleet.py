"""The runs of a fleet become result records: units and horizons are derived, controls found, commits compared."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from quantgate.formats import known_format
from quantgate.logs.aggregate import Run
from quantgate.logs.judging.chance import find_scale
from quantgate.logs.judging.controls import Choice, Controls, is_control
from quantgate.logs.judging.judge import CurveError, Judgement, judge_run
from quantgate.logs.judging.records import to_result, told_apart
from quantgate.logs.judging.rules import NEAR_CHANCE, Rules, Unit
from quantgate.logs.names import Key
from quantgate.records.result import CellResult
from quantgate.records.verdict import Limits, Verdict

#: Of so many runs the middle one says how long a whole run is.
_ENOUGH = 3


@dataclass(frozen=True)
class Asked:
    """What the user said of a fleet; None is derived."""

    chance: float | None = None
    unit: Unit | None = None
    horizon: int | None = None
    limits: Limits | None = None
    tolerance: float | None = None
    #: A glob over names, or `column=value,...`; None takes the float32 formats.
    control: str | None = None


@dataclass(frozen=True)
class Judged:
    """A judged fleet."""

    results: tuple[CellResult, ...]
    controls: tuple[CellResult, ...]
    samples: int
    runs: int
    #: What was derived, a sentence each.
    said: tuple[str, ...]
    #: The lines for a whole run.
    limits: Limits


def judge_fleet(runs: Iterable[Run], asked: Asked, *, bits_named: bool) -> Judged:
    """Judge each cell of a fleet by its latest run.

    Args:
        runs: Every run.
        asked: What the user said.
        bits_named: Whether the column of scores is named as bits are; a loss is in nats by convention.

    Raises:
        ValueError: There is no run, or no cell is the control that was asked for.
    """
    read = tuple(runs)
    cells = _cells(read)
    for each in cells.values():
        each.sort(key=_order)
    latest = {key: each[-1] for key, each in cells.items()}
    rules, said = _rules(tuple(latest.values()), asked, bits_named)
    controls = {key: run for key, run in latest.items() if is_control(key, asked.control)}
    if asked.control is not None and not controls:
        some = ", ".join(sorted(key.label for key in latest)[:3])
        raise ValueError(
            f"--control {asked.control!r}: no cell is it; there are {some}{', ...' * (len(latest) > 3)}"
        )
    judged_controls = {key: _judged(run, rules, None, asked) for key, run in controls.items()}
    said += (_say_controls(controls, asked),)
    found_for = Controls(controls)
    results, alone = [], 0
    for key, each in cells.items():
        if key in controls:
            continue
        choice = found_for.of(key)
        alone += choice is None
        found = _judge_cell(each, rules, choice, asked)
        if choice is not None and not judged_controls[choice.run.key.cell].verdict.passes:
            found = _beside_a_dead_control(found, choice, judged_controls[choice.run.key.cell])
        results.append(to_result(latest[key], found, None if choice is None else choice.run, rules))
    if controls and alone:
        said += (f"{alone:,} of {len(results):,} cells have no control of their optimizer, width and rate",)
    beside = [to_result(run, judged_controls[key], None, rules, "control") for key, run in controls.items()]
    total = sum(map(len, cells.values()))
    if earlier := total - len(latest):
        said += (f"{earlier:,} of {total:,} runs are earlier commits of a cell, which its latest run judges",)
    if len(results) + len(beside) + earlier != len(read):
        raise ValueError(
            f"{len(read):,} runs were read, and {len(results) + len(beside):,} judged or refused, {earlier:,} of them "
            "earlier: a fault of quantgate's own, and no verdict can be trusted; please report it"
        )
    return Judged(
        told_apart(results),
        told_apart(beside),
        sum(run.samples for each in cells.values() for run in each),
        total,
        said,
        rules.lines(rules.horizon or max(run.last_step for run in latest.values())),
    )


def _cells(runs: Sequence[Run]) -> dict[Key, list[Run]]:
    """The runs of each cell: those of several commits are one cell's; others that share one are cells of their own.

    Raises:
        ValueError: There is no run, or each is one line.
    """
    if not any(run.samples for run in runs):
        raise ValueError(
            "no samples: nothing was read that has a step and a score; is it the right column or pattern?"
        )
    if len(runs) >= _ENOUGH and all(run.samples == 1 for run in runs):
        raise ValueError(
            f"each of {len(runs):,} runs has one score ({runs[0].key.label!r} is the first): the column that names "
            "runs holds something else in each line. Say --columns name=COLUMN."
        )
    cells: dict[Key, list[Run]] = defaultdict(list)
    for run in runs:
        cells[run.key.cell].append(run)
    apart: dict[Key, list[Run]] = {}
    for key, each in cells.items():
        commits = len({run.key.sha for run in each})
        if commits == len(each) or (commits > 1 and not any(run.key.sha == "" for run in each)):
            apart[key] = each
            continue
        for run in each:
            name = "/".join(filter(None, (key.label, run.key.run)))
            apart[replace(key, name=name)] = [replace(run, key=replace(run.key, name=name))]
    return apart


def _order(run: Run) -> tuple[float, int]:
    begins = [stretch.begins for stretch in run.stretches if stretch.begins is not None]
    return (-math.inf if run.began is None else run.began, min(begins, default=-1))


def _ordered(runs: Sequence[Run]) -> bool:
    """Whether it is known which run came first."""
    return len({_order(run) for run in runs}) == len(runs)


def _rules(latest: Sequence[Run], asked: Asked, bits_named: bool) -> tuple[Rules, tuple[str, ...]]:
    scale = find_scale(latest, asked.chance, asked.unit, bits_named)
    rules = Rules(
        scale.chance,
        scale.unit,
        None,
        asked.limits,
        asked.tolerance,
        derived=asked.chance is None,
        known=scale.certain,
    )
    firsts = [run.stretches[0].mean for run in latest if run.stretches[0].mean is not None]
    at_chance = [first for first in firsts if first * rules.in_bits >= NEAR_CHANCE * scale.chance]
    horizon, whole = asked.horizon, "given"
    if horizon is None and len(latest) >= _ENOUGH:
        horizon, whole = (
            int(median(run.last_step for run in latest)),
            "the middle run's last step, or the control's",
        )
    said: tuple[str, ...] = (
        f"unit {scale.unit} ({scale.unit_why})",
        f"chance {scale.chance:.2f} bits ({scale.chance_why})",
    )
    if horizon is not None:
        said += (f"horizon {horizon:,} steps ({whole})",)
    # The unit is confirmed by runs that start at chance; those that were first logged later are then taken as they are.
    confirmed = scale.certain and 0 < len(at_chance) < len(firsts)
    return replace(rules, horizon=horizon, late_start=confirmed), said


def _judge_cell(runs: Sequence[Run], rules: Rules, choice: Choice | None, asked: Asked) -> Judgement:
    found = _judged(runs[-1], rules, choice, asked)
    if len(runs) < 2 or found.verdict.passes or not any(run.key.sha for run in runs):
        return found
    if not _ordered(runs):
        return replace(found, because=f"{found.because} {len(runs)} runs, and nothing says which came first.")
    good = [place for place, run in enumerate(runs) if _judged(run, rules, choice, asked).verdict.passes]
    if not good:
        return replace(found, because=f"{found.because} None of its {len(runs)} runs learned.")
    first_bad, last_good = runs[good[-1] + 1].key.sha, runs[good[-1]].key.sha
    return replace(
        found, because=f"{found.because} The first bad commit is {first_bad[:12]}; {last_good[:12]} was good."
    )


def _judged(run: Run, rules: Rules, choice: Choice | None, asked: Asked) -> Judgement:
    known = known_format(run.key.format)
    control = None if choice is None else choice.run
    if asked.horizon is None and control is not None:
        rules = replace(rules, horizon=control.last_step)
    try:
        return judge_run(
            run,
            rules,
            control,
            bits=None if known is None else known.bits,
            lossless=known is not None and known.lossless,
            same_seed=choice is not None and choice.exact,
        )
    except CurveError as error:
        return Judgement(Verdict.UNJUDGED, "refused", str(error))


def _beside_a_dead_control(found: Judgement, choice: Choice, control: Judgement) -> Judgement:
    if found.verdict is Verdict.UNJUDGED:
        return found
    score = "no score" if control.final is None else f"{control.final:.2f}"
    return replace(
        found, verdict=Verdict.UNJUDGED, cause=None, hint="mend the trainer, its data or its rate first.",
        because=f"its float32 control, {choice.run.key.label}, does not learn ({control.verdict}, {score}): the format "
        "is not what fails here.",
    )  # fmt: skip


def _say_controls(controls: dict[Key, Run], asked: Asked) -> str:
    if controls:
        return f"{len(controls)} float32 control{'s' * (len(controls) > 1)} ({next(iter(controls)).label})"
    return "no float32 control (fp32, f32, float32): nothing is judged beside one; --control names it"
