"""`quantgate known accept`."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantgate.plan.known_failures import parse
from quantgate.records.result import to_line
from tests.cli.conftest import Command
from tests.examples import learning, make_cell, make_result

FILE = '# ours\n\n["old-adamw-s47"]\nreason = \'r\'\ncause = "no-op"\n'


@pytest.fixture
def results(folder: Path) -> Path:
    """The results of a run in the current folder: two cells that fail, two that learn."""
    lines = [
        to_line(each)
        for each in (
            make_result(),
            make_result(make_cell(subject="other")),
            *(learning(make_cell(subject=name)) for name in ("fine", "old")),
        )
    ]
    path = folder / "results.jsonl"
    path.write_text("\n".join(lines))
    return path


def test_the_failures_of_a_run_become_entries(quantgate: Command, results: Path) -> None:
    said = quantgate("known", "accept", "results.jsonl", "--reason", "issue 12", "--until", "2026-12-31")

    assert said == (
        0,
        "mylib_int4-adamw-s47: added\nother-adamw-s47: added\nknown-failures.toml: written\n",
        "",
    )
    path = results.parent / "known-failures.toml"
    entries = parse(path, path.read_text("utf-8")).entries
    assert {name: each.cause for name, each in entries.items()} == {
        "mylib_int4-adamw-s47": "gradient-blocked",
        "other-adamw-s47": "gradient-blocked",
    }
    assert {str(each.until) for each in entries.values()} == {"2026-12-31"}
    assert sorted(each.name for each in results.parent.iterdir()) == ["known-failures.toml", "results.jsonl"]


def test_a_file_of_ones_own_is_changed_and_keeps_what_it_says(quantgate: Command, results: Path) -> None:
    path = results.parent / "k.toml"
    path.write_text(FILE)
    arguments = (
        "results.jsonl",
        "--only",
        "o*",
        "--reason",
        "r",
        "--link",
        "https://example.org/1",
        "-o",
        "k.toml",
    )
    said = quantgate("known", "accept", *arguments)

    assert said.out.splitlines() == [
        "other-adamw-s47: added",
        "old-adamw-s47: taken out, since it learns now",
        "k.toml: written",
    ]
    text = path.read_text()
    assert text.startswith("# ours\n")
    assert set(parse(path, text).entries) == {"other-adamw-s47"}


def test_where_nothing_changes_nothing_is_written(quantgate: Command, results: Path) -> None:
    said = quantgate("known", "accept", "results.jsonl", "--only", "fine-*", "--reason", "r")

    assert said == (0, "known-failures.toml: as it was\n", "")
    assert not (results.parent / "known-failures.toml").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("no.jsonl",),
            "results 'no.jsonl' is not there; a run writes it: pytest -m lowbit --quantgate-report FOLDER",
        ),
        (("results.jsonl", "--until", "soon"), "argument --until: 'soon' is no date; write 2026-12-31"),
        (("results.jsonl", "--link", "issue 12"), "argument --link: 'issue 12' is no https:// address"),
        (("results.jsonl", "--only", "zzz"), "--only 'zzz' matches no cell of the results"),
        (("results.jsonl", "-o", "no/such/k.toml"), "known failures 'no/such/k.toml' cannot be written: "),
    ],
)
def test_what_is_refused(quantgate: Command, results: Path, arguments: tuple[str, ...], message: str) -> None:
    said = quantgate("known", "accept", *arguments, "--reason", "r")

    assert (said.status, said.out) == (4, "")
    assert f"quantgate: {message}" in said.err


def test_without_a_reason_what_learns_is_taken_out_and_nothing_is_accepted(
    quantgate: Command, results: Path
) -> None:
    path = results.parent / "k.toml"
    path.write_text(FILE)

    assert quantgate("known", "accept", "results.jsonl", "-o", "k.toml") == (
        0,
        "old-adamw-s47: taken out, since it learns now\nk.toml: written\n",
        "",
    )
    assert quantgate("known", "accept", "results.jsonl", "-o", "k.toml") == (
        4,
        "",
        "quantgate: mylib_int4-adamw-s47, other-adamw-s47: nothing is accepted without a reason; say why: "
        "--reason TEXT\n",
    )
    assert path.read_text() == "# ours\n\n"


def test_a_date_without_a_reason_is_a_usage_error(quantgate: Command, results: Path) -> None:
    assert quantgate("known", "accept", "results.jsonl", "--until", "2027-01-31") == (
        4,
        "",
        "quantgate: --until and --link are part of what is accepted: say why, too: --reason TEXT\n",
    )


def test_several_cells_may_be_named(quantgate: Command, results: Path) -> None:
    only = ("--only", "mylib_int4-adamw-s47", "--only", "other-*")
    said = quantgate("known", "accept", "results.jsonl", *only, "--reason", "r")

    assert said.out.splitlines()[:2] == ["mylib_int4-adamw-s47: added", "other-adamw-s47: added"]


def test_an_entry_stays_where_two_patterns_would_speak_in_its_place(
    quantgate: Command, results: Path
) -> None:
    more = "".join(f"\n['{name}']\nreason = 'r'\ncause = 'no-op'\n" for name in ("ol*", "o*d-*"))
    (results.parent / "k.toml").write_text(FILE + more)
    said = quantgate("known", "accept", "results.jsonl", "-o", "k.toml")

    assert said.out.splitlines() == [
        "old-adamw-s47: learns now, though a pattern says it fails; narrow the pattern", "k.toml: as it was",
    ]  # fmt: skip
