"""Names of columns, of runs and of files; the patterns of text."""

from __future__ import annotations

import re

import pytest

from quantgate.logs.names import Key, completed, find_columns, parse_columns, short_names
from quantgate.logs.reading.patterns import LOGGERS, recognize, to_regex
from quantgate.logs.reading.sources import parse_since


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("IGLA-TIER1-posit8-h64-LR0.001-rng47-adamw", Key("", "posit8", "adamw", "47", "64", "0.001")),
        ("IGLA-TIER1-A-gf8-h828-LR1e-05-rng1597-muon", Key("", "gf8", "muon", "1597", "828", "1e-05")),
        (
            "runs/IGLA-TIER1-GATE-nf4-h64-LRdefault-rng89-sgd/log.txt",
            Key("", "nf4", "sgd", "89", "64", "default"),
        ),
        ("fp8_e4m3-adamw-s47", Key("", "fp8_e4m3", "adamw", "47", "")),
        ("int4-lion-s89-w128-inplace", Key("", "int4", "lion", "89", "128")),
        ("metrics", Key()),
        ("fp8-muon-seed1", Key("", "fp8", "muon", "1")),
        ("baseline_FP32", Key("", "fp32")),
        ("int8-fp32-master", Key("", "int8")),
        ("int8-and-int4", Key()),
        ("alpha32", Key()),
        ("my-best-run", Key()),
    ],
)
def test_a_name_says_its_cell(name: str, key: Key) -> None:
    found = completed(Key(name))

    assert found == Key(
        name, *[getattr(key, role) for role in ("format", "optimizer", "seed", "width", "lr")]
    )


def test_what_a_column_says_outranks_the_name() -> None:
    assert completed(Key("int4-adamw-s47", format="int5")).format == "int5"


def test_columns_are_found_by_their_usual_names_held_out_scores_first() -> None:
    found = find_columns(["Iter", "train_loss", "val_bpb", "algo", "hidden"], {})

    assert found == {"step": "Iter", "bpb": "val_bpb", "optimizer": "algo", "width": "hidden"}


def test_a_column_has_one_role() -> None:
    assert find_columns(["run", "step", "bpb"], {"name": "run"}) == {
        "name": "run",
        "step": "step",
        "bpb": "bpb",
    }


def test_columns_are_the_users() -> None:
    assert find_columns(["it", "x"], {"bpb": "x"}) == {"step": "it", "bpb": "x"}
    with pytest.raises(ValueError, match=r"^no column 'y' for 'bpb'; there are it, x$"):
        find_columns(["it", "x"], {"bpb": "y"})


@pytest.mark.parametrize("text", ["step", "step=", "stp=iter"])
def test_columns_that_are_malformed_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^--columns '") as caught:
        parse_columns(f"bpb=val, {text}")

    assert str(caught.value) == (
        f"--columns {text!r}: write role=column, with the roles name, format, optimizer, seed, width, lr, sha, run, "
        "ts, step, bpb; such as --columns step=iter,bpb=val_bpb"
    )


def test_files_are_called_by_as_much_as_tells_them_apart() -> None:
    assert short_names(["a/int8/metrics.csv", "a/int4/metrics.csv", "b/x.jsonl.gz"]) == {
        "a/int8/metrics.csv": "int8/metrics",
        "a/int4/metrics.csv": "int4/metrics",
        "b/x.jsonl.gz": "x",
    }


def test_files_that_differ_in_their_ending_alone_have_names_still() -> None:
    assert sorted(short_names(["x.log", "x.log.gz"]).values()) == ["x.log", "x.log.gz"]


@pytest.mark.parametrize(
    ("line", "logger", "found"),
    [
        ("[12:01] seed=47 step=1_000 val_bpb=6.9876 ok", "fleet", ("47", "1_000", "6.9876")),
        ("worker 3: step=20  val_bpb=nan", "fleet-short", ("20", "nan")),
        ("step=20 val_bpb=-INF", "fleet-short", ("20", "-INF")),
        ("step=20 val_bpb=1.#QNAN", "fleet-short", ("20", "1.#QNAN")),
        ("step=20 val_bpb=None", "fleet-short", ("20", "None")),
        ("step 250: train loss 2.4000, val loss 2.5100", "nanogpt", ("250", "2.5100")),
        ("iter 10: loss 4.1e-1, time 30.10ms, mfu 10.1%", "nanogpt-iter", ("10", "4.1e-1")),
        ("Step 00100 | Validation bpb: 1.2345", "nanochat", ("00100", "1.2345")),
        ("step 20/100 | val loss 3.20", "llm.c", ("20", "3.20")),
    ],
)
def test_loggers_are_recognized(line: str, logger: str, found: tuple[str, ...]) -> None:
    pattern = recognize(["a heading", line])

    assert pattern == LOGGERS[logger]
    match = re.search(to_regex(pattern), line)
    assert match is not None
    assert match.groups() == found


def test_text_of_no_logger_is_not() -> None:
    assert recognize(["Loading the data", "done"]) is None


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (
            "step={step} val={x}",
            "--pattern: unknown field {x}; known are name, format, optimizer, seed, width, lr, sha, run, ts, step, "
            "bpb, loss and {*}",
        ),
        ("{step} {step} {bpb}", "--pattern: {step} stands twice; write {*} for what is not needed"),
        (
            "step={step}",
            "--pattern 'step={step}' has no {bpb}; such as 'seed={seed} step={step} val_bpb={bpb}', or a logger by "
            "name: " + ", ".join(LOGGERS),
        ),
    ],
)
def test_patterns_that_say_too_little_are_refused(pattern: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^--pattern") as caught:
        to_regex(pattern)

    assert str(caught.value) == message


def test_what_a_pattern_holds_is_no_expression() -> None:
    expression = to_regex("(step) [{step}] .* $ {bpb}")

    assert re.search(expression, "(step) [10] .* $ 6.5")
    assert not re.search(expression, "step 10 xx 6.5")


def test_spans_of_time() -> None:
    assert (parse_since("24h"), parse_since("30d"), parse_since("1.5m")) == (86400, 2592000, 90)
    with pytest.raises(
        ValueError, match=r"^--since 'yesterday': write a number and s, m, h, d or w, such as 24h$"
    ):
        parse_since("yesterday")
