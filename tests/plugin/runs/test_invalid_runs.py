"""A run that cannot prove that it passes and fails: exit status 70, or 4 where its own options are at fault."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from quantgate.formats import BUILTIN
from quantgate.training.optimizers import OPTIMIZERS
from tests.plugin.project import BLOCKED, FAST, NARROW, TEST_LEARNS, Outcome, Project

OPTIMIZER_THAT_STANDS_STILL = """
import quantgate


def build(model, lr):
    import torch

    return torch.optim.SGD(model.parameters(), lr=0.0)


quantgate.register_optimizer("still", build)
"""
OPTIMIZER_THAT_GOES_UPHILL = """
import quantgate


def build(model, lr):
    import torch

    return torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, maximize=True)


quantgate.register_optimizer("uphill", build, lr=1e-3, reference="sgd")
"""
THE_GATES = "quantgate: the run is invalid: the machine or the gate is at fault, not the formats"
THE_USERS = "quantgate: the options of this run keep even float32 from learning; mend them first"


@pytest.fixture
def _gate_cannot_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gate whose first negative control is healthy, and whose others are not there."""
    for reader in ("controls.negative", "run"):
        monkeypatch.setattr(f"quantgate.gate.{reader}.NEGATIVE_CONTROLS", {"dead-body": BUILTIN["int8"]})


@pytest.fixture
def _machine_cannot_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which nothing learns."""
    slow = {name: replace(spec, lr=1e-12) for name, spec in OPTIMIZERS.items()}
    monkeypatch.setattr("quantgate.subjects.registry.OPTIMIZERS", slow)


def unjudged(outcome: Outcome, reason: str) -> None:
    """Assert that no cell has a verdict, and that each says why."""
    for record in outcome.cells.values():
        assert (record["verdict"], record["cause"], record["bpb"]) == ("unjudged", None, None)
        assert record["evidence"]["because"] == f"the run is invalid: {reason}"
    assert f"quantgate: {reason}" in outcome.lines


@pytest.mark.usefixtures("_gate_cannot_fail")
def test_a_negative_control_that_learns_makes_the_run_invalid(local: Project) -> None:
    """The failing cells and the failing test beside them would be 1; the run is 70."""
    other = "def test_other():\n    assert False\n"
    local.write(conftest=BLOCKED, test_lowbit=TEST_LEARNS + other)
    outcome = local.pytest("-n0", *FAST, "--quantgate-report=out", "--quantgate-formats=blocked,int4")
    assert outcome.exit_status == 70
    (control,) = [record for record in outcome.records if record["kind"] == "negative-control"]
    reason = (
        "the negative control dead-body x adamw, width 16, broken on purpose, learns "
        f"({control['bpb']:.2f} BPB)"
    )
    unjudged(outcome, reason)
    assert set(outcome.cells) == {"blocked", "int4"}
    assert THE_GATES in outcome.lines
    assert (
        "2 planned / 0 ran / 0 judged / 0 skipped, 1 of 1 controls learn, 0 of 1 negative controls fail"
        in outcome.lines
    )


@pytest.mark.usefixtures("_machine_cannot_learn")
def test_a_control_that_does_not_learn_makes_the_run_invalid(local: Project) -> None:
    local.write(test_lowbit=TEST_LEARNS)
    outcome = local.pytest(
        "-n0", "--quantgate-optimizers=adamw", "--quantgate-report=out", "--quantgate-formats=int4"
    )
    assert outcome.exit_status == 70
    (control,) = [record for record in outcome.records if record["kind"] == "control"]
    unjudged(
        outcome,
        f"the float32 control of fp32 x adamw does not learn (dead, {control['bpb']:.2f} BPB) "
        f"at a rate of {control['lr']:g}",
    )
    assert THE_GATES in outcome.lines


@pytest.mark.parametrize(
    "option",
    [
        "--quantgate-lr=1e-9",
        "--quantgate-steps=1",
        "--quantgate-corpus=noise.txt",
    ],
    ids=["lr", "steps", "corpus"],
)
def test_options_that_keep_the_control_from_learning_are_a_usage_error(local: Project, option: str) -> None:
    """The option alone: a width that is given would be the user's own too, so that a marker gives it."""
    local.write(test_lowbit=f"import pytest\n\npytestmark = pytest.mark.lowbit(widths=[32])\n{TEST_LEARNS}")
    noise = bytes(random.Random(7).choices(range(1, 128), k=300_000))
    (local.folder / "noise.txt").write_bytes(noise)
    options = ["--quantgate-optimizers=adamw", "--quantgate-formats=int4", "--quantgate-report=out"]
    outcome = local.pytest("-n0", *options, option)
    assert outcome.exit_status == 4
    (control,) = [record for record in outcome.records if record["kind"] == "control"]
    unjudged(
        outcome,
        f"the float32 control of fp32 x adamw, width 32 does not learn ({control['verdict']}, "
        f"{control['bpb']:.2f} BPB) at a rate of {control['lr']:g}",
    )
    assert THE_USERS in outcome.lines
    assert THE_GATES not in outcome.lines


def test_an_optimizer_that_stands_still_takes_its_own_cells_and_no_others(local: Project) -> None:
    local.write(conftest=OPTIMIZER_THAT_STANDS_STILL, test_lowbit=TEST_LEARNS)
    options = (
        "--quantgate-optimizers=still,adamw",
        "--quantgate-formats=int4",
        "--quantgate-report=out",
        *NARROW,
    )
    outcome = local.pytest("-n0", *options)
    assert outcome.exit_status == 1
    cells = [record for record in outcome.records if record["kind"] == "format"]
    assert {cell["optimizer"]: cell["verdict"] for cell in cells} == {"still": "unjudged", "adamw": "learns"}
    (said,) = [line for line in outcome.lines if line.startswith("quantgate: the ")]
    assert said.startswith(
        "quantgate: the float32 control of fp32 x still, width 32 does not learn (dead, 7."
    )
    assert said.endswith(" at a rate of 0.0004")
    assert (
        "quantgate: its cells are not judged, the others are; give the optimizer a rate at which float32 learns (lr=)"
    ) in outcome.lines
    assert "1 of 2 controls learn, 6 of 6 negative controls fail" in outcome.stdout


def test_an_optimizer_that_goes_uphill_is_what_is_said_and_not_its_rate(local: Project) -> None:
    local.write(conftest=OPTIMIZER_THAT_GOES_UPHILL, test_lowbit=TEST_LEARNS)
    outcome = local.pytest("-n0", "--quantgate-optimizers=uphill", "--quantgate-formats=int4", *NARROW)
    assert outcome.exit_status == 4
    (said,) = [line for line in outcome.lines if line.startswith("quantgate: the ")]
    assert said.endswith(
        " at a rate of 0.001: the sign of the update is flipped: to that of sgd, which it claims to be, it has a "
        "cosine of -1.00"
    )
    assert (
        "quantgate: a registered optimizer keeps even float32 from learning; mend it first" in outcome.lines
    )
    assert THE_USERS not in outcome.lines


def test_controls_that_crash_prove_nothing_and_say_why(local: Project) -> None:
    still = OPTIMIZER_THAT_STANDS_STILL.replace("import torch\n", "raise OSError('no \\x1b[31mmemory')\n")
    local.write(conftest=still, test_lowbit=TEST_LEARNS)
    outcome = local.pytest("-n0", *NARROW, "--quantgate-formats=int4", "--quantgate-report=out")
    assert outcome.exit_status == 4
    assert "\x1b" not in outcome.stdout
    crash = r"OSError: no \x1b[31mmemory (at conftest.py:"
    said = [line.partition(crash)[0] for line in outcome.lines if line.startswith("quantgate: the ")]
    assert said == [
        "quantgate: the float32 control of fp32 x still, width 32 does not learn (crashed, no score) "
        "at a rate of 0.0004: ",
        *(
            f"quantgate: the negative control {name} x still, width 16 proves nothing (crashed): "
            for name in ("dead-body", "negated-gradient", "zero-gradient")
        ),
        THE_USERS,
    ]
    assert (
        "1 planned / 0 ran / 0 judged / 0 skipped, 0 of 1 controls learn, 0 of 3 negative controls fail"
        in outcome.lines
    )


def test_a_device_that_is_not_there_is_a_usage_error(project: Project) -> None:
    project.write(test_lowbit=TEST_LEARNS)
    options = ["--quantgate-optimizers=adamw", "--quantgate-formats=int4,nf4", "--quantgate-report=out"]
    outcome = project.pytest("-n2", *NARROW, *options, "--quantgate-device=cuda:99")
    assert outcome.exit_status == 4
    assert {record["verdict"] for record in outcome.cells.values()} == {"unjudged"}
    # Whichever control a worker came to first.
    said = [
        line for line in outcome.lines if line.startswith("quantgate: ") and " cannot be trained: " in line
    ]
    assert len(said) == 1
    assert said[0].startswith(
        ("quantgate: fp32 x adamw, width 32 ", "quantgate: dead-body x adamw, width 16 ")
    )


FULL_DISK = """
import errno
import os
from pathlib import Path

write = Path.write_text


def fill(path, *arguments, **options):
    if path.name.startswith({prefix!r}):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return write(path, *arguments, **options)


Path.write_text = fill
"""


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["control-", "doing-"])
def test_a_full_disk_under_the_folder_of_the_run_is_the_machines_fault(project: Project, prefix: str) -> None:
    """Where nothing can be published, no control proves anything, and no format is to blame."""
    project.write(conftest=FULL_DISK.format(prefix=prefix), test_lowbit=TEST_LEARNS)

    outcome = project.pytest("-n1", *FAST, "--quantgate-formats=int4", "--quantgate-report=out")

    assert outcome.exit_status == 70
    (record,) = outcome.cells.values()
    assert record["verdict"] == "unjudged"
    assert record["evidence"]["because"].endswith("of the run cannot be written to: No space left on device")
    assert THE_GATES in outcome.lines
