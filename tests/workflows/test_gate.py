"""`lowbit.yml`, and the action that is offered beside it."""

from __future__ import annotations

import json

import pytest

from tests.examples import learning
from tests.merging.shards import report
from tests.workflows.steps import ACTION, WORKFLOWS, Runner, load

LOWBIT = WORKFLOWS / "lowbit.yml"
CALLED = json.dumps(
    {"workflow_repository": "owner/quantgate", "workflow_sha": "ab" * 20, "status": "success"}
)


def install(runner: Runner, quantgate: str, more: str, job: str = CALLED) -> tuple[int, list[str], str]:
    runner.stand_in("pip")
    runner.expressions = {
        "inputs.quantgate || '-c constraints.txt -e .'": quantgate,
        "inputs.install": more,
        "toJSON(job)": job,
    }
    done = runner.run(LOWBIT, "gate", "Install")
    return done.status, done.calls, done.output


@pytest.mark.parametrize(
    ("quantgate", "more", "called"),
    [
        ("self", ".", f"pip [install] [quantgate @ git+https://github.com/owner/quantgate@{'ab' * 20}] [.]"),
        ("self", "", f"pip [install] [quantgate @ git+https://github.com/owner/quantgate@{'ab' * 20}]"),
        ("quantgate==1", "'.[dev, qat]' -r reqs.txt", "pip [install] [quantgate==1] [.[dev, qat]] [-r] [reqs.txt]"),
        ("-c constraints.txt -e .", "", "pip [install] [-c] [constraints.txt] [-e] [.]"),
        ("quantgate", "'; touch pwned; $(touch pwned)'", "pip [install] [quantgate] [; touch pwned; $(touch pwned)]"),
    ],
)  # fmt: skip
def test_the_gate_is_installed_from_the_commit_that_is_called(
    runner: Runner, quantgate: str, more: str, called: str
) -> None:
    status, calls, _ = install(runner, quantgate, more)

    assert (status, calls) == (0, [called])
    assert not (runner.folder / "pwned").exists()


def test_a_github_that_does_not_say_what_was_called_is_said(runner: Runner) -> None:
    status, calls, output = install(runner, "self", ".", "{}")

    assert (status, calls) == (1, [])
    assert "this GitHub does not say which workflow was called; give the input `quantgate`" in output


@pytest.mark.parametrize(
    ("args", "tests", "status", "called"),
    [
        ("", "", 0, "pytest [-m] [lowbit] [-n] [auto] [--quantgate-report] [quantgate-report]"),
        (
            "-k 'int4 or int8'",
            "tests/a b.py",
            1,
            "pytest [-m] [lowbit] [-n] [auto] [--quantgate-report] [quantgate-report] [-k] [int4 or int8] "
            "[tests/a] [b.py]",
        ),
        ("-n 2", "", 70, "pytest [-m] [lowbit] [-n] [auto] [--quantgate-report] [quantgate-report] [-n] [2]"),
    ],
)
def test_the_gate_runs_with_its_arguments_and_keeps_its_status(
    runner: Runner, args: str, tests: str, status: int, called: str
) -> None:
    runner.stand_in("pytest", f"exit {status}")
    runner.expressions = {"inputs.args": args, "inputs.tests": tests}
    done = runner.run(LOWBIT, "gate", "Gate")
    action = runner.run(ACTION, "", "Gate") if tests == "" and status else None

    assert (done.status, done.outputs, done.calls) == (status, {"status": str(status)}, [called])
    if action is not None:
        assert (action.status, action.outputs, action.calls) == (done.status, done.outputs, done.calls)


def test_quotes_that_do_not_close_are_configuration(runner: Runner) -> None:
    runner.stand_in("pytest")
    runner.expressions = {"inputs.args": "-k 'int4", "inputs.tests": ""}

    assert runner.run(LOWBIT, "gate", "Gate").status == 4
    assert runner.run(ACTION, "", "Gate").status == 4


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("exit_status", ["0", "1", "70"])
def test_a_report_without_its_closing_line_is_red(runner: Runner, exit_status: str, closed: bool) -> None:
    report(runner.folder / "quantgate-report", [learning()], closed=closed)
    runner.expressions = {"steps.gate.outputs.status": exit_status}
    done = runner.run(LOWBIT, "gate", "The report has its closing line")

    assert done.status == (0 if closed else 1)
    assert ("::error title=quantgate::pytest ended without the closing line" in done.output) is not closed
    assert bool(done.summary) is not closed


@pytest.mark.parametrize(
    ("exit_status", "said"),
    [("4", "configuration"), ("5", "no cell was selected"), ("", "exit status unknown")],
)
def test_what_leaves_no_report_is_said(runner: Runner, exit_status: str, said: str) -> None:
    runner.expressions = {"steps.gate.outputs.status": exit_status}
    done = runner.run(LOWBIT, "gate", "The report has its closing line")

    assert done.status == 1
    assert said in done.summary


def test_the_action_installs_itself(runner: Runner) -> None:
    runner.stand_in("pip")
    runner.expressions = {"inputs.install": "'.[dev]' -r more.txt"}
    done = runner.run(ACTION, "", "Install", {"GITHUB_ACTION_PATH": "/actions/q/.github/actions/lowbit"})

    assert done.calls == [
        "pip [install] [/actions/q/.github/actions/lowbit/../../..] [.[dev]] [-r] [more.txt]"
    ]


@pytest.mark.parametrize("closed", [True, False])
def test_the_action_wants_a_closing_line_of_a_green_run(runner: Runner, closed: bool) -> None:
    report(runner.folder / "quantgate-report", [learning()], closed=closed)
    runner.stand_in("pytest")
    runner.expressions = {"inputs.args": ""}

    assert runner.run(ACTION, "", "Gate").status == (0 if closed else 3)


def test_the_snippet_is_a_workflow_that_calls_this_one() -> None:
    text = LOWBIT.read_text("utf-8").partition("lowbit.yml\n")[2].partition("\n#\n")[0]
    (job,) = load_text("\n".join(line.removeprefix("#   ") for line in text.splitlines()))["jobs"].values()

    assert job["uses"] == "OWNER/quantgate/.github/workflows/lowbit.yml@v0.1.0"
    assert job["permissions"] == load(LOWBIT)["jobs"]["gate"]["permissions"] == {"contents": "read"}


def load_text(text: str) -> dict[str, dict[str, dict[str, object]]]:
    import yaml

    found: dict[str, dict[str, dict[str, object]]] = yaml.safe_load(text)
    return found
