"""What every command shares: usage, names that nothing has, interruption."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from quantgate import __version__
from quantgate.diagnosis.causes import CAUSES
from quantgate.diagnosis.glossary import TERMS, VERDICTS
from tests.cli.conftest import Command

#: What `quantgate explain` says where no name is near.
GROUPS = (
    f"there are {len(VERDICTS)} verdicts (learns, healthy, faulty and more), {len(CAUSES)} causes (gradient-blocked, "
    f"gradient-wrong, gradient-misscaled and more), {len(TERMS)} terms (format, codec, fake-quantize and more), rules "
    "and power: `quantgate explain` lists all"
)


def test_its_version(quantgate: Command) -> None:
    assert quantgate("--version") == (0, f"quantgate {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "the following arguments are required: COMMAND"),
        (("run", "int8"), "the following arguments are required: OPTIMIZER"),
        (("run", "int8", "sgd", "--seed", "x"), "argument --seed: invalid int value: 'x'"),
        (("doctor",), "the following arguments are required: NAME|module:function"),
    ],
)
def test_a_usage_error_exits_4(quantgate: Command, arguments: Sequence[str], message: str) -> None:
    said = quantgate(*arguments)

    assert (said.status, said.out) == (4, "")
    assert said.err.startswith("usage: quantgate")
    assert said.err.endswith(f"\nquantgate: {message}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("doctor", "int9"), "unknown format 'int9'; did you mean 'int8' or 'int4' or 'uint8'?"),
        (
            ("doctor", "no_such_module_of_mine:f"),
            "'no_such_module_of_mine:f': module 'no_such_module_of_mine' cannot be imported "
            "(No module named 'no_such_module_of_mine'); is it on the path?",
        ),
        (
            ("explain", "gradient_blocked"),
            "unknown cause, verdict or term 'gradient_blocked'; did you mean 'gradient-blocked'?",
        ),
        (("explain", "zzz"), f"unknown cause, verdict or term 'zzz'; {GROUPS}"),
        (
            ("explain", "straight", "trough", "estimator"),
            "unknown cause, verdict or term 'straight trough estimator'; did you mean 'straight-through estimator'?",
        ),
        (("run", "int8", "adam"), "unknown optimizer 'adam'; did you mean 'adamw'?"),
        (
            ("run", "int8", "sgd", "--width", "15"),
            "--steps must be at least 1, and --width 16 or a multiple of 32",
        ),
        (
            ("run", "int8", "sgd", "--steps", "0"),
            "--steps must be at least 1, and --width 16 or a multiple of 32",
        ),
        (("power", "--only", "int9"), "unknown fault 'int9'; the nearest are int8, int4, uint8"),
        (("power", "--only", "zzzz"), "unknown fault 'zzzz'; the nearest are none"),
        (
            ("power", "--libraries", "quantgate.faults:Fault"),
            "library 'quantgate.faults:Fault' is a type, not a mapping of faults or setups by name",
        ),
        (
            ("power", "--libraries", "no_such_module:x"),
            "library 'no_such_module:x' cannot be loaded: No module named 'no_such_module'; "
            "write module:attribute",
        ),
        (
            ("explain", "\x1b[31m\n"),
            f"unknown cause, verdict or term '\\x1b[31m\\n'; {GROUPS}",
        ),
    ],
)
def test_a_wrong_name_exits_4_and_says_what_is_known(
    quantgate: Command, arguments: Sequence[str], message: str
) -> None:
    assert quantgate(*arguments) == (4, "", f"quantgate: {message}\n")


def test_an_interruption_exits_130(quantgate: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(name: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("quantgate.cli.explain.cause_text", interrupted)

    assert quantgate("explain", "no-op").status == 130


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full disk at hand")
@pytest.mark.parametrize("arguments", [("explain",), ("explain", "no-op")])
def test_a_full_disk_is_said(arguments: Sequence[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "quantgate.cli", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert (done.returncode, done.stderr) == (4, "quantgate: No space left on device\n")
