"""`quantgate incident`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from quantgate.faults import incident
from quantgate.faults.fleet import REPORT
from quantgate.records.verdict import Verdict
from tests.cli.conftest import Command


def test_the_incident_is_replayed_by_so_many_processes_and_shown(
    quantgate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    learns = incident.Outcome(5.2, Verdict.LEARNS, 5.19)
    rows = (incident.Row(REPORT[0], learns, learns),)
    asked: list[int] = []

    def replay(jobs: int, told: Callable[[int], object]) -> tuple[incident.Row, ...]:
        asked.append(jobs)
        told(2)
        return rows

    monkeypatch.setattr(incident, "replay", replay)

    assert quantgate("incident", "--jobs", "3") == (0, f"{incident.to_text(rows)}\n", "")
    assert asked == [3]


def test_no_processes_are_refused(quantgate: Command) -> None:
    assert quantgate("incident", "--jobs", "0") == (
        4, "", "quantgate: jobs is 0; at least one process is needed\n",
    )  # fmt: skip
