"""One run with every option that acts in training, in each mode: what it leaves, and that modes do not differ."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from xml.etree import ElementTree

import pytest

from quantgate.corpus import load
from tests.plugin.conftest import Shared
from tests.plugin.project import BLOCKED, FAST, MODES, TEST_LEARNS, Outcome, Project

CONFTEST = f"""{BLOCKED}

def stochastic(w):
    import torch

    scale = (w.detach().abs().amax() / 127).clamp_min(1e-12)
    return w + ((w / scale + torch.rand_like(w) - 0.5).round() * scale - w).detach()


quantgate.register_format("stochastic", stochastic, bits=8)

import pathlib
import sys


def pytest_unconfigure(config):
    if not hasattr(config, "workerinput"):
        pathlib.Path("torch.txt").write_text(str("torch" in sys.modules))
"""

TESTS = f"""{TEST_LEARNS}

def test_the_format(lowbit_format, lowbit_model, lowbit_corpus):
    import torch

    assert lowbit_format.name in {{"stochastic", "blocked"}}
    assert lowbit_format.fake_quantize(torch.ones(2, 32)).shape == (2, 32)
    model = lowbit_model(width=32, seed=89)
    assert model(torch.zeros(1, 8, dtype=torch.long)).shape == (1, 8, 128)
    assert torch.equal(model.head.weight, lowbit_model(width=32, seed=89).head.weight)
    assert lowbit_corpus.name == "text.txt"
"""

INI = """[pytest]
quantgate_optimizers = adamw,muon
quantgate_lr = 0.02
quantgate_corpus = text.txt
"""
ENVIRONMENT = {
    "QUANTGATE_STEPS": "20",
    "QUANTGATE_FAIL_BPB": "6.4",
    "QUANTGATE_OPTIMIZERS": "adamw,sgd",
    "GITHUB_ACTIONS": "true",  # for `test_published`
    "GITHUB_STEP_SUMMARY": "step.md",
}
COMMAND_LINE = (
    "--quantgate-formats=stochastic,blocked",
    "--quantgate-optimizers=adamw,muon",
    "--quantgate-widths=32",
    "--quantgate-device=cpu",
    "--quantgate-scope=weights+activations",
    "--quantgate-dead-bpb=7.5",
    "--quantgate-report=out",
    "--quantgate-min-cells=5",
    "--junitxml=junit.xml",
)
SUBJECTS = ("stochastic", "blocked")

#: DESIGN.md, "The result record".
KEYS = {
    "subject", "kind", "format", "optimizer", "seed", "width", "steps", "lr", "storage", "scope", "bpb_initial",
    "bpb", "bpb_control", "gap", "verdict", "cause", "hint", "evidence", "curve", "seconds", "corpus",
    "environment", "quantgate", "canon_name", "shard",
}  # fmt: skip


def run_in(shared: Shared, mode: str) -> Outcome:
    def run(project: Project) -> Outcome:
        project.write(conftest=CONFTEST, test_lowbit=TESTS)
        corpus = load("builtin")
        (project.folder / "text.txt").write_bytes(corpus.train + corpus.heldout)
        (project.folder / "pytest.ini").write_text(INI, encoding="utf-8")
        return project.pytest(*MODES[mode], *COMMAND_LINE, environment=ENVIRONMENT)

    return shared(f"options-{mode}", run)


@pytest.fixture(scope="module", params=list(MODES))
def outcome(request: pytest.FixtureRequest, shared: Shared) -> Outcome:
    return run_in(shared, request.param)


def test_the_counts_and_the_exit_status(outcome: Outcome) -> None:
    assert outcome.exit_status == 1
    assert (
        "4 planned / 4 ran / 4 judged / 0 skipped, 2 of 2 controls learn, 3 of 3 negative controls fail"
        in outcome.lines
    )
    (last,) = [line for line in outcome.lines if " passed in " in line]
    assert last.strip("= ").startswith("2 failed, 4 passed in ")


def test_min_cells(outcome: Outcome) -> None:
    assert "quantgate: 4 cells were judged, and min-cells asks for 5" in outcome.lines


def test_formats_optimizers_and_widths(outcome: Outcome) -> None:
    assert [(r["subject"], r["optimizer"], r["width"]) for r in subjects(outcome)] == [
        (subject, optimizer, 32) for subject in sorted(SUBJECTS) for optimizer in ("adamw", "muon")
    ]


def test_steps(outcome: Outcome) -> None:
    for record in outcome.records:
        assert record["steps"] == 20
        assert [step for step, _ in record["curve"]] == [0, 4, 8, 12, 16, 20] or record[
            "cause"
        ] == "non-finite"


def test_lr(outcome: Outcome) -> None:
    assert {record["lr"] for record in outcome.records} == {0.02}


def test_scope_and_storage(outcome: Outcome) -> None:
    assert {(r["scope"], r["storage"]) for r in subjects(outcome)} == {("weights+activations", "master")}
    assert {(r["scope"], r["storage"]) for r in controls(outcome)} == {("weights", "master")}


def test_device(outcome: Outcome) -> None:
    assert {record["environment"]["device"] for record in outcome.records} == {"cpu"}


def test_fail_bpb_and_dead_bpb(outcome: Outcome) -> None:
    title = "BPB after 20 steps on text.txt: below 6.40 passes, 7.50 is dead, 7.00 is chance"
    assert outcome.lines.count(title) == 1
    for optimizer in ("blocked", "blocked-muon"):
        assert outcome.cells[optimizer]["verdict"] == "partial"
        assert 6.9 < outcome.cells[optimizer]["bpb"] < 7.5


def test_corpus(outcome: Outcome) -> None:
    text = (outcome.folder / "text.txt").read_bytes()
    expected = {"name": "text.txt", "sha256": hashlib.sha256(text).hexdigest()}
    assert all(record["corpus"] == expected for record in outcome.records)


def test_report(outcome: Outcome) -> None:
    assert outcome.lines.count("results: out/results.jsonl") == 1
    assert {path.name for path in (outcome.folder / "out").iterdir()} == {
        "results.jsonl",
        "run.json",
        "report.html",
        "summary.md",
        ".lock",
    }


def test_every_line_of_the_report_is_a_whole_record(outcome: Outcome) -> None:
    assert [r["kind"] for r in outcome.records] == ["format"] * 4 + ["control"] * 2 + ["negative-control"] * 3
    for record in outcome.records:
        assert set(record) >= KEYS
        assert record["verdict"] in {
            "learns", "lags", "partial", "dead", "diverged", "no-op", "rejected", "crashed", "timeout",
        }  # fmt: skip
        assert record["shard"] is None
        assert record["seed"] == 47
        assert record["width"] == (16 if record["kind"] == "negative-control" else 32)
        assert record["canon_name"] == (
            f"IGLA-TIER1-GATE-{record['subject']}-h{record['width']}-LR0.02-rng47-{record['optimizer']}"
        )
        assert record["curve"][0] == [0, record["bpb_initial"]]
        assert record["curve"][-1][1] == record["bpb"]
        assert set(record["environment"]) >= {"torch", "numpy", "python", "cpu", "isa", "threads", "device"}
        assert record["environment"]["threads"] == 1


def test_the_gap_is_to_the_control_of_the_same_optimizer(outcome: Outcome) -> None:
    control = {r["optimizer"]: r["bpb"] for r in controls(outcome) if r["kind"] == "control"}
    for record in subjects(outcome):
        assert record["bpb_control"] == control[record["optimizer"]]
        assert record["gap"] == record["bpb"] - record["bpb_control"]


def test_controls_learn_and_negative_controls_do_not(outcome: Outcome) -> None:
    verdicts = {(r["subject"], r["optimizer"]): r["verdict"] for r in controls(outcome)}
    assert set(verdicts) == {
        ("fp32", "adamw"), ("fp32", "muon"), ("dead-body", "adamw"), ("zero-gradient", "adamw"),
        ("negated-gradient", "adamw"),
    }  # fmt: skip
    assert {subject for (subject, _), verdict in verdicts.items() if verdict == "learns"} == {"fp32"}


def test_the_table_has_a_row_for_each_format_and_a_column_for_each_optimizer(outcome: Outcome) -> None:
    (title,) = [line for line in outcome.lines if line.startswith("BPB after")]
    heading, *rows = outcome.after(title, 4)
    assert heading.split() == ["adamw", "muon"]
    assert [row[:23].strip() for row in rows] == [
        "(float32 control) w32", "stochastic w32 wa", "blocked w32 wa",
    ]  # fmt: skip
    for row, name in zip(rows[1:], SUBJECTS, strict=False):
        adamw, muon = outcome.cells[name], outcome.cells[f"{name}-muon"]
        assert row.split()[-4:] == [
            f"{adamw['bpb']:.2f}", adamw["verdict"], f"{muon['bpb']:.2f}", muon["verdict"],
        ]  # fmt: skip


def test_junitxml_holds_each_record(outcome: Outcome) -> None:
    cases = ElementTree.parse(outcome.folder / "junit.xml").iter("testcase")
    bpb = {}
    for case in cases:
        for found in case.iter("property"):
            assert found.get("name") == "quantgate"
            record = json.loads(found.get("value", ""))
            bpb[record["subject"], record["optimizer"]] = record["bpb"]
    assert bpb == {(r["subject"], r["optimizer"]): r["bpb"] for r in subjects(outcome)}


def test_the_controller_of_workers_never_imports_torch(shared: Shared) -> None:
    assert (run_in(shared, "n2").folder / "torch.txt").read_text() == "False"
    assert (run_in(shared, "n0").folder / "torch.txt").read_text() == "True"


def test_scores_are_the_same_to_the_last_bit_in_every_mode(shared: Shared) -> None:
    plain, n0, n2 = (run_in(shared, mode) for mode in MODES)
    curves = [
        {(r["kind"], r["subject"], r["optimizer"]): r["curve"] for r in outcome.records}
        for outcome in (plain, n0, n2)
    ]
    assert len(curves[0]) == 9
    assert curves[0] == curves[1] == curves[2]


def test_near_the_line_more_seeds_are_run_and_the_median_judges(local: Project) -> None:
    local.write(test_lowbit=TEST_LEARNS)
    options = ["--quantgate-formats=nf4", "--quantgate-fail-bpb=5.1", "--quantgate-report=out"]
    outcome = local.pytest("-n0", *FAST, *options)
    record = outcome.cells["nf4"]
    seeds = record["seeds"]
    assert list(seeds) == ["47", "89", "123"]
    assert record["bpb"] == sorted(seeds.values())[1]
    scores = ", ".join(f"s{seed} {score:.3f}" for seed, score in seeds.items())
    assert f"close call  nf4 x adamw, width 32: {scores}; the median judges" in outcome.lines
    assert (
        "1 planned / 1 ran / 1 judged / 0 skipped, 3 of 3 controls learn, 3 of 3 negative controls fail"
        in outcome.lines
    )
    (title,) = [line for line in outcome.lines if line.startswith("BPB after")]
    assert [row.partition("  ")[0] for row in outcome.after(title, 5)] == [
        "", "(float32 control) w32", "(float32 control) s89 w32", "(float32 control) s123 w32", "nf4 w32",
    ]  # fmt: skip
    assert outcome.exit_status == (0 if record["bpb"] < 5.1 else 1)


def subjects(outcome: Outcome) -> list[dict[str, Any]]:
    """The records of the subjects, sorted: workers finish in any order."""
    found = [record for record in outcome.records if record["kind"] == "format"]
    return sorted(found, key=lambda record: (record["subject"], record["optimizer"]))


def controls(outcome: Outcome) -> list[dict[str, Any]]:
    return [record for record in outcome.records if record["kind"] != "format"]
