"""The recording of runs, into a SQLite and a real PostgreSQL: whole or not at all, once, and never lost."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from quantgate.databases import engine
from quantgate.databases.address import Address
from quantgate.history import store
from quantgate.history.address import find_history
from quantgate.history.deliver import Said, deliver
from quantgate.history.run import Run
from quantgate.history.spool import Spool
from tests.history.conftest import Ask
from tests.history.runs import result, run
from tests.logs.postgres import Server

INCIDENT = "SELECT canon_name, MIN(bpb) FROM ssot.bpb_samples WHERE canon_name LIKE 'IGLA-TIER1-%' GROUP BY canon_name"
RUNS = "SELECT run FROM ssot.quantgate_runs ORDER BY run"
COUNTS = "SELECT (SELECT COUNT(*) FROM ssot.quantgate_runs), (SELECT COUNT(*) FROM ssot.quantgate_verdicts), \
(SELECT COUNT(*) FROM ssot.bpb_samples)"


def waiting(address: Address) -> list[Path]:
    return list(Spool.of(address.digest).waiting())


def kept(said: Said, reason: str) -> Path:
    """The file of a run that was not recorded for this reason."""
    first, second = said.lines
    assert (said.recorded, first) == (False, f"not recorded: {reason}")
    path = Path(second.removeprefix("kept for the next run with this database: "))
    assert path.is_file()
    return path


# what is written


def test_every_cell_is_recorded_and_the_incidents_query_answered(database: Address, ask: Ask) -> None:
    assert deliver(run(), database) == Said(True, ("5 results recorded",))

    assert sorted(ask(database, INCIDENT)) == [
        ("IGLA-TIER1-GATE-fp32-h64-LRdefault-rng47-adamw", 5.2),
        ("IGLA-TIER1-GATE-int4-h64-LRdefault-rng47-adamw", 7.02),
        ("IGLA-TIER1-GATE-int8-h64-LRdefault-rng47-adamw", 5.22),
    ]
    verdicts = "SELECT cell, kind, verdict, cause FROM ssot.quantgate_verdicts ORDER BY kind, cell"
    assert ask(database, verdicts) == [
        ("fp32-adamw-s47", "control", "learns", None),
        ("int4-adamw-s47", "format", "dead", "gradient-blocked"),
        ("int8-adamw-s47", "format", "learns", None),
        ("nf4-adamw-s47", "format", "crashed", None),
        ("dead-body-adamw-s47", "negative-control", "dead", None),
    ]
    assert ask(database, "SELECT torch, cpu FROM ssot.quantgate_environments") == [("2.13.0", "x")]
    assert not waiting(database)


def test_the_samples_have_the_fleets_columns(database: Address, ask: Ask) -> None:
    made = run(result())
    deliver(made, database)
    columns = "canon_name, format, algo, hidden, seed, step, bpb, sha, run_id"

    first, middle, last = ask(database, f"SELECT {columns} FROM ssot.bpb_samples ORDER BY step")

    run_id = f"{made.name}/int8-adamw-s47"
    name = "IGLA-TIER1-GATE-int8-h64-LRdefault-rng47-adamw"
    assert first == (name, "int8", "adamw", 64, 47, 0, 7.02, "a" * 40, run_id)
    assert middle[6] is None or middle[6] != middle[6]  # SQLite has no NaN
    assert last[5:7] == (100, 5.22)
    ((ts,),) = ask(database, "SELECT DISTINCT ts FROM ssot.bpb_samples")
    assert str(ts).startswith("2026-01-01 00:00:00")


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="the program sqlite3 is not installed")
def test_a_person_opens_the_file_with_sqlite3(file: Address) -> None:
    deliver(run(result()), file)

    done = subprocess.run(
        ["sqlite3", ":memory:", "-cmd", f"ATTACH '{file.url.database}' AS ssot", INCIDENT],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "IGLA-TIER1-GATE-int8-h64-LRdefault-rng47-adamw|5.22\n"


def test_hostile_names_are_kept_as_text(database: Address, ask: Ask) -> None:
    names = ["x'); DROP TABLE ssot.bpb_samples; --", "a\0b", "\udcff", "\x1b[31m", "%s :name ?", "n" * 10_000]
    cells = [result(subject=name, format=name, canon_name=f"IGLA-{name}") for name in names]
    hostile = replace(run(*cells, result(subject="n" * 9_999)), branch="b\0\ud800", sha="s" * 5_000)

    assert deliver(hostile, database).lines == ("7 results recorded",)
    subjects = {name for (name,) in ask(database, "SELECT subject FROM ssot.quantgate_verdicts")}
    assert {names[0], "a\\x00b", "\\udcff", "\x1b[31m", "%s :name ?"} < subjects
    assert sorted(len(name) for name in subjects)[-2:] == [500, 500]  # cut, and told apart
    assert ask(database, "SELECT branch FROM ssot.quantgate_runs") == [("b\\x00\\ud800",)]


def test_no_score_is_no_number(database: Address, ask: Ask) -> None:
    broken = result(float("nan"), "diverged", gap=float("inf"))

    assert deliver(run(broken), database).recorded
    assert ask(database, "SELECT bpb, gap, verdict FROM ssot.quantgate_verdicts") == [
        (None, None, "diverged")
    ]


# once


def test_a_run_is_written_once_however_often_it_is_brought(database: Address, ask: Ask) -> None:
    made = run()
    deliver(made, database)
    # As after a server that wrote it and went away before it could say so.
    Spool.of(database.digest).keep(made)

    assert deliver(run(result(), day=1), database).lines == ("1 result recorded",)
    deliver(made, database)
    assert ask(database, COUNTS) == [(2, 6, 12)]
    assert not waiting(database)


def test_two_writers_at_once_make_the_tables_and_write_all_their_runs(database: Address, ask: Ask) -> None:
    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(lambda _: deliver(run(), database), range(12)))

    assert all(each.recorded for each in said)
    assert ask(database, COUNTS) == [(12, 60, 108)]
    assert not waiting(database)


# a database that is gone


def test_a_database_that_is_gone_gets_the_run_next_time(tmp_path: Path, ask: Ask) -> None:
    address = find_history(f"sqlite:///{tmp_path}/folder/history.db")
    first, second = run(), run(day=1)

    said = deliver(first, address)
    path = kept(said, "the database cannot be written to: there is no such file")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    (tmp_path / "folder").mkdir()

    assert deliver(second, address).lines == ("5 results recorded", "1 earlier run that waited recorded")
    assert ask(address, RUNS) == [(name,) for name in sorted((first.name, second.name))]
    assert not waiting(address)


def test_what_waits_for_another_database_is_left_alone(tmp_path: Path, file: Address) -> None:
    gone = find_history(f"sqlite:///{tmp_path}/gone/history.db")
    deliver(run(), gone)

    assert deliver(run(), file).lines == ("5 results recorded",)
    assert len(waiting(gone)) == 1


def test_a_server_that_is_killed_in_mid_write_has_all_of_a_run_or_nothing(
    fleet: Address, server: Server, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    import psycopg

    deliver(run(), fleet)
    made, said = run(day=1), []
    with psycopg.connect(server.address) as holder:
        holder.execute("LOCK TABLE ssot.bpb_samples IN ACCESS EXCLUSIVE MODE")
        writer = Thread(target=lambda: said.append(deliver(made, fleet)))
        writer.start()
        with psycopg.connect(server.address, autocommit=True) as other:
            waits = "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            while other.execute(waits).fetchone() == (0,):
                time.sleep(0.02)
        server.kill()
        writer.join()
        holder.close()
    kept(said[0], "the database cannot be written to: its server went away")
    assert not caplog.records  # which name hosts and users
    kept(deliver(run(day=2), fleet), "the database cannot be written to: nothing listens at its socket")
    server.start()

    assert ask(fleet, COUNTS) == [(1, 5, 9)]
    assert deliver(run(day=3), fleet).lines == ("5 results recorded", "2 earlier runs that waited recorded")
    assert ask(fleet, COUNTS) == [(4, 20, 36)]
    assert not waiting(fleet)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_a_server_that_never_answers_is_given_up(
    fleet: Address, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.open_store(fleet) as there:
        there.write(run())
        monkeypatch.setattr(store, "MOST_SECONDS", 0.3)
        backends = [int(each.name) for each in Path("/proc").iterdir() if _is_child(each, server.process)]
        for number in backends:
            os.kill(number, signal.SIGSTOP)
        try:
            with pytest.raises(store.UnreachableError, match="it did not answer in time"):
                there.write(run(day=1))
        finally:
            for number in backends:
                os.kill(number, signal.SIGCONT)


def _is_child(process: Path, parent: int) -> bool:
    try:
        return process.name.isdigit() and f"\nPPid:\t{parent}\n" in (process / "status").read_text()
    except OSError:
        return False


def test_a_file_that_another_program_has_locked(
    file: Address, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(run(), file)
    monkeypatch.setattr(engine, "PATIENCE", 0.1)
    with sqlite3.connect(str(file.url.database), isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        kept(deliver(run(day=1), file), "the database cannot be written to: another program holds its lock")
        other.execute("ROLLBACK")
    other.close()

    assert deliver(run(day=2), file).lines[1:] == ("1 earlier run that waited recorded",)
    assert ask(file, COUNTS) == [(3, 15, 27)]


def test_a_file_that_is_read_only(file: Address) -> None:
    deliver(run(), file)
    with Path(str(file.url.database)).open("r+b") as raw:
        raw.seek(18)  # "the file format write version": beyond 2, the file is for reading
        raw.write(b"\3")

    kept(deliver(run(day=1), file), "the database cannot be written to: it is read-only")


def test_a_disk_that_is_full(file: Address, ask: Ask) -> None:
    deliver(run(), file)
    size = Path(str(file.url.database)).stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    many = run(*(result(subject=f"f{number}") for number in range(400)), day=1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        said = deliver(many, file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert said == Said(
        False,
        (
            "not recorded: the database cannot be written to: its disk failed, or is full",
            "nor kept for the next run: File too large",
        ),
    )
    assert not waiting(file)
    assert ask(file, COUNTS) == [(1, 5, 9)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"no database at all" * 100, "the file is no SQLite database"), (None, "there is no such file")],
    ids=["text", "folder"],
)
def test_a_file_that_is_none(file: Address, content: bytes | None, reason: str) -> None:
    place = Path(str(file.url.database))
    place.mkdir() if content is None else place.write_bytes(content)

    kept(deliver(run(), file), f"the database cannot be written to: {reason}")


def test_a_role_that_may_not_write(fleet: Address, server: Server) -> None:
    import psycopg

    with psycopg.connect(server.address) as owner:
        owner.execute("DROP ROLE IF EXISTS guest")
        owner.execute("CREATE ROLE guest LOGIN")
    guest = find_history(server.address.replace("tests@", "guest@"))

    kept(deliver(run(), guest), "the database cannot be written to: its user lacks the right")


# files that wait


def test_a_home_that_cannot_be_written_to_costs_no_record(
    file: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/dev/null")

    assert deliver(run(), file) == Said(True, ("5 results recorded",))
    gone = find_history("sqlite:////nowhere/history.db")
    assert deliver(run(), gone).lines == (
        "not recorded: the database cannot be written to: there is no such file",
        "nor kept for the next run: Not a directory",
    )


def test_a_file_that_is_no_run_is_said_and_keeps_no_other_from_its_way(file: Address, ask: Ask) -> None:
    spool = Spool.of(file.digest)
    earlier = spool.keep(run())
    later = earlier.with_name("0-later.jsonl")
    later.write_text(earlier.read_text().replace('{"history": 1', '{"history": 2', 1))
    cut = earlier.with_name("1-cut.jsonl")
    cut.write_text(earlier.read_text()[:900])

    assert deliver(run(day=1), file).lines == (
        "5 results recorded",
        "1 earlier run that waited recorded",
        f"not a run that waits: {later}: it has version 2, and this quantgate knows 1; remove it",
        f"not a run that waits: {cut}: Expecting value: line 1 column 698 (char 697); remove it",
    )
    assert ask(file, COUNTS) == [(2, 10, 18)]
    assert waiting(file) == [later, cut]


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), TypeError("secret")], ids=lambda error: type(error).__name__
)
def test_whatever_ends_a_delivery_leaves_the_file(
    file: Address, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def ends(self: store.Store, run: Run) -> bool:
        raise error

    monkeypatch.setattr(store.Store, "write", ends)

    kept(
        deliver(run(), file),
        "it was interrupted"
        if isinstance(error, KeyboardInterrupt)
        else "TypeError; what it says is not shown, as it may hold the address",
    )
    monkeypatch.undo()


def test_what_ends_the_delivery_of_earlier_runs_leaves_this_one_recorded(
    file: Address, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = Spool.of(file.digest).keep(run())
    wrote = store.Store.write

    def ends(self: store.Store, made: Run) -> bool:
        if made.name == earlier.stem:
            raise KeyboardInterrupt
        return wrote(self, made)

    monkeypatch.setattr(store.Store, "write", ends)

    assert deliver(run(day=1), file) == Said(
        True, ("5 results recorded", "earlier runs still wait: it was interrupted")
    )
    assert waiting(file) == [earlier]
    assert ask(file, COUNTS) == [(1, 5, 9)]


def test_a_run_that_a_table_refuses_keeps_no_other_from_its_way(
    database: Address, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    if not database.is_sqlite:
        ask(database, "CREATE SCHEMA ssot")
    ask(
        database,
        "CREATE TABLE ssot.bpb_samples (canon_name text, format text, algo text, hidden int, seed int, step int, "
        "bpb real, sha text NOT NULL, run_id text, ts text)",
    )
    refused = "the database refuses it: a column of its table may not be empty"
    path = kept(deliver(run(result(), sha=None), database), refused)

    assert deliver(run(), database) == Said(
        True, ("5 results recorded", f"an earlier run still waits: {refused} ({path})")
    )
    assert ask(database, COUNTS) == [(1, 5, 9)]
    assert not caplog.records  # which would name hosts and users
