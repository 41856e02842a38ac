"""The command line, in this process: what it prints and how it exits."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import pytest

from quantgate import __version__
from quantgate.faults import power
from quantgate.diagnosis.causes import CAUSES
from quantgate.cli.main import _Bar, main
from quantgate.faults import FAULTS
from quantgate.formats import BUILTIN
from quantgate.subjects.registry import REGISTRY
from quantgate.records.result import CellResult
from quantgate.records.verdict import Verdict
from tests.examples import make_result


class Said(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str


Command = Callable[..., Said]


@pytest.fixture
def quantgate(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs the command line; the path and the registry are as before afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    for held in ("_formats", "_recipes", "_optimizers"):
        monkeypatch.setattr(REGISTRY, held, {})

    def run(*arguments: str) -> Said:
        try:
            status = main(arguments)
        except SystemExit as ended:
            status = int(ended.code or 0)
        return Said(status, *capsys.readouterr())

    return run


LIBRARY = """
import torch

def fine(x):
    return x + ((x * 64).round() / 64 - x).detach()

def blocked(x):
    return (x * 64).round() / 64

def fails(x):
    raise KeyError("scale")
"""


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a module in the current folder."""
    name = "quantizers_of_test_cli"
    (tmp_path / f"{name}.py").write_text(LIBRARY)
    monkeypatch.chdir(tmp_path)
    yield name
    sys.modules.pop(name, None)


def probes(out: str) -> dict[str, str]:
    """The probes of `doctor`'s output by their names, each with ok or FAIL."""
    lines = [line for line in out.splitlines() if line.startswith("  ")]
    return {line[8:26].rstrip(): line[2:6].rstrip() for line in lines}


def failed(out: str) -> list[str]:
    return [name for name, state in probes(out).items() if state == "FAIL"]


# usage


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
            "unknown cause 'gradient_blocked'; did you mean 'gradient-blocked'?",
        ),
        (("explain", "zzz"), f"unknown cause 'zzz'; known are {', '.join(CAUSES)}."),
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
        (("explain", "\x1b[31m\n"), f"unknown cause '\\x1b[31m\\n'; known are {', '.join(CAUSES)}."),
    ],
)
def test_a_wrong_name_exits_4_and_says_what_is_known(
    quantgate: Command, arguments: Sequence[str], message: str
) -> None:
    assert quantgate(*arguments) == (4, "", f"quantgate: {message}\n")


def test_a_missing_corpus_exits_4(quantgate: Command) -> None:
    said = quantgate("run", "int8", "sgd", "--corpus", "no/such.txt")

    assert (said.status, said.out) == (4, "")
    assert said.err.startswith("quantgate: corpus 'no/such.txt' is neither")


def test_an_interruption_exits_130(quantgate: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(name: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("quantgate.cli.main.cause_text", interrupted)

    assert quantgate("explain", "no-op").status == 130


def test_no_processes_are_refused(quantgate: Command) -> None:
    assert quantgate("power", "--only", "int8", "--jobs", "0").status == 4


def test_a_device_that_does_not_exist_is_refused(quantgate: Command) -> None:
    assert quantgate("run", "int8", "sgd", "--width", "16", "--steps", "1", "--device", "nosuch").status == 4


# explain


def test_explain_lists_every_cause_in_a_line(quantgate: Command) -> None:
    said = quantgate("explain")
    lines = said.out.splitlines()

    assert (said.status, said.err) == (0, "")
    assert [line.split()[0] for line in lines] == list(CAUSES)
    assert lines[0] == "gradient-blocked        No gradient reaches the weights behind the quantizer."


def test_explain_says_what_a_cause_is_and_how_it_is_mended(quantgate: Command) -> None:
    assert quantgate("explain", "gradient-blocked") == (
        0,
        dedent(
            """\
            gradient-blocked: No gradient reaches the weights behind the quantizer.

            How it looks: The loss stays where it started; under every optimizer the weights do not move.

            How to mend it: round() has no gradient; use x + (q(x) - x).detach().

            Seen in: meta-pytorch/MSLK PR 348, NVIDIA/TransformerEngine PR 3281.
            """
        ),
        "",
    )


@pytest.mark.parametrize("cause", CAUSES)
def test_explain_knows_every_cause(quantgate: Command, cause: str) -> None:
    said = quantgate("explain", cause)

    assert said.status == 0
    assert CAUSES[cause].summary in said.out
    assert CAUSES[cause].hint in said.out


# doctor


def test_the_doctor_finds_nothing_in_a_healthy_format(quantgate: Command) -> None:
    said = quantgate("doctor", "int8")

    assert (said.status, said.err) == (0, "")
    assert said.out.startswith(
        "int8 (8 bits)\n  ok    contract            shape, dtype, input and seed respected\n"
    )
    assert said.out.endswith("\nNo probe found a fault.\n")
    assert list(probes(said.out)) == [
        "contract", "all-zero input", "values change", "finite", "gradient reaches", "gradient direction",
        "gradient size", "edge of the range", "output scale", "sign", "zeros", "signal to noise",
        "scale follows", "rounding",
    ]  # fmt: skip
    assert set(probes(said.out).values()) == {"ok"}


@pytest.mark.parametrize(
    ("name", "cause", "probe"),
    [
        ("int4_round_without_ste", "gradient-blocked", "gradient reaches"),
        ("int8_rows_unguarded", "scale-zero", "all-zero input"),
        ("nf4_one_wrong_value", "wrong-table", "table"),
        ("int8_export_rounds_down", "train-deploy-mismatch", "export"),
        ("lsq_detached_scale", "qparams-invalid", "learned scales"),
        ("int8_scale_frozen", "scale-stale", "scale follows"),
        ("int4_floored", "rounding-biased", "rounding"),
        ("recipe_that_forgets", "no-op", "values change"),
        ("recipe_first_linear_only", "partly-applied", "values change"),
        ("optimizer_of_a_copy", "orphaned-parameter", "gradient reaches"),
        ("adam_8_bit_linear_map", "optimizer-state", "optimizer state"),
        ("int8_in_place", "update-swallowed", "stored updates"),
        ("int8_activations_without_ste", "gradient-blocked", "gradient reaches"),
        ("uint8_activations_without_zero_point", "sign-lost", "sign"),
    ],
)
def test_the_doctor_names_a_fault_of_the_library(
    quantgate: Command, name: str, cause: str, probe: str
) -> None:
    said = quantgate("doctor", name)

    assert (said.status, said.err) == (1, "")
    assert said.out.startswith(f"{FAULTS[name].broken.subject.name} (")
    assert re.search(rf"^  FAIL  {probe:<18}  {cause}: .*\.$", said.out, re.MULTILINE)
    assert said.out.endswith(f"\nCause: {cause}\nHint: {CAUSES[cause].hint} `quantgate explain {cause}`\n")


def test_the_doctor_asks_for_a_storage(quantgate: Command) -> None:
    assert failed(quantgate("doctor", "int4").out) == []
    assert failed(quantgate("doctor", "int4", "--storage", "inplace").out) == ["stored updates"]
    assert failed(quantgate("doctor", "int4_in_place", "--storage", "master").out) == []


def test_the_doctor_looks_in_the_current_folder(quantgate: Command, library: str) -> None:
    fine = quantgate("doctor", f"{library}:fine@8")
    blocked = quantgate("doctor", f"{library}:blocked")

    assert (fine.status, blocked.status) == (0, 1)
    assert fine.out.startswith(f"{library}:fine@8 (8 bits)\n")
    assert blocked.out.startswith(f"{library}:blocked (unknown bits)\n")
    assert failed(blocked.out) == ["gradient reaches"]


def test_the_doctor_tells_what_was_raised(quantgate: Command, library: str) -> None:
    said = quantgate("doctor", f"{library}:fails")

    assert said.status == 1
    assert said.out == (
        f"{library}:fails (unknown bits)\n  FAIL  crash               KeyError: 'scale' (at {library}.py:11)\n"
    )


def test_an_attribute_that_is_not_there_is_said(quantgate: Command, library: str) -> None:
    assert quantgate("doctor", f"{library}:blokked") == (
        4, "", f"quantgate: unknown attribute of {library} 'blokked'; did you mean 'blocked'?\n",
    )  # fmt: skip


def test_the_doctor_says_only_what_was_asked_of_a_recipe(quantgate: Command) -> None:
    assert not {"contract", "all-zero input"} & set(probes(quantgate("doctor", "recipe_that_forgets").out))


def test_a_fault_nearly_named_is_suggested(quantgate: Command) -> None:
    assert "'int4_round_without_ste'" in quantgate("doctor", "int4_round_without_st").err


# run


def test_a_run_prints_its_curve_and_its_verdict(quantgate: Command) -> None:
    said = quantgate("run", "int8", "sgd", "--width", "32")
    *curve, verdict = said.out.splitlines()
    rows = [re.fullmatch(r" *(\d+)   (\d\.\d{3}) (#+)", line) for line in curve]
    points = [(int(row[1]), float(row[2]), len(row[3])) for row in rows if row]

    assert (said.status, said.err) == (0, "")
    assert [step for step, _, _ in points] == [0, 20, 40, 60, 80, 100]
    assert all(len(line) <= 80 and line.index(".") == 10 for line in curve)
    assert points[0][2] == 40
    assert all(bar == round(40 * score / points[0][1]) for _, score, bar in points)
    found = re.fullmatch(
        r"int8 x sgd, width 32: learns, (\d\.\d{3}) BPB \(control (\d\.\d{3})\), \d+\.\d s", verdict
    )
    assert found
    assert float(found[1]) == points[-1][1] < 6.5
    assert float(found[2]) == pytest.approx(float(found[1]), abs=0.05)


def test_a_failing_run_exits_1_and_says_why(quantgate: Command) -> None:
    said = quantgate(
        "run", "int4", "sgd", "--width", "16", "--steps", "10", "--storage", "inplace", "--seed", "89"
    )
    *curve, what, cause, hint = said.out.splitlines()

    assert (said.status, said.err) == (1, "")
    assert [line.split()[0] for line in curve] == ["0", "2", "4", "6", "8", "10"]
    assert what.startswith("int4 x sgd, seed 89, width 16, in place: ")
    assert cause.startswith("Cause: update-swallowed: ")
    assert hint == (
        "Hint: keep a float32 master copy, or use stochastic rounding. `quantgate explain update-swallowed`"
    )


def shown(monkeypatch: pytest.MonkeyPatch, result: CellResult) -> None:
    monkeypatch.setattr("quantgate.gate.cell.run_cell", lambda *given, **more: result)


def test_scores_that_are_no_numbers_are_said(quantgate: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    shown(monkeypatch, make_result(curve=((0, 8.0), (20, 4.0), (40, float("nan")), (60, None))))

    assert quantgate("run", "int8", "sgd").out.splitlines()[:4] == [
        f"     0   8.000 {'#' * 40}",
        f"    20   4.000 {'#' * 20}",
        "    40  non-finite",
        "    60  non-finite",
    ]


def test_a_run_escapes_what_a_subject_says(quantgate: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    shown(monkeypatch, make_result(curve=(), evidence={"because": "\x1b[2J red."}))
    said = quantgate("run", "int8", "sgd")

    assert "\x1b" not in said.out
    assert "\nCause: gradient-blocked: \\x1b[2J red.\nHint: " in said.out


def test_a_run_without_a_control_says_none(quantgate: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    shown(
        monkeypatch,
        make_result(curve=(), verdict=Verdict.LEARNS, bpb=5.0, bpb_control=None, seconds=1.0, cause=None),
    )

    assert quantgate("run", "int8", "sgd") == (0, "mylib_int4 x adamw: learns, 5.000 BPB, 1.0 s\n", "")


def test_a_run_tells_what_was_raised(quantgate: Command, library: str) -> None:
    said = quantgate("run", f"{library}:fails", "sgd", "--width", "16", "--steps", "1")

    assert said.status == 1
    assert "KeyError: 'scale'" in said.out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_moves_on_a_terminal_and_is_erased() -> None:
    stream = Terminal()
    bar = _Bar(2, stream)
    bar(0, 7.0412)
    bar(1, None)
    bar(2, None)
    bar.close()

    assert stream.getvalue().split("\r")[1:] == [
        f"[{'.' * 30}] 0/2 7.04 BPB    ",
        f"[{'#' * 15}{'.' * 15}] 1/2 7.04 BPB    ",
        f"[{'#' * 30}] 2/2 7.04 BPB    ",
        " " * 70,
        "",
    ]


def test_there_is_no_bar_where_output_is_kept() -> None:
    stream = io.StringIO()
    bar = _Bar(2, stream)
    bar(0, 7.0)
    bar.close()

    assert stream.getvalue() == ""


# power


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
            | fault class | cells | caught | right cause first | right cause among those named | BPB < 6.5 alone |
            |---|---:|---:|---:|---:|---:|
            | gradient-blocked | 1 | 1 (100%) | 1 (100%) | 1 (100%) | 1 (100%) |
            | **all** | 1 | 1 (100%) | 1 (100%) | 1 (100%) | 1 (100%) |

            | healthy | cells | false alarms | BPB < 6.5 alone |
            |---|---:|---:|---:|
            | healthy twins | 1 | 0 | 0 |
            | builtin | 1 | 0 | 0 |
            """
        ),
        "",
    )
    counted = json.loads(written.read_text())
    assert [row["name"] for row in counted["faults"]] == ["gradient-blocked"]
    assert [row["name"] for row in counted["healthy"]] == ["healthy twins", "builtin"]
    assert counted["faults"][0] == {
        "name": "gradient-blocked", "cells": 1, "flagged": 1, "right_cause": 1, "among_causes": 1,
        "plainly": 1, "missed": [],
    }  # fmt: skip


def outcome(name: str, verdict: str, cause: str | None, role: str = "broken") -> power.Outcome:
    library = power.LIBRARIES[0] if name in FAULTS else power.LIBRARIES[1]
    trial = power.Trial(name, role, "sgd", 47, 64, "builtin", library)
    return power.Outcome(trial, verdict, cause, None, () if cause is None else (cause,), 5.0, 0.0, 1.0)


def test_power_fails_where_a_fault_is_missed(quantgate: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    given = [outcome("int8_in_place", "learns", None), outcome("int8", "lags", "sign-lost", "healthy")]
    monkeypatch.setattr(power, "run", lambda chosen, jobs: iter(given))
    said = quantgate("power")

    assert said.status == 1
    assert said.out.endswith(
        dedent(
            """
            | healthy | cells | false alarms | BPB < 6.5 alone |
            |---|---:|---:|---:|
            | builtin | 1 | 1 | 0 |

            Missed or false (2):
            - int8_in_place x sgd s47 w64 builtin: learns 
            - int8 x sgd s47 w64 builtin: lags sign-lost
            """  # noqa: W291
        )
    )


def test_trials_are_every_combination() -> None:
    chosen = power.trials(optimizers=("sgd", "muon"), seeds=(1, 2), widths=(16,), corpora=("a", "b"))

    assert len(set(chosen)) == len(chosen) == 8 * (2 * len(FAULTS) + len(BUILTIN))
    assert {trial.role for trial in chosen} == {"broken", "twin", "healthy"}
    assert [trial.cause for trial in power.trials(only=("int8_in_place", "int8"), optimizers=("sgd",))] == [
        "update-swallowed", None, None,
    ]  # fmt: skip


@pytest.mark.slow
def test_a_pool_gives_what_this_process_gives() -> None:
    chosen = power.trials(only=("int8",), optimizers=("sgd",), widths=(16,), steps=2)
    pooled = {each.trial: each for each in power.run(chosen, 1)}

    assert set(pooled) == set(chosen)
    here, there = power.run_trial(chosen[0]), pooled[chosen[0]]
    assert replace(here, seconds=0) == replace(there, seconds=0)
