"""`quantgate history`: over what runs recorded, in SQLite and a real PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

pytest.importorskip("alembic", reason="a history is kept by Alembic: pip install 'quantgate[history]'")

from quantgate.history.address import find_history
from quantgate.history.deliver import deliver
from quantgate.history.run import Run
from tests.cli.conftest import Command
from tests.history.runs import result, run
from tests.logs import postgres

CELL = "int8-adamw-s47"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    pytest.importorskip(
        "psycopg", reason="PostgreSQL is reached by psycopg: pip install 'quantgate[history]'"
    )
    with postgres.server() as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def db(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of either, in which four commits of two cells are recorded, the last a day old."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    address = f"sqlite:///{tmp_path}/history.db"
    if request.param == "postgresql":
        import psycopg

        address = request.getfixturevalue("server")
        with psycopg.connect(address) as connection:
            connection.execute("DROP SCHEMA IF EXISTS ssot CASCADE")
    broken = result(7.09, "dead", "gradient-blocked")
    fine, int4 = result(), result(5.24, subject="int4")
    dead_body = result(7.0, "dead", subject="dead-body", kind="negative-control")
    record(
        address,
        aged(run(fine, int4, dead_body, sha="a" * 40), 40),
        aged(run(fine, int4, dead_body, sha="b" * 40), 3),
        aged(run(broken, int4, sha="0" * 40, exit_status=70), 2.5),  # an invalid run says nothing
        aged(run(broken, int4, dead_body, sha="c" * 40), 2),
        aged(run(broken, result(5.21, subject="int4"), sha="d" * 40), 1),
        aged(run(fine, sha="e" * 40, branch="mine"), 1),
    )
    return address


def aged(made: Run, days: float) -> Run:
    return replace(made, ended=datetime.now(UTC) - timedelta(days=days))


def record(address: str, *made: Run) -> None:
    for each in made:
        assert deliver(each, find_history(address)).recorded


def test_a_cell_is_drawn_over_commits_and_its_step_named(quantgate: Command, db: str) -> None:
    said = quantgate("history", CELL, "--db", db)

    assert (said.status, said.err) == (0, "")
    first, second = said.out.split("\n\n\n")
    lines = first.splitlines()
    assert lines[:2] == [
        f"{CELL}: 4 runs of 100 steps, branch main",
        "canonical name IGLA-TIER1-GATE-int8-h64-LRdefault-rng47-adamw",
    ]
    assert [(line[:14], line[26:42]) for line in lines[4:8]] == [
        ("  aaaaaaaaaaaa", "   5.22 learns  "),
        ("  bbbbbbbbbbbb", "   5.22 learns  "),
        ("! cccccccccccc", "   7.09 dead    "),
        ("  dddddddddddd", "   7.09 dead    "),
    ]
    day = f"{datetime.now(UTC) - timedelta(days=2):%Y-%m-%d}"
    assert lines[9:] == [
        f"regressed at cccccccccccc ({day}): 5.22 learns -> 7.09 dead",
        f"  the run before it: bbbbbbbbbbbb ({datetime.now(UTC) - timedelta(days=3):%Y-%m-%d})",
        "  gradient-blocked: round() has no gradient",
    ]
    assert second.startswith(f"{CELL}: 1 run of 100 steps, branch mine\n")


def test_a_branch_is_chosen_and_a_canonical_name_taken(quantgate: Command, db: str) -> None:
    name = "IGLA-TIER1-GATE-int8-h64-LRdefault-rng47-adamw"

    assert quantgate("history", name, "--db", db, "--branch", "mine").out.startswith(f"{CELL}: 1 run of")
    assert quantgate("history", name, "--db", db, "--branch", "other") == (
        4,
        "",
        f"quantgate: no run of '{name}' is of branch 'other'; there are main, mine\n",
    )


def test_a_cell_that_is_lost_steps_though_its_rate_is_not_known(quantgate: Command, db: str) -> None:
    name = "IGLA-TIER1-GATE-nf4-h64-LR0.0002-rng47-adamw"
    fine = result(subject="nf4", canon_name=name, lr=2e-4)
    record(
        db,
        aged(run(fine, sha="a" * 40), 2),
        aged(run(result(None, "crashed", subject="nf4"), sha="b" * 40), 1),
    )

    for asked in ("nf4-adamw-s47", name):
        assert "regressed at bbbbbbbbbbbb (" in quantgate("history", asked, "--db", db).out
    assert "nf4-adamw-s47, branch main" in quantgate("history", "--regressions", "--db", db).out


def test_a_cell_as_json(quantgate: Command, db: str) -> None:
    said = quantgate("history", CELL, "--db", db, "--branch", "main", "--json")

    (series,) = map(json.loads, said.out.splitlines())
    assert [each["sha"][0] for each in series["runs"]] == ["a", "b", "c", "d"]
    (change,) = series["changes"]
    assert (change["change"], change["before"]["sha"][0], change["after"]["sha"][0]) == (
        "regressed",
        "b",
        "c",
    )


def test_regressions_of_all_cells(quantgate: Command, db: str) -> None:
    said = quantgate("history", "--regressions", "--since", "30d", "--db", db)

    since, before, day = (f"{datetime.now(UTC) - timedelta(days=days):%Y-%m-%d}" for days in (30, 3, 2))
    assert said == (
        1,
        f"1 regression since {since}\n\n{CELL}, branch main, 100 steps\n"
        f"  regressed at cccccccccccc ({day}): 5.22 learns -> 7.09 dead\n"
        f"    the run before it: bbbbbbbbbbbb ({before})\n"
        "    gradient-blocked: round() has no gradient\n",
        "",
    )
    (found,) = map(json.loads, quantgate("history", "--regressions", "--json", "--db", db).out.splitlines())
    assert (found["cell"], found["mended"], found["after"]["sha"]) == (CELL, None, "c" * 40)


def test_the_run_before_that_time_is_what_the_first_is_held_against(quantgate: Command, db: str) -> None:
    assert quantgate("history", "--regressions", "--since", "60h", "--db", db).status == 1
    assert quantgate("history", "--regressions", "--since", "36h", "--db", db).status == 0
    assert quantgate("history", "--regressions", "--branch", "mine", "--db", db).status == 0


def test_what_was_mended_is_no_failure(quantgate: Command, db: str) -> None:
    record(db, aged(run(result(), sha="f" * 40), 0.5))

    said = quantgate("history", "--regressions", "--db", db)
    assert said.status == 0
    assert "1 regression since" in said.out
    assert ", 1 mended since\n" in said.out
    assert "  mended at ffffffffffff (" in said.out


def test_the_variable_may_hold_the_address(
    quantgate: Command, db: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUANTGATE_DB", db)

    assert quantgate("history", CELL).status == 0


def test_an_unknown_cell_is_said_with_the_nearest(quantgate: Command, db: str) -> None:
    said = quantgate("history", "int8-adam-s47", "--db", db)

    assert said == (
        4,
        "",
        "quantgate: the history has no cell 'int8-adam-s47'; the nearest are int8-adamw-s47, int4-adamw-s47\n",
    )
    assert quantgate("history", "INT4", "--db", db).err == (
        "quantgate: the history has no cell 'INT4'; the nearest are int4-adamw-s47\n"
    )


def test_an_unknown_cell_that_is_like_none_leads_to_the_list(quantgate: Command, db: str) -> None:
    assert quantgate("history", "q5", "--db", db) == (
        4,
        "",
        "quantgate: the history has no cell 'q5'; none has a name like it: without a name, `quantgate history` lists "
        "the 2 that it has\n",
    )


def test_without_a_name_its_cells_are_listed_the_worst_first(quantgate: Command, db: str) -> None:
    today, before = (f"{datetime.now(UTC) - timedelta(days=days):%Y-%m-%d}" for days in (0.5, 1))
    record(
        db,
        aged(run(result(None, "crashed", subject="nf4"), result(5.0, subject="fp32", kind="control")), 0.5),
    )

    assert quantgate("history", "--db", db) == (
        0,
        "5 cells, the worst first; `quantgate history CELL` draws one\n"
        "\n"
        "  verdict      BPB  commits  last run    cell\n"
        f"  dead        7.09        4  {before}  int8-adamw-s47, branch main, 100 steps\n"
        f"  crashed        -        1  {today}  nf4-adamw-s47, branch main, 100 steps\n"
        f"  learns      5.00        1  {today}  fp32-adamw-s47 (control), branch main, 100 steps\n"
        f"  learns      5.22        1  {before}  int8-adamw-s47, branch mine, 100 steps\n"
        f"  learns      5.21        4  {before}  int4-adamw-s47, branch main, 100 steps\n",
        "",
    )


def test_the_list_as_json_and_of_a_branch(quantgate: Command, db: str) -> None:
    said = quantgate("history", "--db", db, "--branch", "main", "--json")
    first, second = map(json.loads, said.out.splitlines())

    assert (first["cell"], first["branch"], first["runs"], first["commits"], first["steps"]) == (
        CELL, "main", 4, 4, 100,
    )  # fmt: skip
    assert (first["last"]["sha"], first["last"]["verdict"], first["last"]["bpb"]) == ("d" * 40, "dead", 7.09)
    assert (second["cell"], second["last"]["verdict"]) == ("int4-adamw-s47", "learns")
    assert quantgate("history", "--db", db, "--branch", "other") == (
        4, "", "quantgate: no run of the history is of branch 'other'; there are main, mine\n",
    )  # fmt: skip


def test_a_long_list_is_counted(quantgate: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    address = f"sqlite:///{tmp_path}/long.db"
    record(address, aged(run(*(result(subject=f"f{place}") for place in range(50))), 1))
    said = quantgate("history", "--db", address).out.splitlines()

    assert (said[0].split(",")[0], len(said), said[-1]) == ("50 cells", 44, "  and 10 more; --json lists all")
    assert len(quantgate("history", "--db", address, "--json").out.splitlines()) == 50
