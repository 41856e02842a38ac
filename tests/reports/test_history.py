"""The history of a cell as people read it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from quantgate.history.series import find_steps
from quantgate.records.verdict import Verdict
from quantgate.reports.history import regressions_text, series_text
from tests.history.runs import BEGUN
from tests.history.test_series import FIRST, points

SERIES = [
    replace(point, sha=point.sha * 40)
    for point in points(
        (5.22, "learns"), (7.04, "dead"), (None, "unjudged"), (5.21, "learns"), (5.33, "lags")
    )
    if point.sha
]
BLOCKED: Any = {"cause": "gradient-blocked", "because": "round() has no gradient"}
SERIES[1] = replace(SERIES[1], setting=(("torch", "2.14"),), **BLOCKED)
SERIES[4] = replace(SERIES[4], sha=f"{SERIES[4].sha}-dirty")


def test_a_series_is_drawn_and_its_steps_are_named() -> None:
    text = series_text(SERIES, find_steps(SERIES))

    assert (
        text
        == """\
int8-adamw-s47: 5 runs of 100 steps, branch main
canonical name IGLA

  commit        date          BPB verdict    5.20                          7.10
  aaaaaaaaaaaa  2026-01-01   5.22 learns    |*                                 |
! bbbbbbbbbbbb  2026-01-02   7.04 dead      |                                * |
  cccccccccccc  2026-01-03      - unjudged  |                                  |
+ dddddddddddd  2026-01-04   5.21 learns    |*                                 |
! eeeeeeeeeeee+ 2026-01-05   5.33 lags      |  *                               |
  + after a commit: with changes that were not committed

regressed at bbbbbbbbbbbb (2026-01-02): 5.22 learns -> 7.04 dead
  the run before it: aaaaaaaaaaaa (2026-01-01)
  gradient-blocked: round() has no gradient
  also: torch 2.13.0 -> 2.14
mended at dddddddddddd (2026-01-04): 7.04 dead -> 5.21 learns
  the run before it: bbbbbbbbbbbb (2026-01-02)
  also: torch 2.14 -> 2.13.0
regressed at eeeeeeeeeeee+ (2026-01-05): 5.21 learns -> 5.33 lags
  the run before it: dddddddddddd (2026-01-04)"""
    )
    assert max(map(len, text.splitlines())) <= 80


def test_regressions_say_what_was_mended() -> None:
    steps = [step for step in find_steps(SERIES) if step.kind == "regressed"]

    assert (
        regressions_text(steps, BEGUN)
        == """\
2 regressions since 2026-01-01, 1 mended since

int8-adamw-s47, branch main, 100 steps
  regressed at bbbbbbbbbbbb (2026-01-02): 5.22 learns -> 7.04 dead
    the run before it: aaaaaaaaaaaa (2026-01-01)
    gradient-blocked: round() has no gradient
    also: torch 2.13.0 -> 2.14
  mended at dddddddddddd (2026-01-04): 5.21 learns

int8-adamw-s47, branch main, 100 steps
  regressed at eeeeeeeeeeee+ (2026-01-05): 5.21 learns -> 5.33 lags
    the run before it: dddddddddddd (2026-01-04)"""
    )
    assert regressions_text([], BEGUN) == "no regression since 2026-01-01"


def test_a_long_history_shows_its_last_runs() -> None:
    lines = series_text(points(*[(5.22, "learns")] * 40), ()).splitlines()

    assert lines[0] == "int8-adamw-s47: 40 runs of 100 steps, branch main"
    assert lines[-3:] == ["  and 10 earlier runs", "", "no step"]


def test_a_run_of_no_commit_and_no_score() -> None:
    lost = replace(FIRST, sha=None, branch=None, bpb=None, verdict=Verdict.CRASHED)

    text = series_text([lost], ())
    assert text.splitlines()[0] == "int8-adamw-s47: 1 run of 100 steps"
    assert "  no commit     2026-01-01      - crashed   |" in text


def test_names_from_outside_drive_no_terminal() -> None:
    hostile = "\x1b[31m\n"
    seen = [
        replace(
            FIRST,
            cell=hostile,
            canon_name=hostile,
            branch=hostile,
            sha=hostile,
            because=hostile,
            cause=hostile,
        )
    ]
    after = replace(seen[0], run="1", bpb=7.0, verdict=Verdict.DEAD)

    steps = find_steps([*seen, after])
    assert "\x1b" not in series_text([*seen, after], steps) + regressions_text(steps, BEGUN)
