"""`quantgate run`."""

from __future__ import annotations

import re

import pytest

from quantgate.records.result import CellResult
from quantgate.records.verdict import Verdict
from tests.cli.conftest import Command
from tests.examples import make_result


def test_a_missing_corpus_exits_4(quantgate: Command) -> None:
    said = quantgate("run", "int8", "sgd", "--corpus", "no/such.txt")

    assert (said.status, said.out) == (4, "")
    assert said.err.startswith("quantgate: corpus 'no/such.txt' is neither")


def test_a_device_that_does_not_exist_is_refused(quantgate: Command) -> None:
    assert quantgate("run", "int8", "sgd", "--width", "16", "--steps", "1", "--device", "nosuch").status == 4


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
    monkeypatch.setattr("quantgate.gate.run.run_cell", lambda *given, **more: result)


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
