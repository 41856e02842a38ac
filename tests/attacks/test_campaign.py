"""The short form of the fault campaign: a worker killed and a clock that jumps; `test_processes.py` has the others."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.attacks.campaign import Struck, campaign, table

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are found through /proc"),
]


def test_what_must_hold_holds_when_a_worker_is_killed_and_when_the_clock_jumps(tmp_path: Path) -> None:
    found = campaign(tmp_path, moments=2, seed=47, jobs=2, faults=("worker", "clock"))

    assert [each.broken for each in found] == [(), ()], table(found)


def test_what_does_not_hold_is_said() -> None:
    assert table([Struck("disk", 1.0, 0, ("no table",))]).splitlines()[-2:] == [
        "1 moments, 1 with something that did not hold",
        "  disk after 1.00 s, 0: no table",
    ]
