"""`quantgate judge`: float32 runs and optimizers as people name their files, and runs in folders or charts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.logs.samples import Samples, falling, verdicts

pytest.importorskip("duckdb", reason="logs are read by DuckDB: pip install 'quantgate[logs]'")

NATS = 0.6931471805599453


def log(path: Path, curve: Samples) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"step={step} val_bpb={score}\n" for step, score in curve))


@pytest.mark.parametrize(
    ("control", "others"),
    [
        ("fp32.log", {"fp8.log": "lags"}),
        ("baseline-fp32.log", {"mine.log": "lags"}),
        ("run_f32_v2.log", {"run_int8_v2.log": "lags"}),
        ("fp32-adamw.log", {"fp8-adamw.log": "lags", "fp8-muon-seed1.log": "learns"}),
        ("float32-muon-seed1.log", {"fp8-muon-seed1.log": "lags", "fp8-muon-seed2.log": "lags"}),
        ("llama-fp32/train.log", {"llama-fp8/train.log": "lags"}),
        ("fp32.log", {"int8-fp32-master.log": "lags"}),
    ],
)
def test_a_word_of_the_name_says_float32(
    quantgate: Command, folder: Path, control: str, others: dict[str, str]
) -> None:
    for file, end in ((control, 2.6), *((other, 3.4) for other in others)):
        log(folder / "logs" / file, falling(end))

    said = quantgate("judge", "logs", "--json")
    records = [json.loads(line) for line in said.out.splitlines()]

    assert [r["canon_name"] for r in records if r["kind"] == "control"] == [control.removesuffix(".log")]
    assert {f"{r['canon_name']}.log": r["verdict"] for r in records if r["kind"] != "control"} == others


@pytest.mark.parametrize("name", ["notfp32.log", "fp32x.log"])
def test_a_part_of_a_word_does_not(quantgate: Command, folder: Path, name: str) -> None:
    log(folder / "logs" / name, falling(2.6))
    log(folder / "logs" / "fp8.log", falling(3.4))

    assert verdicts(quantgate("judge", "logs", "--json").out)["fp8"] == "learns"


@pytest.mark.parametrize(
    "control", ["F32", "FP32", "Float32", "float32", "fp32", "F32-AdamW", "torch.float32", "jnp.float32"]
)
def test_float32_is_found_in_a_column_however_it_is_written(
    quantgate: Command, folder: Path, control: str
) -> None:
    rows = ["format,optimizer,step,bpb"]
    for format, optimizer, end in ((control, "adamw", 2.6), ("INT4", "AdamW", 2.9), ("GF64", "AdamW", 2.6)):
        rows += [f"{format},{optimizer},{step},{score}" for step, score in falling(end)]
    (folder / "fleet.csv").write_text("\n".join([*rows, ""]))

    records = [json.loads(line) for line in quantgate("judge", "fleet.csv", "--json").out.splitlines()]

    # The tolerance is that of 4 bits and AdamW, 0.2; and what is lossless may equal float32.
    assert {r["format"]: (r["kind"], r["verdict"]) for r in records} == {
        control: ("control", "learns"),
        "INT4": ("trainer", "lags"),
        "GF64": ("trainer", "learns"),
    }


def test_a_format_that_has_float32_in_its_name_is_not_float32(quantgate: Command, folder: Path) -> None:
    rows = ["format,optimizer,step,bpb"]
    rows += [f"fp32_master_int8,adamw,{step},{score}" for step, score in falling(2.6)]
    (folder / "fleet.csv").write_text("\n".join([*rows, ""]))

    (record,) = map(json.loads, quantgate("judge", "fleet.csv", "--json").out.splitlines())

    assert (record["kind"], record["verdict"]) == ("trainer", "learns")


def test_the_optimizer_and_seed_are_words_too(quantgate: Command, folder: Path) -> None:
    for file in ("fp8-adamw.log", "fp8-muon-seed1.log", "nvfp4_e2m1_sgd_rng89.log"):
        log(folder / "logs" / file, falling(2.6))

    records = map(json.loads, quantgate("judge", "logs", "--json").out.splitlines())

    assert sorted((r["format"], r["optimizer"], r["seed"]) for r in records) == [
        ("fp8", "adamw", None),
        ("fp8", "muon", 1),
        ("nvfp4_e2m1", "sgd", 89),
    ]


def test_a_control_of_the_same_trainer_comes_first(quantgate: Command, folder: Path) -> None:
    for model, format, end in (("a", "fp32", 2.6), ("a", "fp8", 3.4), ("b", "fp32", 3.38), ("b", "fp8", 3.4)):
        log(folder / "logs" / f"{model}-{format}.log", falling(end))

    assert verdicts(quantgate("judge", "logs", "--json").out) == {
        "a-fp32": "learns",
        "a-fp8": "lags",
        "b-fp32": "learns",
        "b-fp8": "learns",
    }


@pytest.mark.parametrize(
    "control", ["llama-ref", "llama-ref/", "runs/llama-ref", "llama-*f", "llama-ref/train"]
)
def test_a_control_may_be_named_by_its_folder(quantgate: Command, folder: Path, control: str) -> None:
    for name, end in (("ref", 2.6), ("new", 3.4)):
        log(folder / "runs" / f"llama-{name}" / "train.log", falling(end))

    assert verdicts(quantgate("judge", "runs", "--json", "--control", control).out) == {
        "llama-new/train": "lags",
        "llama-ref/train": "learns",
    }


def test_what_was_compared_with_no_control_is_said_at_the_end(quantgate: Command, folder: Path) -> None:
    log(folder / "logs" / "int8.log", falling(2.6))
    log(folder / "logs" / "nf4.log", falling(2.7))

    assert quantgate("judge", "logs").out.splitlines()[-2:] == [
        "2 cells / 2 learn / 0 do not / 0 unjudged",
        "no cell was compared with a float32 control, so each verdict is of its curve alone; --control names one",
    ]


@pytest.mark.parametrize("final", [False, True])
def test_hugging_faces_checkpoints_are_one_run(quantgate: Command, folder: Path, final: bool) -> None:
    for name, end in (("llama-fp32", 2.0), ("llama-int8", 6.99)):
        for step in (1000, 3000, 5000):
            place = folder / "runs" / name / ("" if final and step == 5000 else f"checkpoint-{step}")
            place.mkdir(parents=True, exist_ok=True)
            history = [{"eval_loss": score * NATS, "step": s} for s, score in falling(end, steps=step)]
            state = {"best_metric": None, "global_step": step, "log_history": history}
            (place / "trainer_state.json").write_text(json.dumps(state, indent=2))

    said = quantgate("judge", "runs")

    assert said.out.startswith(
        "bits a symbol at the end of 2 runs, 502 samples\n"
        "  2 files\n"
        "  scores of eval_loss\n"
        "  4 earlier checkpoints of the same runs left out: the last holds the whole history\n"
        "  unit nats (a loss is, by convention)\n"
        "  chance 7.00 bits (128 symbols: the runs start at 7.02)\n"
        "  1 float32 control (llama-fp32)\n"
    )
    assert (
        "  llama-int8: flat from the start: 6.99 after 5,000 steps, 7.02 at first; its control was at 2.00 by then.\n"
        in said.out
    )


def chart(axis: str, metric: str) -> str:
    """An export of two runs, as W&B's page writes it."""
    columns = [f"{run} - {metric}{part}" for run in ("fp32", "int8 big") for part in ("", "__MIN", "__MAX")]
    head = ",".join(f'"{name}"' for name in (axis, *columns))
    rows = (
        f'"{step}","{a}","{a}","{a}","{b}","{b}","{b}"\n'
        for (step, a), (_, b) in zip(falling(2.6), falling(6.99), strict=True)
    )
    return f"{head}\n{''.join(rows)}"


def test_a_chart_of_weights_and_biases_has_a_run_a_column(quantgate: Command, folder: Path) -> None:
    (folder / "wandb_export.csv").write_text(chart("Step", "val_bpb"))

    said = quantgate("judge", "wandb_export.csv")

    assert said.out.startswith(
        "bits a symbol at the end of 2 runs, 202 samples\n  1 file\n"
        "  scores of val_bpb\n  unit bits (the column says so)\n"
    )
    assert "(float32 control)  2.60 learns\nint8               6.99 dead\n" in said.out
    assert "  int8 big: flat from the start: 6.99 after 2,000 steps" in said.out


@pytest.mark.parametrize(
    ("axis", "metric", "message"),
    [
        (
            "Relative Time (Process)",
            "val_bpb",
            "'x.csv' is a chart that Weights & Biases exported over 'Relative Time (Process)'; curves are judged by "
            "steps: set its X axis to Step and export it again.",
        ),
        (
            "Step",
            "grad_norm",
            "'x.csv' is a chart that Weights & Biases exported, of grad_norm; say --columns bpb=METRIC for the one "
            "that is a loss or bits.",
        ),
    ],
)
def test_a_chart_of_something_else_is_refused(
    quantgate: Command, folder: Path, axis: str, metric: str, message: str
) -> None:
    (folder / "x.csv").write_text(chart(axis, metric))

    assert quantgate("judge", "x.csv") == (4, "", f"quantgate: {message}\n")


def test_the_metric_of_a_chart_may_be_given(quantgate: Command, folder: Path) -> None:
    (folder / "x.csv").write_text(chart("Step", "my_bpb"))

    assert verdicts(quantgate("judge", "x.csv", "--json", "--columns", "bpb=my_bpb").out) == {
        "fp32": "learns",
        "int8 big": "dead",
    }
