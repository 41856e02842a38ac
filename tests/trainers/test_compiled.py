"""Trainers in C and Rust: built rightly they learn in int8, built wrongly they do not, and their weights say why."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from quantgate.records.result import CellResult
from tests.conftest import Once
from tests.trainers.conftest import Judge
from tests.trainers.programs import FAULTS, TRAINER_C, TRAINER_RUST

pytestmark = pytest.mark.slow

BUILDS = {
    "c": ("gcc", TRAINER_C, ("-O2", "{source}", "-o", "{program}", "-lm"), "-D{fault}"),
    "rs": ("rustc", TRAINER_RUST, ("-Copt-level=2", "{source}", "-o", "{program}"), "--cfg={fault}"),
}
PATTERNS = {"c": "step={step} val_bpb={bpb}", "rs": None}
COMMAND = [
    "--format",
    "{format}",
    "--seed",
    "{seed}",
    "--steps",
    "{steps}",
    "--lr",
    "{lr}",
    "--data",
    "{corpus}",
]
DUMPS = ["--weights", "{weights}"]
LANGUAGES = pytest.mark.parametrize("language", list(BUILDS))


@pytest.fixture
def program(language: str, once: Once, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a language's programs, `right` and one by each fault's name."""
    compiler, source, arguments, define = BUILDS[language]
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")

    def build() -> str:
        folder = tmp_path_factory.mktemp(language)
        path = folder / f"trainer.{language}"
        path.write_text(source, encoding="utf-8")
        for name in ("right", *FAULTS):
            given = [each.format(source=path, program=folder / name) for each in arguments]
            flag = [] if name == "right" else [define.format(fault=name)]
            subprocess.run([compiler, *flag, *given], check=True, capture_output=True, text=True)
        return str(folder)

    found: str = once(f"trainers-{language}", build)
    return found


def judged(judge: Judge, program: str, build: str, language: str, *, dumps: bool) -> CellResult:
    command = [str(Path(program) / build), *COMMAND, *(DUMPS if dumps else [])]
    return judge(command, pattern=PATTERNS[language], lr=0.0015)


@LANGUAGES
@pytest.mark.parametrize("dumps", [False, True], ids=["curve", "weights"])
def test_a_right_build_learns(judge: Judge, program: str, language: str, dumps: bool) -> None:
    result = judged(judge, program, "right", language, dumps=dumps)

    assert (result.verdict, result.cause) == ("learns", None), result.message()
    assert result.bpb is not None
    assert result.bpb_control is not None
    assert 0 < abs(result.bpb - result.bpb_control) < 0.01
    assert "warnings" not in result.evidence
    assert len(result.evidence.get("weights", ())) == (3 if dumps else 0)


@LANGUAGES
@pytest.mark.parametrize("fault", list(FAULTS))
def test_a_wrong_build_is_red_and_its_weights_name_the_cause(
    judge: Judge, program: str, language: str, fault: str
) -> None:
    result = judged(judge, program, fault, language, dumps=True)

    assert not result.verdict.passes
    assert result.cause == FAULTS[fault], result.message()
    assert "also" not in result.evidence or fault in {"NO_SCALE", "UNSIGNED"}


@pytest.mark.parametrize("language", ["c"])
@pytest.mark.parametrize(
    ("fault", "verdict", "cause"),
    [
        ("SWALLOWED", "dead", "unexplained"),
        ("NO_SCALE", "dead", "unexplained"),
        ("BLOCKED", "dead", "unexplained"),
        ("FALLBACK", "no-op", "no-op"),
    ],
)
def test_what_the_curve_tells_alone(
    judge: Judge, program: str, language: str, fault: str, verdict: str, cause: str
) -> None:
    """A lost sign is not among them: this model learns around it."""
    result = judged(judge, program, fault, language, dumps=False)

    assert (result.verdict, result.cause) == (verdict, cause), result.message()
    assert cause == "no-op" or "{weights}" in (result.hint or "")
