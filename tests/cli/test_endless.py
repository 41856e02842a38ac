"""Files without an end, given to every command that reads one: one sentence, at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cli.conftest import Command

ZERO = Path("/dev/zero")
pytestmark = pytest.mark.skipif(not ZERO.exists(), reason="there is no file without an end here")
ENDLESS = "'/dev/zero' cannot be read: it is a device, a pipe or a socket, which may have no end"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("baseline", "compare", "/dev/zero", "/dev/zero"), f"baseline {ENDLESS}"),
        (("baseline", "accept", "/dev/zero", "none.jsonl", "--reason", "x"), f"baseline {ENDLESS}"),
        (("known", "accept", "/dev/zero", "--reason", "x", "-o", "known.toml"), f"results {ENDLESS}"),
        (("report", "/dev/zero"), f"{ENDLESS}; name a results.jsonl or the folder that holds it"),
        (("merge", "/dev/zero", "-o", "whole"), ENDLESS),
        (("vectors", "check", "posit8", "/dev/zero"), f"the answers {ENDLESS}"),
    ],
    ids=["compare", "accept", "known", "report", "merge", "vectors"],
)
def test_a_command(quantgate: Command, folder: Path, arguments: Sequence[str], said: str) -> None:
    assert quantgate(*arguments) == (4, "", f"quantgate: {said}\n")


@pytest.mark.parametrize(("option", "what"), [("baseline", "baseline"), ("known-failures", "known failures")])
def test_an_option(pytester: pytest.Pytester, option: str, what: str) -> None:
    pytester.makepyfile("def test_learns(lowbit_cell): ...")

    result = pytester.runpytest_inprocess(
        "-n0", f"--quantgate-{option}=/dev/zero", "--quantgate-formats=int8"
    )

    assert (result.ret, result.errlines[0]) == (4, f"ERROR: quantgate: {what} {ENDLESS}")
