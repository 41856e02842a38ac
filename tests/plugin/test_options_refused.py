"""Values that an option does not take: exit status 4, the source named, before anything is collected."""

from __future__ import annotations

import pytest

from quantgate.plan.matrix import config_of
from quantgate.plugin.lifecycle import settings_of
from quantgate.plugin.options import OPTIONS
from quantgate.records.result import to_line
from quantgate.records.verdict import Limits
from tests.examples import make_result
from tests.plugin.project import TEST_LEARNS

#: (option, value, what is said of it).
REFUSED = [
    ("formats", ",", "an empty list; give names separated by commas"),
    ("optimizers", " , ", "an empty list; give names separated by commas"),
    ("seeds", "47,x", "'x' is not a seed (a whole number of at least 0)"),
    ("seeds", "-1", "'-1' is not a seed (a whole number of at least 0)"),
    ("seeds", "4e1", "'4e1' is not a seed (a whole number of at least 0)"),
    *(
        ("seeds", f"47,{seed}", f"seed {seed}: the fleet forbids 42 to 45; its own are 47, 89, 123, 144")
        for seed in (42, 43, 44, 45)
    ),
    ("widths", "8", "'8' is not a width (a whole number of at least 16)"),
    ("widths", "64,48", "width 48: attention needs 16 or a multiple of 32"),
    ("steps", "0", "'0' is not a number of steps (a whole number of at least 1)"),
    ("steps", "1.5", "'1.5' is not a number of steps (a whole number of at least 1)"),
    ("lr", "0", "'0' is not a positive number"),
    ("lr", "nan", "'nan' is not a positive number"),
    ("lr", "inf", "'inf' is not a positive number"),
    ("lr", "fast", "'fast' is not a positive number"),
    ("storage", "disk", "'disk' is none of master, inplace"),
    ("scope", "activations", "'activations' is none of weights, weights+activations"),
    ("device", "GPU 1", "'GPU 1' is not a torch device; cpu, cuda and cuda:1 are"),
    ("fail-bpb", "-1", "'-1' is not a positive number"),
    ("dead-bpb", "x", "'x' is not a positive number"),
    ("corpus", " ", "an empty value"),
    ("matrix", "weekly", "'weekly' is none of pr, nightly, long"),
    ("shard", "0/4", "'0/4' is not a shard; write 2/8 for the second of eight, or auto"),
    ("shard", "5/4", "'5/4' is not a shard; write 2/8 for the second of eight, or auto"),
    ("shard", "2", "'2' is not a shard; write 2/8 for the second of eight, or auto"),
    ("report", " ", "an empty value"),
    ("known-failures", " ", "an empty value"),
    ("baseline", " ", "an empty value"),
    ("update-baseline", "maybe", "'maybe' is none of yes, no, true, false, 1, 0"),
    ("db", " ", "an empty value"),
    ("min-cells", "-1", "'-1' is not a number of cells (a whole number of at least 0)"),
    ("min-cells", "many", "'many' is not a number of cells (a whole number of at least 0)"),
]  # fmt: skip

#: Option -> (from ini, from the environment, from the command line), and what each is read as.
VALUES: dict[str, list[tuple[str, object]]] = {
    "formats": [("int4", ("int4",)), ("nf4", ("nf4",)), ("int8, bf16", ("int8", "bf16"))],
    "optimizers": [("sgd", ("sgd",)), ("muon", ("muon",)), ("adamw", ("adamw",))],
    "seeds": [("1", (1,)), ("2", (2,)), ("3,4", (3, 4))],
    "widths": [("16", (16,)), ("32", (32,)), ("64,96", (64, 96))],
    "steps": [("1", 1), ("2", 2), ("3", 3)],
    "lr": [("0.1", 0.1), ("1e-2", 0.01), ("3", 3.0)],
    "storage": [("inplace", "inplace"), ("master", "master"), ("inplace", "inplace")],
    "scope": [("weights+activations",) * 2, ("weights",) * 2, ("weights+activations",) * 2],
    "device": [("cuda", "cuda"), ("cuda:1", "cuda:1"), ("cpu", "cpu")],
    "fail-bpb": [("6", 6.0), ("6.1", 6.1), ("6.2", 6.2)],
    "dead-bpb": [("6.6", 6.6), ("6.7", 6.7), ("6.8", 6.8)],
    "matrix": [("nightly", "nightly"), ("pr", "pr"), ("nightly", "nightly")],
    "shard": [("1/2", (1, 2)), ("2/3", (2, 3)), ("8/8", (8, 8))],
    "update-baseline": [("yes", True), ("true", True), ("", True)],
    "min-cells": [("1", 1), ("2", 2), ("0", 0)],
}
#: Options whose flag takes no value.
SWITCHES = {option.name for option in OPTIONS if option.is_switch}
#: Options whose value is looked at at once; the test of precedence gives them files.
FILES = ("corpus", "report", "known-failures", "baseline")
#: What has tests of its own: `database/test_database.py`.
OWN = ("db",)


def said(result: pytest.RunResult) -> str:
    """The one line of a usage error."""
    lines = [line for line in result.errlines if line.startswith("ERROR")]
    assert len(lines) == 1, result.errlines
    assert not [line for line in result.outlines if "::" in line]
    return lines[0]


@pytest.mark.parametrize(("option", "value", "reason"), [each for each in REFUSED if each[0] not in SWITCHES])
def test_on_the_command_line(pytester: pytest.Pytester, option: str, value: str, reason: str) -> None:
    pytester.makepyfile(TEST_LEARNS)
    result = pytester.runpytest_inprocess("--collect-only", f"--quantgate-{option}={value}")
    assert result.ret == 4
    assert said(result) == f"ERROR: quantgate: invalid --quantgate-{option} from the command line: {reason}"


@pytest.mark.parametrize("option", [option.name for option in OPTIONS])
def test_in_the_environment_and_the_ini_file(
    pytester: pytest.Pytester, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, value, reason = next(entry for entry in REFUSED if entry[0] == option)
    field = option.replace("-", "_")
    with monkeypatch.context() as context:
        context.setenv(f"QUANTGATE_{field.upper()}", value)
        result = pytester.runpytest_inprocess("--collect-only")
        assert result.ret == 4
        assert (
            said(result)
            == f"ERROR: quantgate: invalid QUANTGATE_{field.upper()} from the environment: {reason}"
        )
    pytester.makeini(f"[pytest]\nquantgate_{field} = {value.strip() or '%'}\n")
    if value.strip():
        result = pytester.runpytest_inprocess("--collect-only")
        assert result.ret == 4
        assert said(result) == f"ERROR: quantgate: invalid quantgate_{field} from ini: {reason}"


@pytest.mark.parametrize("option", ["seeds", "shard"])
def test_in_every_mode(pytester: pytest.Pytester, mode: tuple[str, ...], option: str) -> None:
    pytester.makepyfile(TEST_LEARNS)
    result = pytester.runpytest_inprocess("--collect-only", *mode, f"--quantgate-{option}=42")
    assert result.ret == 4
    assert said(result).startswith(f"ERROR: quantgate: invalid --quantgate-{option} from the command line: ")


@pytest.mark.parametrize("option", VALUES)
def test_the_command_line_outranks_the_environment_and_that_the_ini_file(
    pytester: pytest.Pytester, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ini, from_ini), (environment, from_environment), (flag, from_flag) = VALUES[option]
    field = option.replace("-", "_")

    def read(*arguments: str) -> object:
        needed = ["--quantgate-baseline=new.jsonl"] if option == "update-baseline" else []
        return getattr(settings_of(pytester.parseconfigure(*needed, *arguments)), field)

    pytester.makeini(f"[pytest]\nquantgate_{field} = {ini}\n")
    assert read() == from_ini
    monkeypatch.setenv(f"QUANTGATE_{field.upper()}", environment)
    assert read() == from_environment
    assert read(f"--quantgate-{option}{'' if option in SWITCHES else f'={flag}'}") == from_flag


@pytest.mark.parametrize("option", FILES)
def test_precedence_of_files(pytester: pytest.Pytester, option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    field = option.replace("-", "_")
    text = {"corpus": "To be, or not to be.\n" * 20_000, "baseline": to_line(make_result())}.get(option, "")
    for name in ("ini.txt", "environment.txt", "flag.txt") if option != "report" else ():
        pytester.path.joinpath(name).write_text(text)

    def read(*arguments: str) -> str:
        return str(getattr(settings_of(pytester.parseconfigure(*arguments)), field))

    pytester.makeini(f"[pytest]\nquantgate_{field} = ini.txt\n")
    assert read() == "ini.txt"
    monkeypatch.setenv(f"QUANTGATE_{field.upper()}", "environment.txt")
    assert read() == "environment.txt"
    assert read(f"--quantgate-{option}=flag.txt") == "flag.txt"


def test_every_option_is_in_the_tables_of_this_file() -> None:
    names = {option.name for option in OPTIONS}
    assert {option for option, _, _ in REFUSED} == names
    assert {*VALUES, *FILES, *OWN} == names


def test_limits_the_wrong_way_round(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess(
        "--collect-only", "--quantgate-dead-bpb=6", "--quantgate-fail-bpb=6.5"
    )
    assert result.ret == 4
    assert said(result) == (
        "ERROR: quantgate: invalid limits: dead-bpb 6 lies below fail-bpb 6.5; a dead cell must fail"
    )


def test_a_higher_limit_takes_the_dead_line_with_it(pytester: pytest.Pytester) -> None:
    settings = settings_of(pytester.parseconfigure("--quantgate-fail-bpb=6.95"))
    assert config_of(settings).limits == Limits(6.95, 6.95)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--quantgate-formats", "in4"], "unknown format 'in4'; did you mean 'int4' or "),
        (["--quantgate-formats", "int4,FP8_E4M4"], "unknown format 'FP8_E4M4'; did you mean 'fp8_e4m3'"),
        (["--quantgate-optimizers", "adam"], "unknown optimizer 'adam'; did you mean 'adamw'?"),
        (
            ["--quantgate-optimizers", "qqqq"],
            "unknown optimizer 'qqqq'; known are adamw, muon, sgd, lion, rmsprop, adafactor.",
        ),
        (
            ["--quantgate-matrix", "long", "--quantgate-optimizers", "lion"],
            "optimizer 'lion' with the matrix long: its rate is for 100 steps, and none was found at which it brings "
            "every format below 3.00 BPB in 2,000; give one with lr, or take adamw, muon, sgd, rmsprop, adafactor",
        ),
        (["--quantgate-formats", "\x1b[31mint4"], r"unknown format '\x1b[31mint4'; did you mean 'int4'"),
        (["--quantgate-formats", "mylib:int5"], "unknown attribute of mylib 'int5'; did you mean 'int4'?"),
        (
            ["--quantgate-formats", "mylib:int4@four"],
            "'mylib:int4@four': 'four' after @ is not a number of bits; write mylib:int4@4, say",
        ),
        (
            ["--quantgate-formats", "nolib:int4"],
            "'nolib:int4': module 'nolib' cannot be imported (No module named 'nolib'); is it on the path?",
        ),
        (["--quantgate-formats", "mylib:LEVELS"], "'mylib:LEVELS' is a int, neither a function nor a Format"),
        (["--quantgate-corpus", "no.txt"], "corpus 'no.txt'"),
        (["--quantgate-corpus", "binary.txt"], "corpus 'binary.txt'"),
        (
            ["--quantgate-known-failures", "no.toml"],
            "known failures 'no.toml' cannot be read: No such file or directory",
        ),
        (
            ["--quantgate-baseline", "no.jsonl"],
            "baseline 'no.jsonl' is not there; --quantgate-update-baseline makes it of this run",
        ),
        (
            ["--quantgate-update-baseline"],
            "update-baseline needs a file to write: --quantgate-baseline FILE",
        ),
        (
            ["--quantgate-baseline", "out/results.jsonl", "--quantgate-report", "out"],
            "baseline 'out/results.jsonl' is what this run writes its report to; give one of them another place",
        ),
    ],
)  # fmt: skip
def test_unknown_names(
    pytester: pytest.Pytester,
    mode: tuple[str, ...],
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytester.makepyfile(TEST_LEARNS)
    pytester.makepyfile(mylib="LEVELS = 16\ndef int4(w):\n    return w\n")
    pytester.path.joinpath("binary.txt").write_bytes(bytes(range(256)) * 2000)
    monkeypatch.syspath_prepend(pytester.path)
    result = pytester.runpytest_inprocess("--collect-only", *mode, *arguments)
    assert result.ret == 4
    assert said(result).startswith(f"ERROR: quantgate: {message}")


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("formats='int3'", "unknown format 'int3'; did you mean 'int8' or 'int4' or 'uint8'?"),
        ("optimizers=['adamv']", "unknown optimizer 'adamv'; did you mean 'adamw'?"),
        (
            "seeds=[47, 43]",
            "invalid seeds from the lowbit marker: seed 43: the fleet forbids 42 to 45; its own are 47, 89, 123, 144",
        ),
        (
            "steps=3",
            "the lowbit marker: 'steps' cannot be set here; what can is formats, optimizers, seeds, widths, storage, "
            "scope",
        ),
        (
            "format='int4'",
            "the lowbit marker: 'format' cannot be set here; what can is formats, optimizers, seeds, widths, storage, "
            "scope",
        ),
        ("storage='disk'", "invalid storage from the lowbit marker: 'disk' is none of master, inplace"),
    ],
)  # fmt: skip
def test_a_marker_that_cannot_stand(
    pytester: pytest.Pytester, mode: tuple[str, ...], marker: str, message: str
) -> None:
    pytester.makepyfile(f"import pytest\n@pytest.mark.lowbit({marker})\ndef test_learns(lowbit_cell): ...")
    result = pytester.runpytest_inprocess("--collect-only", *mode)
    assert result.ret == 4
    text = result.stdout.str() + result.stderr.str()
    assert f"quantgate: {message}" in text
