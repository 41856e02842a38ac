"""Trainers from elsewhere in a run of pytest: their cells stand beside others; one that misbehaves hurts no other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.plugin.conftest import Shared
from tests.plugin.project import TEST_LEARNS, Outcome, Project
from tests.plugin.test_imports import HEAVY
from tests.plugin.test_options_collected import collected

#: Each format is a way to behave; what is no rate of 0 learns in float32.
TRAINER = r"""
curve() {
    for step in 0 10 20 30 40 50 60 70 80 90 100; do
        [ $step -gt ${1:-100} ] || echo "step=$step val_bpb=$((70 - step / 5)).$step$2" | sed 's/\(.\)\(.\)\./\1.\2/'
    done
}
[ $3 = 0 ] && { for step in 0 50 100; do echo "step=$step val_bpb=7.0123"; done; exit; }
case $1 in
    f32) curve 100 31;;
    int8) curve 100 32;;
    fallback) curve 100 31;;
    silent) ;;
    wordy) printf 'hello \033[31m\ncaf\351\n';;
    nan) curve 40; echo "step=50 val_bpb=nan"; exit 1;;
    fails) curve 40; echo "out of memory" >&2; exit 3;;
    dies) kill -SEGV $$;;
    early) curve 30;;
    crlf) curve 100 33 | sed 's/$/\r/';;
    errors) curve 100 34 >&2;;
    leaves) sleep 600 & curve 100 35;;
    never) trap '' TERM; (trap '' TERM; sleep 600) & curve 0; while :; do sleep 1; done;;
    floods) while :; do echo flooooood; done;;
esac
"""
WAYS = {
    "int8": "learns", "crlf": "learns", "errors": "learns", "leaves": "learns", "fallback": "no-op",
    "silent": "rejected", "wordy": "rejected", "early": "rejected", "nan": "diverged", "fails": "crashed",
    "dies": "crashed", "never": "timeout", "floods": "timeout",
}  # fmt: skip
SAYS = f"""
import sys


def pytest_sessionfinish(session):
    worker = getattr(session.config, "workerinput", {{}}).get("workerid", "controller")
    with open(f"heavy-{{worker}}", "w") as file:
        print(*sorted({set(HEAVY) - {"filelock", "asyncio"}} & set(sys.modules)), file=file)
"""


def toml(name: str, *formats: str, program: str = "sh", **more: object) -> str:
    lines = [
        f"[trainers.{name}]",
        f'command = ["{program}", "trainer.sh", "{{format}}", "{{seed}}", "{{lr}}"]',
        'pattern = "step={step} val_bpb={bpb}"',
        f"formats = {list(formats)}",
        'optimizers = ["adamw"]',
        *(f"{key} = {value}" for key, value in more.items()),
    ]
    return "\n".join(lines) + "\n"


def ways(project: Project) -> Outcome:
    (project.folder / "trainer.sh").write_text(TRAINER)
    (project.folder / "quantgate.toml").write_text(toml("mine", *WAYS))
    project.write(conftest=SAYS, test_lowbit=TEST_LEARNS)
    return project.pytest("-m", "lowbit", "-n2", "--timeout=5", "--quantgate-report=out")


@pytest.fixture
def outcome(shared: Shared) -> Outcome:
    return shared("trainers", ways)


def records(outcome: Outcome) -> dict[str, dict[str, object]]:
    return {record["format"]: record for record in outcome.records if record["kind"] == "trainer"}


@pytest.mark.slow
def test_each_cell_has_its_verdict(outcome: Outcome) -> None:
    assert {format: record["verdict"] for format, record in records(outcome).items()} == WAYS
    assert outcome.exit_status == 1
    assert (
        "13 planned / 13 ran / 9 judged / 0 skipped, 1 of 1 controls learn, 1 of 1 negative controls fail"
        in outcome.lines
    )


@pytest.mark.slow
def test_the_table_has_the_control_first(outcome: Outcome) -> None:
    title = "BPB after 30, 50 and 100 steps: below 6.50 passes, 6.90 is dead, 7.00 is chance"

    assert [line.split() for line in outcome.after(title, 3)] == [
        ["adamw"], ["(mine", "f32)", "5.01", "learns"], ["mine:int8", "5.01", "learns"],
    ]  # fmt: skip


@pytest.mark.slow
def test_a_record_is_complete(outcome: Outcome) -> None:
    record = records(outcome)["int8"]

    assert (record["subject"], record["kind"], record["optimizer"], record["seed"]) == (
        "mine:int8",
        "trainer",
        "adamw",
        47,
    )
    assert record["canon_name"] == "IGLA-TIER1-GATE:mine-int8-h64-LR0.0002-rng47-adamw"
    assert record["lr"] == 0.0002
    assert record["curve"][0] == [0, 7.0032]  # type: ignore[index]
    evidence = record["evidence"]
    assert isinstance(evidence, dict)
    assert evidence["command"] == ["sh", "trainer.sh", "int8", "47", "0.0002"]
    assert evidence["output"].startswith("step=0 val_bpb=7.0032\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "lines"),
    [
        ("fallback", ["Cause: no-op: equal to its float32 control in all 6 decimals that it prints, at 11 steps."]),
        ("silent", ["Cause: contract: it printed no score: no line of it is of its pattern (0 lines)."]),
        ("wordy", ["Its last lines:", r"  hello \x1b[31m", r"  caf\xe9"]),
        ("early", ["Cause: contract: ended early: at step 30 of 100, at 6.43; its control was at 6.43 by then."]),
        ("nan", ["Cause: non-finite: not finite from step 50 on (1 of 6 scores); it was 6.24 before."]),
        ("fails", [
            "mine:fails x adamw: crashed: it ended with exit status 3; at step 40 it printed 6.24.",
            "  out of memory",
        ]),
        ("dies", ["mine:dies x adamw: crashed: it was ended by SIGSEGV; it had printed no score."]),
        ("never", [
            "mine:never x adamw: timeout: no end after 3.75 s; at step 0 it printed 7; it was ended with its children."
        ]),
    ],
)  # fmt: skip
def test_a_failure_says_what_was_seen(outcome: Outcome, way: str, lines: list[str]) -> None:
    said = (
        outcome.stdout.partition(f"test_learns[mine:{way}-adamw-s47] ___")[2]
        .partition("\n____")[0]
        .splitlines()
    )

    assert [line for line in lines if line not in said] == [], "\n".join(said)
    assert f"Command: sh trainer.sh {way} 47 0.0002" in said


@pytest.mark.slow
def test_nothing_heavy_is_imported_where_only_trainers_run(outcome: Outcome) -> None:
    said = {path.name: path.read_text() for path in outcome.folder.glob("heavy-*")}

    assert said == dict.fromkeys(("heavy-controller", "heavy-gw0", "heavy-gw1"), "\n")


@pytest.mark.slow
def test_little_of_a_flood_is_kept(outcome: Outcome) -> None:
    evidence = records(outcome)["floods"]["evidence"]

    assert isinstance(evidence, dict)
    assert len(evidence["output"]) < 20_000
    assert " bytes are left out ..." in evidence["output"]


# controls


def run(
    project: Project,
    text: str,
    *arguments: str,
    trainer: str = TRAINER,
    environment: Mapping[str, str] | None = None,
) -> Outcome:
    (project.folder / "trainer.sh").write_text(trainer)
    (project.folder / "quantgate.toml").write_text(text)
    project.write(test_lowbit=TEST_LEARNS)
    return project.pytest("-p", "no:xdist", "--quantgate-report=out", *arguments, environment=environment)


def test_a_trainer_that_does_not_exist_unjudges_its_own_cells(project: Project) -> None:
    text = toml("mine", "int8") + toml("gone", "int8", program="./gone")
    outcome = run(project, text)

    assert outcome.exit_status == 1
    assert {record["subject"]: record["verdict"] for record in outcome.records if record["kind"] == "trainer"} == {
        "mine:int8": "learns", "gone:int8": "unjudged",
    }  # fmt: skip
    assert (
        "quantgate: the float32 control of gone:fp32 x adamw does not learn (crashed, no score) at a rate of 0.0002: "
        f"its program './gone' does not exist in '{outcome.folder}'; build it first, or correct its command"
    ) in outcome.lines


def test_a_trainer_whose_negative_control_learns_makes_its_run_invalid(project: Project) -> None:
    outcome = run(project, toml("mine", "int8"), trainer=TRAINER.replace("[ $3 = 0 ] &&", "false &&"))

    assert outcome.exit_status == 70
    problems = [line for line in outcome.lines if line.startswith("quantgate: ")]
    assert problems == [
        "quantgate: the negative control mine:negative x adamw, broken on purpose, learns (5.01 BPB)",
        "quantgate: the run is invalid: the trainer is at fault, not its formats",
    ]
    assert [record["verdict"] for record in outcome.records if record["kind"] == "trainer"] == ["unjudged"]


def test_a_known_failure_of_a_trainer(project: Project) -> None:
    (project.folder / "known.toml").write_text(
        '["mine:fallback-adamw-s47"]\nreason = "issue 12"\ncause = "no-op"\n'
    )
    outcome = run(project, toml("mine", "int8", "fallback"), "--quantgate-known-failures=known.toml")

    assert outcome.exit_status == 0, outcome.stdout
    assert outcome.lines[-1].strip("= ").startswith("1 passed, 1 xfailed in ")


# the plan


@pytest.fixture
def planned(pytester: pytest.Pytester) -> Path:
    pytester.path.joinpath("quantgate.toml").write_text(
        toml("mine", "int8", "int4")
        + toml("other", "int8").replace('"adamw"', '"soap", "adamw"').replace('"{lr}"', '"{optimizer}"')
    )
    pytester.makepyfile(TEST_LEARNS)
    return pytester.path


@pytest.mark.usefixtures("planned")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["mine:int8-adamw-s47", "mine:int4-adamw-s47", "other:int8-soap-s47", "other:int8-adamw-s47"]),
        (["--quantgate-formats=mine"], ["mine:int8-adamw-s47", "mine:int4-adamw-s47"]),
        (
            ["--quantgate-formats=mine:int4,int4", "--quantgate-optimizers=adamw"],
            ["mine:int4-adamw-s47", "int4-adamw-s47"],
        ),
        (["--quantgate-formats=other", "--quantgate-optimizers=soap"], ["other:int8-soap-s47"]),
        (["--quantgate-formats=mine:int4", "--quantgate-seeds=47,89"], ["mine:int4-adamw-s47", "mine:int4-adamw-s89"]),
        (["--quantgate-formats=mine", "--quantgate-widths=32,64"], ["mine:int8-adamw-s47", "mine:int4-adamw-s47"]),
        (["--quantgate-shard=1/2"], ["mine:int8-adamw-s47", "mine:int4-adamw-s47"]),
        (["-k", "int4"], ["mine:int4-adamw-s47"]),
    ],
)  # fmt: skip
def test_its_cells_are_planned(pytester: pytest.Pytester, options: list[str], expected: list[str]) -> None:
    result = pytester.runpytest_inprocess("--collect-only", "-q", *options)

    assert collected(result) == expected


@pytest.mark.usefixtures("planned")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--quantgate-formats=mine:int9"],
            "unknown format of the trainer 'mine' 'int9'; did you mean 'int8' or 'int4'?",
        ),
        (
            ["--quantgate-formats=mine", "--quantgate-optimizers=muon"],
            "trainer 'mine' has the optimizers adamw, and none of them is asked for (muon); name one, or leave the "
            "trainer out of formats",
        ),
        (
            ["--quantgate-formats=int4,other", "--quantgate-optimizers=soup,soap"],
            "unknown optimizer 'soup'; known are adamw, muon, sgd, lion, rmsprop, adafactor.",
        ),
    ],
)
def test_what_it_does_not_have_is_a_usage_error(
    pytester: pytest.Pytester, options: list[str], message: str
) -> None:
    result = pytester.runpytest_inprocess("--collect-only", "-q", *options)

    assert result.ret == 4
    assert message in result.stderr.str()


CALL = "register_trainer('called', ['t', '{format}'], formats=['int8'], optimizers=['soap'])\n"


@pytest.mark.parametrize(
    "conftest",
    [
        f"import quantgate\nquantgate.{CALL}",
        f"def pytest_quantgate_register(registry):\n    registry.{CALL}",
    ],
    ids=["call", "hook"],
)
def test_it_may_be_registered_by_a_call(pytester: pytest.Pytester, conftest: str) -> None:
    pytester.makeconftest(conftest)
    pytester.makepyfile(TEST_LEARNS)

    assert collected(pytester.runpytest_inprocess("--collect-only", "-q")) == ["called:int8-soap-s47"]


@pytest.mark.usefixtures("planned")
def test_a_storage_is_none_of_a_trainers(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess(
        "-rs", "--quantgate-storage=inplace", "--quantgate-formats=mine:int8"
    )

    assert (
        "quantgate: trainer 'mine:int8' says itself what is quantized and stored; storage and scope are for "
        in (result.stdout.str())
    )


def test_the_folder_that_pytest_is_called_in_may_declare_one_beside_the_root(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyprojecttoml(
        "[tool.pytest.ini_options]\n[tool.quantgate]\n"
        + toml("root", "int8").replace("[", "[tool.quantgate.", 1)
    )
    inner = pytester.mkdir("inner")
    inner.joinpath("quantgate.toml").write_text(toml("mine", "int8"))
    inner.joinpath("test_lowbit.py").write_text(TEST_LEARNS)
    monkeypatch.chdir(inner)

    assert collected(pytester.runpytest_inprocess("--collect-only", "-q")) == [
        "root:int8-adamw-s47",
        "mine:int8-adamw-s47",
    ]


@pytest.mark.parametrize("file", ["pyproject.toml", "quantgate.toml"])
def test_a_broken_declaration_is_a_usage_error(pytester: pytest.Pytester, file: str) -> None:
    place = "tool.quantgate." if file == "pyproject.toml" else ""
    pytester.path.joinpath(file).write_text(
        toml("mine", "int8", tmeout=3).replace("[trainers", f"[{place}trainers")
    )
    pytester.makepyfile(TEST_LEARNS)
    result = pytester.runpytest_inprocess("--quantgate-steps=100", "--collect-only")

    assert result.ret == 4
    assert (
        f"quantgate: {file}: trainer 'mine': unknown key 'tmeout'; known are command, " in result.stderr.str()
    )


def test_a_broken_declaration_is_a_usage_error_of_a_plain_run(pytester: pytest.Pytester) -> None:
    pytester.path.joinpath("quantgate.toml").write_text(toml("mine", "int8", tmeout=3))
    pytester.makepyfile(TEST_LEARNS)
    result = pytester.runpytest_inprocess()

    assert result.ret == 4
    said = result.stderr.str().strip()
    assert said.startswith(
        "ERROR: quantgate: quantgate.toml: trainer 'mine': unknown key 'tmeout'; known are "
    )
    assert len(said.splitlines()) == 1


def test_a_trainer_that_no_test_asks_for_is_said(pytester: pytest.Pytester) -> None:
    pytester.path.joinpath("quantgate.toml").write_text(toml("mine", "int8"))
    pytester.makepyfile("def test_other(): pass")
    result = pytester.runpytest_inprocess("-m", "lowbit")

    assert result.ret == 5
    said = "quantgate: trainer 'mine' is declared and no test asks for its cells: pytest --pyargs quantgate.suite, "
    assert said + "or quantgate init" in result.stdout.str()
    assert said not in pytester.runpytest_inprocess("-k", "nothing").stdout.str()


@pytest.mark.usefixtures("_trained_before")  # torch cannot be imported twice in a process
@pytest.mark.parametrize("command", [["run", "mine:int8", "adamw"], ["doctor", "mine:int8"]])
def test_a_command_that_cannot_ask_a_trainer_says_what_can(
    pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    from quantgate.cli.main import main

    pytester.path.joinpath("quantgate.toml").write_text(toml("mine", "int8"))

    assert main(command) == 4
    said = capsys.readouterr().err
    assert "'mine:int8' is a cell of the trainer 'mine', which no probe can ask" in said
    assert "pytest --pyargs quantgate.suite --quantgate-formats mine:int8" in said


@pytest.mark.slow
@pytest.mark.parametrize("environment", [{}, {"CI": "true"}], ids=["desk", "ci"])
def test_a_control_that_fails_says_its_last_words_and_the_key(
    project: Project, environment: Mapping[str, str]
) -> None:
    broken = 'echo "unknown format $1" >&2; exit 2\n'
    arguments = (toml("mine", "int8"), "--quantgate-steps=100")
    outcome = run(project, *arguments, trainer=broken, environment=environment)

    because = next(each for each in outcome.records if each["kind"] == "control")["evidence"]["because"]
    assert because == (
        "it ended with exit status 2; it had printed no score; it last wrote: unknown format f32; its format was 'f32'"
        ': where the trainer calls float32 otherwise, set control = "..."'
        "."
    )
    assert outcome.stdout.count(because.rstrip(".")) == 1
    assert outcome.after("unjudged  1 cell", 2) == [
        "  mine:int8 x adamw",
        "    the run is invalid: the reason is said at the end",
    ]


DUMPS = """
import pathlib
import sys

import numpy as np

format, weights = sys.argv[1:]
for step in range(0, 101, 10):
    print(f"step={step} val_bpb={7 - step / 50 - (format == 'int4') / 100:.4f}")
if format == "int4":
    x = np.random.default_rng(1).normal(0, 0.1, (64, 96)).astype(np.float32)
    scale = np.abs(x).max(0, keepdims=True) / 7
    for role, array in (("weights", x), ("quantized", (np.round(x / scale) * scale).astype(np.float32))):
        folder = pathlib.Path(weights) / role
        folder.mkdir()
        np.save(folder / "w.npy", array)
"""


@pytest.mark.parametrize(("granularity", "verdict"), [(None, "learns"), ("row", "faulty")])
def test_dumped_weights_are_asked_which_share_a_scale_where_that_is_declared(
    local: Project, granularity: str | None, verdict: str
) -> None:
    (local.folder / "train.py").write_text(DUMPS)
    declared = "" if granularity is None else f'granularity = "{granularity}"\n'
    (local.folder / "quantgate.toml").write_text(
        '[trainers.mine]\ncommand = ["python", "train.py", "{format}", "{weights}"]\n'
        'pattern = "step={step} val_bpb={bpb}"\nformats = ["int4"]\noptimizers = ["adamw"]\n' + declared
    )
    local.write(test_lowbit=TEST_LEARNS)
    outcome = local.pytest("-m", "lowbit", "-n0", "--quantgate-report=out")
    record = records(outcome)["int4"]

    assert (record["verdict"], record["cause"]) == (verdict, None if granularity is None else "wrong-axis")
    if granularity is not None:
        said = "the scale is declared to be shared by a row; the values are of one scale for its column."
        assert record["evidence"]["because"] == said  # type: ignore[index]
    # Of the folder that is gone by the time somebody reads it, the placeholder is shown.
    assert record["evidence"]["command"] == ["python", "train.py", "int4", "{weights}"]  # type: ignore[index]
