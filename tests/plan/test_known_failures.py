"""The file of known failures: what it may say, and every way in which it is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from quantgate.plan.known_failures import KnownFailure, KnownFailuresError, load
from quantgate.records.cell import Cell
from quantgate.subjects.registry import Registry
from tests.examples import make_result

CELLS = (
    Cell("int4", "format", "adamw", 47),
    Cell("int4", "format", "muon", 47),
    Cell("gf8", "format", "adamw", 47, 128, "inplace"),
)


def write(folder: Path, text: str) -> Path:
    path = folder / "known.toml"
    path.write_text(text, encoding="utf-8")
    return path


def entry(name: str = "int4-adamw-s47", reason: str = "see issue 12", cause: str = "update-swallowed") -> str:
    return f'["{name}"]\nreason = "{reason}"\ncause = "{cause}"\n'


def refused(path: Path) -> str:
    with pytest.raises(KnownFailuresError) as caught:
        load(path, CELLS, Registry())
    message = str(caught.value)
    assert message.startswith(f"known failures {str(path)!r}")
    return message.removeprefix(f"known failures {str(path)!r}")


def test_entries_are_read_by_cell_id(tmp_path: Path) -> None:
    path = write(tmp_path, entry() + entry("gf8-adamw-s47-w128-inplace", "no scale", "range-collapsed"))

    assert load(path, CELLS, Registry()).entries == {
        "int4-adamw-s47": KnownFailure("int4-adamw-s47", "see issue 12", "update-swallowed"),
        "gf8-adamw-s47-w128-inplace": KnownFailure(
            "gf8-adamw-s47-w128-inplace", "no scale", "range-collapsed"
        ),
    }


def test_an_empty_file_knows_no_failure(tmp_path: Path) -> None:
    assert load(write(tmp_path, "# nothing is red\n"), CELLS, Registry()).entries == {}


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    assert refused(tmp_path / "known.toml") == " cannot be read: No such file or directory"


def test_a_folder_is_said(tmp_path: Path) -> None:
    assert refused(tmp_path) == " cannot be read: Is a directory"


def test_another_format_is_said(tmp_path: Path) -> None:
    assert refused(write(tmp_path, "{}")).startswith(" is not TOML: ")


def test_another_encoding_is_said(tmp_path: Path) -> None:
    path = tmp_path / "known.toml"
    path.write_bytes(b'["int4-adamw-s47"]\nreason = "\xff"\n')

    assert refused(path).startswith(" is not TOML: ")


@pytest.mark.parametrize(
    "fields",
    [
        "",
        'reason = "r"',
        'cause = "no-op"',
        'reason = ""\ncause = "no-op"',
        'reason = "  "\ncause = "no-op"',
        'reason = 3\ncause = "no-op"',
        'reason = "r"\ncause = "no-op"\nsince = "2027"',
    ],
)
def test_an_entry_needs_a_reason_and_a_cause_alone(tmp_path: Path, fields: str) -> None:
    path = write(tmp_path, f'["int4-adamw-s47"]\n{fields}\n')

    assert (
        refused(path)
        == ": 'int4-adamw-s47' needs a reason and a cause, and takes no more than until (a date) and a link"
    )


def test_a_value_that_is_no_table_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, 'int4-adamw-s47 = "known"\n')

    assert (
        refused(path)
        == ": 'int4-adamw-s47' needs a reason and a cause, and takes no more than until (a date) and a link"
    )


def test_an_unknown_cause_names_the_nearest(tmp_path: Path) -> None:
    assert refused(write(tmp_path, entry(cause="updates-swallowed"))) == (
        ": 'int4-adamw-s47' has the unknown cause 'updates-swallowed'; did you mean 'update-swallowed'?"
    )


def test_a_cause_near_to_none_lists_all(tmp_path: Path) -> None:
    message = refused(write(tmp_path, entry(cause="zzz")))

    assert message.startswith(": 'int4-adamw-s47' has the unknown cause 'zzz'; known are gradient-blocked, ")


def test_a_cause_must_be_a_text(tmp_path: Path) -> None:
    path = write(tmp_path, '["int4-adamw-s47"]\nreason = "r"\ncause = ["no-op"]\n')

    assert refused(path).startswith(": 'int4-adamw-s47' has the unknown cause ['no-op']")


@pytest.mark.parametrize(
    "name",
    ["int4-adamw-s48", "int4-adamw", "int4-adamw-s47-inplace", "int9-adamw-s47", "int8-adam-s47"],
    ids=repr,
)
def test_an_entry_that_matches_no_cell_names_the_nearest(tmp_path: Path, name: str) -> None:
    assert (
        refused(write(tmp_path, entry(name))) == f": {name!r} matches no cell; did you mean 'int4-adamw-s47'?"
    )


def test_an_entry_near_to_no_cell_is_refused(tmp_path: Path) -> None:
    assert refused(write(tmp_path, entry("zzz"))) == ": 'zzz' matches no cell"


def test_an_entry_for_a_pair_that_does_not_run_is_refused(tmp_path: Path) -> None:
    assert refused(write(tmp_path, entry("gf8-muon-s47"))).startswith(": 'gf8-muon-s47' matches no cell")


@pytest.mark.parametrize(
    "name",
    ["int8-adamw-s47", "int4-sgd-s47", "nf4-lion-s89-w128-inplace-wa", "int4-adamw-s47-w128-long"],
    ids=repr,
)
def test_an_entry_about_what_this_run_leaves_out_stands(tmp_path: Path, name: str) -> None:
    assert set(load(write(tmp_path, entry(name)), CELLS, Registry()).entries) == {name}


# patterns, dates and links


@pytest.mark.parametrize("pattern", ["int4-*-long", "int4-adamw-s47-w128-lon?"])
def test_a_pattern_of_the_lane_that_this_run_leaves_out_stands(tmp_path: Path, pattern: str) -> None:
    assert set(load(write(tmp_path, entry(pattern)), CELLS, Registry()).entries) == {pattern}

    long = [replace(cell, width=128, lane="long") for cell in CELLS]
    assert set(load(write(tmp_path, entry("int4-adamw-s47")), long, Registry()).entries) == {"int4-adamw-s47"}
    assert refused(write(tmp_path, entry("int4-*-short"))).startswith(": 'int4-*-short' matches no cell")


def test_a_pattern_speaks_for_every_cell_that_it_matches(tmp_path: Path) -> None:
    known = load(write(tmp_path, entry("int4-*")), CELLS, Registry())

    assert [cell.id for cell in CELLS if known.get(cell.id)] == ["int4-adamw-s47", "int4-muon-s47"]


def test_a_cells_own_entry_outranks_a_pattern(tmp_path: Path) -> None:
    path = write(tmp_path, entry("*-s47", cause="no-op") + entry("int4-muon-s47", cause="resolution"))
    known = load(path, CELLS, Registry())

    assert [each.cause for cell in CELLS[:2] if (each := known.get(cell.id))] == ["no-op", "resolution"]


def test_two_patterns_for_one_cell_are_refused(tmp_path: Path) -> None:
    assert refused(write(tmp_path, entry("int4-*") + entry("*-muon-*"))) == (
        ": 'int4-muon-s47' is matched by 'int4-*' and by '*-muon-*'; narrow one of them, or give the cell an entry of "
        "its own"
    )


@pytest.mark.parametrize("name", ["int4-*-s48", "int5-*", "*-adam-*", "*-wa", "[a]"])
def test_a_pattern_that_matches_no_cell_is_refused(tmp_path: Path, name: str) -> None:
    assert refused(write(tmp_path, entry(name))).startswith(f": {name!r} matches no cell")


def test_a_pattern_whose_cells_all_have_their_own_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, entry("int4-a*w-s47") + entry("int4-adamw-s47"))

    assert refused(path) == ": 'int4-a*w-s47' matches only cells that have an entry of their own"


@pytest.mark.parametrize("name", ["nf4-*", "*-sgd-*", "nf4-lion-s47-w128", "int8-*-inplace"])
def test_a_pattern_about_what_this_run_leaves_out_stands(tmp_path: Path, name: str) -> None:
    assert set(load(write(tmp_path, entry(name)), CELLS, Registry()).entries) == {name}


def test_the_last_day_counts_and_the_next_does_not(tmp_path: Path) -> None:
    today = datetime.now(UTC).date()
    dead = make_result(cause="no-op")
    for until, is_over in ((today, False), (today - timedelta(1), True), (today + timedelta(1), False)):
        path = write(tmp_path, entry(cause="no-op") + f"until = {until}\n")
        known = load(path, CELLS, Registry()).get("int4-adamw-s47")

        assert known is not None
        assert known.is_over is is_over
        assert known.excuses(dead) is not is_over


def test_a_link_is_said_with_the_reason(tmp_path: Path) -> None:
    path = write(tmp_path, entry() + 'link = "https://example.org/12"\nuntil = 2999-12-31\n')
    known = load(path, CELLS, Registry()).get("int4-adamw-s47")

    assert known is not None
    assert str(known) == "see issue 12, https://example.org/12"
    assert known.to_record() == {
        "pattern": "int4-adamw-s47",
        "reason": "see issue 12",
        "cause": "update-swallowed",
        "until": "2999-12-31",
        "link": "https://example.org/12",
    }


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ('until = "2026-12-31"', "until is '2026-12-31', and no date; write until = 2026-12-31"),
        (
            "until = 2026-12-31T10:00:00Z",
            "until is '2026-12-31 10:00:00+00:00', and no date; write until = 2026-12-31",
        ),
        ('link = "javascript:alert(1)"', "the link 'javascript:alert(1)' is no https:// address"),
        ("link = 12", "the link '12' is no https:// address"),
    ],
)
def test_a_date_and_a_link_are_what_they_are(tmp_path: Path, field: str, message: str) -> None:
    assert refused(write(tmp_path, f"{entry()}{field}\n")) == f": 'int4-adamw-s47': {message}"
