"""`quantgate power`."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

import pytest

from quantgate.faults import FAULTS, power
from tests.cli.conftest import Command


def test_no_processes_are_refused(quantgate: Command) -> None:
    assert quantgate("power", "--only", "int8", "--jobs", "0").status == 4


@pytest.fixture
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials run in this process: two of them are not worth a pool."""
    monkeypatch.setattr(power, "run", lambda chosen, jobs: map(power.run_trial, chosen))


@pytest.mark.slow
@pytest.mark.usefixtures("_here")
def test_power_counts_two_names(quantgate: Command, tmp_path: Path) -> None:
    written = tmp_path / "power.json"
    said = quantgate(
        "power", "--only", "int4_round_without_ste,int8", "--optimizers", "sgd", "--widths", "32",
        "--json", str(written),
    )  # fmt: skip

    assert said == (
        0,
        dedent(
            """\
            | fault class | cells | red | a warning | right cause first | among those named | BPB < 6.5 alone |
            |---|---:|---:|---:|---:|---:|---:|
            | gradient-blocked | 1 | 1 (100%) | 0 | 1 (100%) | 1 (100%) | 1 (100%) |
            | **all** | 1 | 1 (100%) | 0 | 1 (100%) | 1 (100%) | 1 (100%) |

            | healthy | cells | false alarms | too coarse to learn | BPB < 6.5 alone |
            |---|---:|---:|---:|---:|
            | healthy twins | 1 | 0 | 0 | 0 |
            | builtin | 1 | 0 | 0 | 0 |
            """
        ),
        "",
    )
    counted = json.loads(written.read_text())
    assert [row["name"] for row in counted["faults"]] == ["gradient-blocked"]
    assert [row["name"] for row in counted["healthy"]] == ["healthy twins", "builtin"]
    assert counted["faults"][0] == {
        "name": "gradient-blocked", "cells": 1, "flagged": 1, "right_cause": 1, "among_causes": 1,
        "plainly": 1, "coarse": 0, "missed": [], "warned": 0, "wrong": 0,
    }  # fmt: skip


def outcome(name: str, verdict: str, cause: str | None, role: str = "broken") -> power.Outcome:
    library = power.LIBRARIES[0] if name in FAULTS else power.LIBRARIES[1]
    trial = power.Trial(name, role, "sgd", 47, 64, "builtin", library)
    return power.Outcome(trial, verdict, cause, None, () if cause is None else (cause,), (), 5.0, 0.0, 1.0)


def test_power_fails_where_a_fault_is_missed(quantgate: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    given = [outcome("int8_in_place", "learns", None), outcome("int8", "lags", "sign-lost", "healthy")]
    monkeypatch.setattr(power, "run", lambda chosen, jobs: iter(given))
    said = quantgate("power")

    assert said.status == 1
    assert said.out.endswith(
        dedent(
            """
            | healthy | cells | false alarms | too coarse to learn | BPB < 6.5 alone |
            |---|---:|---:|---:|---:|
            | builtin | 1 | 1 | 0 | 0 |

            Missed or false (2):
            - int8_in_place x sgd s47 w64 builtin: learns 
            - int8 x sgd s47 w64 builtin: lags sign-lost
            """  # noqa: W291
        )
    )
