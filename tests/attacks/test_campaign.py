"""The short form of the fault campaign: a clock that jumps. Other tests kill, end and fill up what it does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.attacks.campaign import Struck, campaign, table

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are found through /proc"),
]


def test_what_must_hold_holds_when_the_clock_jumps(tmp_path: Path) -> None:
    (found,) = campaign(tmp_path, moments=1, seed=47, jobs=1, faults=("clock",))

    assert found.broken == (), table([found])


def test_what_does_not_hold_is_said() -> None:
    assert table([Struck("disk", 1.0, 0, ("no table",))]).splitlines()[-2:] == [
        "1 moments, 1 with something that did not hold",
        "  disk after 1.00 s, 0: no table",
    ]
