"""`--quantgate-db`: refused before anything is trained where it cannot be, hidden from workers, and never a failure."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from pathlib import Path

import pytest

# Pytester forgets the modules that a run in this process imports; these must not be there twice.
pytest.importorskip("alembic", reason="a history is kept by Alembic: pip install 'quantgate[history]'")
pytest.importorskip("psycopg", reason="PostgreSQL is reached by psycopg: pip install 'quantgate[history]'")

from quantgate.plugin.database.hiding import without_hidden
from quantgate.plugin.database.recording import History
from quantgate.plugin.lifecycle import settings_of
from tests.plugin.project import BLOCKED, FAST, TEST_LEARNS, Project

SECRET = "postgresql://secret-user:secret-password@127.0.0.1:1/secret_database"
HOST = "postgresql://secret-host/secret_database"
PASSWORD = (
    "a password on the command line is seen by everybody on this machine, and one in an ini file by all who read it; "
    "put the address into the environment (env:FLEET_DB) or a file (@fleet.url)"
)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where runs wait; and no commit but the one that a test names."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("GITHUB_SHA", "c" * 40)
    monkeypatch.setenv("GITHUB_REF_NAME", "main")
    monkeypatch.delenv("GITHUB_HEAD_REF", raising=False)
    return tmp_path / "state" / "quantgate" / "history"


# addresses


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (SECRET, PASSWORD),
        ("oracle://secret-host/x", "only postgresql and sqlite are known"),
        ("secret-host", "that is no address of a database; such as postgresql://reader@host/fleet or "
         "sqlite:///fleet.db"),
        ("env:NOT_THERE", "the environment variable 'NOT_THERE' is not set or empty"),
        ("@not-there.url", "the file 'not-there.url' cannot be read (FileNotFoundError)"),
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_one_is_refused_from_anywhere(
    pytester: pytest.Pytester, mode: tuple[str, ...], value: str, reason: str
) -> None:
    pytester.makepyfile(TEST_LEARNS)
    flag = pytester.runpytest_inprocess(*mode, f"--quantgate-db={value}")
    pytester.makeini(f"[pytest]\nquantgate_db = {value}\n")
    ini = pytester.runpytest_inprocess(*mode)

    assert (flag.ret, ini.ret) == (4, 4)
    assert f"ERROR: quantgate: invalid --quantgate-db from the command line: {reason}" in flag.errlines
    assert f"ERROR: quantgate: invalid quantgate_db from ini: {reason}" in ini.errlines
    for text in (flag.stdout.str(), flag.stderr.str(), ini.stdout.str(), ini.stderr.str()):
        assert "secret" not in text


@pytest.mark.parametrize(
    ("package", "value", "reason"),
    [
        (
            "sqlalchemy",
            "sqlite:///x.db",
            "databases are reached through SQLAlchemy: pip install 'quantgate[history]'",
        ),
        ("psycopg", HOST, "PostgreSQL is reached by psycopg: pip install 'quantgate[history]'"),
        (
            "alembic",
            "sqlite:///x.db",
            "Alembic keeps the tables of a history: pip install 'quantgate[history]'",
        ),
    ],
)
def test_without_the_extra_nothing_is_trained(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, package: str, value: str, reason: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    pytester.makepyfile(TEST_LEARNS)

    said = pytester.runpytest_inprocess(f"--quantgate-db={value}")
    assert said.ret == 4
    assert f"ERROR: quantgate: invalid --quantgate-db from the command line: {reason}" in said.errlines


def test_a_variable_may_hold_a_password(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTGATE_DB", SECRET)

    config = pytester.parseconfig()
    address = settings_of(config).db
    assert address is not None
    assert address.url.password == "secret-password"
    assert "secret" not in repr(settings_of(config))


def test_listing_connects_to_nothing_and_records_nothing(pytester: pytest.Pytester, state: Path) -> None:
    pytester.makepyfile(TEST_LEARNS)

    said = pytester.runpytest_inprocess("--collect-only", "--quantgate-db=sqlite:///x.db")
    assert said.ret == 0
    assert not state.exists()
    assert not (pytester.path / "x.db").exists()


# what workers see


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        (["-q", f"--quantgate-db={HOST}", "-x"], ["-q", "-x"]),
        (["-q", "--quantgate-db", HOST, "-x"], ["-q", "-x"]),
        (["--quantgate-db", "--quantgate-db"], []),
        (["--quantgate-dbx", "tests"], ["--quantgate-dbx", "tests"]),
    ],
)
def test_an_address_is_taken_out_of_arguments(arguments: list[str], left: list[str]) -> None:
    assert without_hidden(arguments) == left


def test_an_address_is_hidden_while_tests_run_and_the_variables_come_back(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEET_DB", HOST)
    monkeypatch.setenv("QUANTGATE_DB", HOST)
    monkeypatch.setenv("PYTEST_ADDOPTS", "-q --quantgate-db=env:FLEET_DB -p no:cacheprovider")
    pytester.makepyfile(
        test_sees="""
        import os

        def test_sees(request):
            config = request.config
            seen = [dict(os.environ), vars(config.option), list(config.invocation_params.args)]
            assert "secret" not in str(seen)
            assert os.environ["PYTEST_ADDOPTS"] == "-q -p no:cacheprovider"
        """
    )

    pytester.runpytest_inprocess("--quantgate-db", "env:FLEET_DB").assert_outcomes(passed=1)
    assert os.environ["FLEET_DB"] == os.environ["QUANTGATE_DB"] == HOST
    assert os.environ["PYTEST_ADDOPTS"] == "-q --quantgate-db=env:FLEET_DB -p no:cacheprovider"


# runs

SEES = """
import os
import sys

import pytest


@pytest.fixture(autouse=True)
def sees(request):
    config = request.config
    assert "workerinput" in vars(config)
    seen = [dict(os.environ), vars(config.option), config.invocation_params, config.workerinput, sys.argv]
    assert "secret" not in str(seen)
"""


def test_a_database_that_is_gone_costs_a_warning_and_no_worker_sees_its_address(
    project: Project, state: Path
) -> None:
    project.write(conftest=SEES, test_lowbit=TEST_LEARNS)
    outcome = project.pytest(
        "-n2", "-vv", "--showlocals", *FAST, "--quantgate-formats=int8", "--quantgate-report=out",
        environment={"QUANTGATE_DB": SECRET, "XDG_STATE_HOME": str(state.parents[1])},
    )  # fmt: skip

    (path,) = state.glob("*/*.jsonl")
    assert outcome.exit_status == 0, outcome.stdout
    assert outcome.after("results: out/results.jsonl", 2) == [
        "history: not recorded: the database cannot be written to: nothing listens at its port",
        f"history: kept for the next run with this database: {path}",
    ]
    head, *records = map(json.loads, path.read_text().splitlines())
    assert (head["sha"], head["branch"], head["exit_status"]) == ("c" * 40, "main", 0)
    assert [record["kind"] for record in records] == ["format", "control", *["negative-control"] * 3]
    everything = [outcome.stdout, outcome.stderr, path.name, path.read_text()]
    everything += [each.read_text() for each in (outcome.folder / "out").iterdir()]
    assert "secret" not in "".join(everything)


def test_a_run_is_recorded_with_its_commit_and_its_exit_status(local: Project, state: Path) -> None:
    local.write(conftest=BLOCKED, test_lowbit=TEST_LEARNS)

    outcome = local.pytest("-n0", *FAST, "--quantgate-db=sqlite:///history.db")

    assert outcome.exit_status == 1
    assert outcome.lines.count("history: 5 results recorded") == 1
    assert not list(state.glob("*/*"))
    with sqlite3.connect(":memory:") as connection:
        connection.execute("ATTACH ? AS ssot", (str(local.folder / "history.db"),))
        runs = connection.execute("SELECT sha, branch, exit_status FROM ssot.quantgate_runs").fetchall()
        found = connection.execute(
            "SELECT canon_name, MIN(bpb) FROM ssot.bpb_samples WHERE canon_name LIKE 'IGLA-TIER1-%' GROUP BY canon_name"
        ).fetchall()
    assert runs == [("c" * 40, "main", 1)]
    assert [name for name, _ in found] == [
        "IGLA-TIER1-GATE-blocked-h32-LR0.003-rng47-adamw",
        "IGLA-TIER1-GATE-fp32-h32-LR0.003-rng47-adamw",
    ]


def test_an_installation_that_is_broken_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from quantgate.history.address import find_history
    from tests.history.runs import result

    kept = History(find_history(f"sqlite:///{tmp_path}/history.db"), tmp_path)
    monkeypatch.setitem(sys.modules, "quantgate.history.deliver", None)
    kept.record([result()], 0)

    assert (kept.is_recorded, kept.said) == (False, ("not recorded: ModuleNotFoundError",))
