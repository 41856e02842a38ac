"""Names that the tests of a project register, on the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = """
import quantgate


def build(model, lr):
    import torch

    return torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)


quantgate.register_optimizer("ours", build, reference="sgd")


def pytest_quantgate_register(registry):
    registry.register_format("hooked", lambda x: x + ((x * 64).round() / 64 - x).detach(), bits=8)
"""


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A process of its own, since conftest files are imported once."""
    return subprocess.run(
        [sys.executable, "-m", "quantgate.cli", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Options of the tests that no command could take, and must not."""
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -n2 --no-such-option\n", encoding="utf-8")
    (tmp_path / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    return tmp_path


@pytest.mark.slow
def test_a_command_knows_what_conftest_and_the_hook_register(project: Path) -> None:
    ran = command(project, "run", "hooked", "ours", "--width=32", "--steps=20", "--lr=0.05")

    assert "hooked x ours, width 32: learns, " in ran.stdout, ran.stderr
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.slow
def test_a_name_that_nothing_registers_is_an_error_still(project: Path) -> None:
    ran = command(project, "doctor", "hooke")

    assert (ran.returncode, ran.stdout) == (4, "")
    assert ran.stderr == "quantgate: unknown format 'hooke'; did you mean 'hooked'?\n"


@pytest.mark.slow
def test_a_conftest_that_cannot_be_read_is_said(project: Path) -> None:
    (project / "conftest.py").write_text("raise OSError('no such disk')\n", encoding="utf-8")
    ran = command(project, "doctor", "hooke")

    assert (ran.returncode, ran.stdout) == (4, "")
    assert ran.stderr.endswith(" What the tests register could not be read: OSError: no such disk\n")
