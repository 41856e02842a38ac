"""`quantgate judge` of every kind of log, whole and broken, small and large."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from quantgate.records.result import CellResult
from tests.cli.conftest import Command
from tests.logs.samples import FLEET, Samples, falling, lines, name, verdicts, write

pytest.importorskip("duckdb", reason="logs are read by DuckDB: pip install 'quantgate[logs]'")


def nats(curve: Samples) -> Samples:
    return [(step, round(score * 0.6931471805599453, 4)) for step, score in curve]


def test_lightnings_csv(quantgate: Command, folder: Path) -> None:
    for format, end in (("fp32", 2.0), ("int8", 6.99)):
        path = folder / f"{format}-adamw-s47" / "version_0"
        path.mkdir(parents=True)
        with (path / "metrics.csv").open("w") as file:
            file.write("epoch,step,train_loss,val_loss\n")
            for step, score in nats(falling(end)):
                file.write(f"0,{step},{score - 0.3},\n0,{step},,{score}\n")

    said = quantgate("judge", "*/version_0/metrics.csv")

    assert "  2 files\n  scores of val_loss\n  unit nats (a loss is, by convention)\n" in said.out
    assert "(float32 control)  2.00 learns\nint8               6.99 dead\n" in said.out


def test_hugging_faces_trainer_state(quantgate: Command, folder: Path) -> None:
    history = [
        entry
        for step, score in nats(falling(2.0))
        for entry in (
            {"loss": score - 0.1, "step": step},
            {"eval_loss": score, "step": step, "eval_runtime": 1.0},
        )
    ]
    state = {"best_metric": None, "global_step": 2000, "log_history": history}
    (folder / "trainer_state.json").write_text(json.dumps(state, indent=2))

    said = quantgate("judge", "trainer_state.json")

    assert said.status == 0
    assert "  scores of eval_loss\n" in said.out
    assert "trainer_state  2.00 learns\n" in said.out


def test_tensorboards_csv(quantgate: Command, folder: Path) -> None:
    with (folder / "run-int4-tag-val_loss.csv").open("w") as file:
        file.write("Wall time,Step,Value\n")
        file.writelines(f"{1.7e9 + step},{step},{score}\n" for step, score in nats(falling(6.99)))

    assert "  run-int4-tag-val_loss: flat from the start: 6.99 " in quantgate("judge", "*.csv").out


def test_nanogpts_text_with_another_vocabulary(quantgate: Command, folder: Path) -> None:
    for format, end in (("fp32", 2.2), ("int4", 6.0)):
        with (folder / f"gpt-{format}-adamw-s1.log").open("w") as file:
            file.write("number of parameters: 10.65M\ncompiling the model... (takes a ~minute)\n")
            for step, score in nats(falling(end, start=6.05)):
                file.write(f"step {step}: train loss {score - 0.05:.4f}, val loss {score:.4f}\n")
                file.write(f"iter {step}: loss {score:.4f}, time 30.10ms, mfu 10.10%\n")

    said = quantgate("judge", "*.log", "--vocabulary", "65")

    assert (
        "  scores of loss\n  unit nats (a loss is, by convention)\n  chance 6.02 bits (65 symbols)\n"
        in said.out
    )
    assert "(float32 control) s1  2.20 learns\nint4 s1               6.00 dead\n" in said.out


def test_the_vocabulary_of_a_log_is_drawn_and_what_it_does_not_state_is_null(
    quantgate: Command, folder: Path
) -> None:
    for format, end in (("fp32", 9.0), ("int4", 15.5)):
        with (folder / f"gpt-{format}-adamw.log").open("w") as file:
            file.writelines(f"step={step} val_bpb={score:.4f}\n" for step, score in falling(end, start=15.62))

    said = quantgate("judge", "*.log", "--report", "out", "--json")
    records = [json.loads(line) for line in said.out.splitlines()]
    drawn = quantgate("report", "out")
    page = (folder / "out" / "report.html").read_text("utf-8")

    assert [(r["seed"], r["width"], r["steps"], round(r["chance"], 2)) for r in records] == [
        (None, None, 2000, 15.62)
    ] * 2
    assert drawn.out.splitlines()[2] == (
        "BPB after 2,000 steps: below 10.66 passes, 15.39 is dead, 15.62 is chance"
    )
    assert '"chance":15.62,' in page
    assert "below 10.66 passes, 15.39 is dead, 15.62 is chance" in page
    assert "15.62 is chance" in (folder / "out" / "summary.md").read_text("utf-8")
    assert CellResult.from_record(records[0]).cell.id == "int4-adamw"


def test_the_fleets_text_by_a_pattern_gzipped(quantgate: Command, folder: Path) -> None:
    with gzip.open(folder / "worker.txt.gz", "wt") as file:
        for step, score in falling(3.0):
            for seed in (47, 89):
                file.write(f"[INFO] seed={seed} at={step}; val_bpb -> {score}\n")

    said = quantgate("judge", "worker.txt.gz", "--pattern", "seed={seed} at={step}; val_bpb -> {bpb}")

    assert said.status == 0
    assert "worker      3.00 learns\nworker s89  3.00 learns\n" in said.out


def test_parquet(quantgate: Command, folder: Path) -> None:
    import duckdb

    (folder / "fleet.jsonl").write_text("".join(lines({"fp32": FLEET["fp32"], "posit8": FLEET["posit8"]})))
    columns = "*, TIMESTAMP '2026-01-01' + INTERVAL (step) SECOND AS ts"
    duckdb.sql(f"COPY (SELECT {columns} FROM 'fleet.jsonl' ORDER BY random()) TO 'fleet.parquet'")

    assert verdicts(quantgate("judge", "fleet.parquet", "--json").out) == {
        name("posit8"): "dead",
        name("fp32"): "learns",
    }


def test_a_folder_stands_for_the_logs_in_it(quantgate: Command, folder: Path) -> None:
    (folder / "logs" / "deep").mkdir(parents=True)
    (folder / "logs" / "a.jsonl").write_text("".join(lines({"fp32": FLEET["fp32"]})))
    (folder / "logs" / "deep" / "b.jsonl.gz").write_bytes(
        gzip.compress("".join(lines({"int8": FLEET["int8"]})).encode())
    )
    (folder / "logs" / "weights.bin").write_bytes(b"\0" * 100)

    assert verdicts(quantgate("judge", "logs", "--json").out) == {
        name("int8"): "learns",
        name("fp32"): "learns",
    }


def test_what_is_broken_costs_its_line_alone(quantgate: Command, folder: Path) -> None:
    good = "".join(lines({"int8": FLEET["int8"]})).splitlines()
    bad = [
        '{"canon_name": "',
        "",
        "plain text",
        "[1, 2]",
        '{"step": "x", "bpb": 1}',
        '{"step": 1e9}',
        "\x00\x01",
        "null",
    ]
    mixed = [line for pair in zip(good, bad * 20, strict=False) for line in pair]
    (folder / "log.jsonl").write_bytes(
        "\n".join(mixed).encode() + b'\n\xff\xfe\n{"canon_name":"IGLA-TIER1-int8-h64-LR0.0'
    )

    assert verdicts(quantgate("judge", "log.jsonl", "--json").out) == {name("int8"): "learns"}


def test_a_gzipped_log_that_is_cut_off_is_read_as_far_as_it_goes(quantgate: Command, folder: Path) -> None:
    packed = gzip.compress("".join(lines({"posit8": falling(6.99, steps=40_000)})).encode())
    (folder / "a.jsonl.gz").write_bytes(packed[: len(packed) * 3 // 4])

    said = quantgate("judge", "a.jsonl.gz")

    assert "  'a.jsonl.gz' is cut off; what could be unpacked was read\n" in said.out
    assert "posit8  6.99 dead\n" in said.out


def test_hostile_names_are_names(quantgate: Command, folder: Path) -> None:
    for file in ("a'; DROP TABLE x; --.jsonl", "b[1]*?.jsonl", "c \x1b[31m.jsonl"):
        (folder / file).write_text(
            "".join(json.dumps({"step": step, "bpb": score}) + "\n" for step, score in falling(6.99))
        )

    said = quantgate("judge", str(folder))

    assert said.status == 1
    assert "\x1b" not in said.out
    for shown in ("a'; DROP TABLE x; --", "b[1]*?", "c \\x1b[31m"):
        assert f"  {shown}: flat from the start: 6.99 after 2,000 steps, 7.02 at first.\n" in said.out


def test_a_log_that_was_delivered_twice_is_one_run(quantgate: Command, folder: Path) -> None:
    line = "".join(lines({"int8": FLEET["int8"]})).splitlines(keepends=True)
    (folder / "a.jsonl").write_text("".join(part * 2 for part in line))

    assert verdicts(quantgate("judge", "a.jsonl", "--json").out) == {name("int8"): "learns"}


def test_a_table_that_is_cut_off_within_quotes_is_read_to_there(quantgate: Command, folder: Path) -> None:
    rows = "".join(f'"{step}","{score}",int8\r\n' for step, score in falling(6.99))
    (folder / "a.csv").write_bytes(
        b"\xef\xbb\xbf" + f'step,bpb,format\r\n{rows}oops,nan\r\n"2020","6.'.encode()
    )

    assert verdicts(quantgate("judge", "a.csv", "--json").out) == {"int8": "dead"}


def test_a_number_that_is_cut_in_two_is_no_score(quantgate: Command, folder: Path) -> None:
    (folder / "a.log").write_text(
        "".join(f"step={s} bpb={b}\n" for s, b in falling(6.99)) + "step=2020 bpb=6"
    )
    (folder / "b.csv").write_text("step,bpb\n" + "".join(f"{s},{b}\n" for s, b in falling(6.99)) + "2020,6")

    assert verdicts(quantgate("judge", "a.log", "b.csv", "--json").out) == {"a": "dead", "b": "dead"}
    assert (
        "  'b.csv' and 1 more end in mid-line; the last line was left out\n"
        in quantgate("judge", "a.log", "b.csv").out
    )


def test_steps_by_the_thousand_million(quantgate: Command, folder: Path) -> None:
    write(folder / "a.csv", [(step * 500_000, score) for step, score in falling(6.99)], "step", "bpb")

    assert (
        "a: flat from the start: 6.99 after 1,000,000,000 steps, 7.02 at first."
        in quantgate("judge", "a.csv").out
    )


def test_a_million_samples_are_judged_in_seconds_and_little_memory(folder: Path) -> None:
    curves = {
        format: falling(end, steps=124_999, every=1) for format, end in (("fp32", 2.6), ("posit8", 6.99))
    }
    with (folder / "big.jsonl").open("w") as file:
        for seed in (47, 89, 123, 144):
            for format, curve in curves.items():
                prefix = f'{{"canon_name": "{name(format, seed)}", "step": '
                file.writelines(f'{prefix}{step}, "bpb": {score}}}\n' for step, score in curve)

    begun = time.monotonic()
    with (folder / "said.txt").open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "quantgate.cli", "judge", "big.jsonl"], stdout=out, cwd=folder
        )
        _, status, used = os.wait4(process.pid, 0)
    seconds = time.monotonic() - begun

    said = (folder / "said.txt").read_text()
    assert os.waitstatus_to_exitcode(status) == 1
    assert said.startswith("bits a symbol at the end of 8 runs, 1,000,000 samples\n")
    assert said.endswith("4 cells / 0 learn / 4 do not / 0 unjudged, 4 of 4 float32 controls learn\n")
    assert seconds < 60  # a second or two alone; other tests share the machine
    assert used.ru_maxrss / (1024 if sys.platform == "linux" else 1 << 20) < 800  # MB; DuckDB may have 512


@pytest.mark.parametrize("word", ["N/A", "*****", "1.#QNAN"])
def test_a_word_in_the_place_of_a_score_is_no_finite_one(quantgate: Command, folder: Path, word: str) -> None:
    rows = ["format,optimizer,seed,step,bpb"]
    for place in range(51):
        score = 2.6 + 4.4 * 2 ** (-place / 5)
        rows.append(f"fp32,adamw,47,{20 * place},{score:.4f}")
        rows.append(f"int8,adamw,47,{20 * place},{word if place >= 30 else f'{score:.4f}'}")
    (folder / "fleet.csv").write_text("\n".join([*rows, ""]))

    said = quantgate("judge", str(folder / "fleet.csv"))

    assert said.status == 1
    assert "int8-adamw-s47: not finite from step 600 on (21 of 51 scores);" in said.out


@pytest.mark.parametrize(
    ("tests", "chosen"),
    [((), False), ((1000,), False), ((0, 500, 1000), True)],
    ids=["none", "last", "often"],
)
def test_a_test_that_is_taken_once_at_the_end_is_not_the_curve(
    quantgate: Command, folder: Path, tests: tuple[int, ...], chosen: bool
) -> None:
    curve = falling(2.6, steps=1000, every=10)
    rows = [f"{step},{score}," for step, score in curve] + [f"{step},,{7 - step / 250}" for step in tests]
    (folder / "int8-adamw.csv").write_text("\n".join(["step,bpb,test_bpb", *rows, ""]))

    said = quantgate("judge", str(folder))

    assert ("  scores of test_bpb\n" in said.out) == chosen
    assert "1 cells / 1 learn / 0 do not / 0 unjudged\n" in said.out
