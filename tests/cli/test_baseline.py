"""`quantgate baseline compare | accept`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from quantgate.baselines.document import Baseline, read, write
from quantgate.records.cell import Config
from quantgate.records.result import CellResult, to_line, unmeasured
from quantgate.records.verdict import Verdict
from tests.cli.conftest import Command
from tests.examples import CELL, learning, make_cell, make_result

OTHER = make_cell(subject="other")
HERE = {"torch": "2.13.0", "isa": "AVX2", "cpu": "EPYC", "threads": 1, "device": "cpu"}


@pytest.fixture
def base(folder: Path) -> Path:
    """A baseline of two cells that learn, in the current folder."""
    path = folder / "base.jsonl"
    write(path, Baseline({}).updated([learning(environment=HERE), learning(OTHER, environment=HERE)]))
    return path


def run(folder: Path, *results: CellResult) -> str:
    """The results of a run, by the name of their file."""
    (folder / "results.jsonl").write_text("".join(f"{to_line(each)}\n" for each in results), encoding="utf-8")
    return "results.jsonl"


def test_a_regression_ends_with_1_and_shows_both_curves(quantgate: Command, base: Path, folder: Path) -> None:
    now = run(folder, make_result(), learning(OTHER, bpb=5.0, environment=HERE))
    said = quantgate("baseline", "compare", "base.jsonl", now)

    assert (said.status, said.err) == (1, "")
    assert said.out.splitlines() == [
        "baseline: 0 same, 1 regressed, 1 improved, 0 new, 0 gone, 0 not comparable",
        "mylib_int4 x adamw: regressed against the baseline: its verdict was learns, and is dead by gradient-blocked.",
        "    step         0   100",
        "    baseline  7.03  5.10",
        "    now       7.03  6.94",
        "  The curves part at step 100.",
        "Next: mend it, since no baseline excuses what does not learn; until then, `quantgate known accept "
        "results.jsonl --only mylib_int4-adamw-s47 --reason TEXT -o known.toml` makes it a known failure.",
        "improved  other x adamw: 5.0000 BPB, 0.1 better than 5.1000, where 0.003 is within the tolerance "
        "(what rounding alone moves it by)",
    ]


def test_what_is_the_same_new_or_gone_ends_with_0(quantgate: Command, base: Path, folder: Path) -> None:
    now = run(folder, learning(), learning(make_cell(subject="third")))
    said = quantgate("baseline", "compare", "base.jsonl", now)

    assert said.status == 0
    assert said.out.splitlines() == [
        "baseline: 1 same, 0 regressed, 0 improved, 1 new, 1 gone, 0 not comparable",
        "new  third-adamw-s47",
        "gone  other-adamw-s47",
    ]


def test_where_nothing_can_be_compared_that_fails(quantgate: Command, base: Path, folder: Path) -> None:
    said = quantgate("baseline", "compare", "base.jsonl", run(folder, learning(steps=20)))

    assert said.status == 1
    assert said.out.splitlines()[-1] == (
        "the baseline can be compared with no cell: 100 steps there, 20 here; give both the same options, or make it "
        "anew"
    )


def test_json_holds_every_cell(quantgate: Command, base: Path, folder: Path) -> None:
    said = quantgate(
        "baseline", "compare", "base.jsonl", run(folder, make_result(steps=20), learning()), "--json"
    )
    document = json.loads(said.out)

    assert said.status == 0
    assert document["gone"] == ["other-adamw-s47"]
    assert document["cells"]["mylib_int4-adamw-s47"]["baseline"]["change"] == "same"


def test_accepting_makes_the_same_results_pass(quantgate: Command, base: Path, folder: Path) -> None:
    now = run(folder, make_result(), make_result(OTHER))
    said = quantgate("baseline", "accept", "base.jsonl", now, "--only", "mylib_*", "--reason", "meant")

    assert said == (
        0,
        "accepted in base.jsonl: 1 cell (0 same, 1 regressed, 0 improved, 0 new): meant\n"
        "still red: mylib_int4-adamw-s47 (dead): what does not pass fails with any baseline. Where that is meant, make "
        "it known: quantgate known accept results.jsonl --only 'mylib_*' --reason TEXT -o known.toml\n",
        "",
    )
    entries = read(base).entries
    assert entries[CELL.id].result.verdict is Verdict.DEAD
    assert entries[CELL.id].accepted == {"reason": "meant", "on": datetime.now(UTC).date().isoformat()}
    assert entries[OTHER.id].result.verdict is Verdict.LEARNS
    assert entries[OTHER.id].accepted is None
    again = quantgate("baseline", "compare", "base.jsonl", now)
    assert again.status == 1
    assert "mylib_int4" not in again.out


def test_several_that_do_not_pass_are_counted(quantgate: Command, base: Path, folder: Path) -> None:
    faulty = make_result(OTHER, verdict=Verdict.FAULTY)
    said = quantgate(
        "baseline", "accept", "base.jsonl", run(folder, make_result(), faulty), "--reason", "meant"
    )

    assert said.out.splitlines()[-1] == (
        "still red: mylib_int4-adamw-s47 (dead) and 1 more: what does not pass fails with any baseline. Where that "
        "is meant, make it known: quantgate known accept results.jsonl --reason TEXT -o known.toml"
    )


def test_a_cell_that_learns_and_got_worse_is_accepted_and_no_more_is_said(
    quantgate: Command, base: Path, folder: Path
) -> None:
    worse = run(folder, learning(bpb=5.3, environment=HERE))

    assert quantgate("baseline", "compare", "base.jsonl", worse).out.splitlines()[-2] == (
        "Next: look at what changed since; if it is meant, `quantgate baseline accept base.jsonl results.jsonl "
        "--only mylib_int4-adamw-s47 --reason TEXT`."
    )
    assert quantgate("baseline", "accept", "base.jsonl", worse, "--reason", "coarser").out.splitlines() == [
        "accepted in base.jsonl: 1 cell (0 same, 1 regressed, 0 improved, 0 new): coarser"
    ]


def test_what_was_not_judged_is_not_accepted(quantgate: Command, base: Path, folder: Path) -> None:
    before = read(base)
    lost = unmeasured(CELL, Verdict.CRASHED, "boom", Config())
    said = quantgate("baseline", "accept", "base.jsonl", run(folder, lost), "--reason", "meant")

    assert said.out.splitlines() == [
        "left as it was: mylib_int4-adamw-s47 (crashed): it was not judged",
        "accepted in base.jsonl: 0 cells (0 same, 0 regressed, 0 improved, 0 new): meant",
    ]
    assert read(base) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("compare", "no.jsonl", "results.jsonl"),
            "baseline 'no.jsonl' is not there; pytest -m lowbit --quantgate-baseline FILE --quantgate-update-baseline "
            "makes it",
        ),
        (
            ("compare", "base.jsonl", "no.jsonl"),
            "results 'no.jsonl' is not there; a run writes it: pytest -m lowbit --quantgate-report FOLDER",
        ),
        (
            ("accept", "base.jsonl", "results.jsonl", "--reason", "r", "--only", "mylib_int5-*"),
            "--only 'mylib_int5-*' matches no cell of the results; did you mean 'mylib_int4-adamw-s47'?",
        ),
        (
            ("accept", "base.jsonl", "results.jsonl", "--reason", " "),
            "--reason is empty; say why this is accepted",
        ),
        (
            ("accept", "results.jsonl", "results.jsonl", "--reason", "r"),
            "baseline 'results.jsonl' holds the results of a run, which are not changed; pytest -m lowbit "
            "--quantgate-baseline FILE --quantgate-update-baseline makes it",
        ),
        (
            ("compare", "base.jsonl", "cut.jsonl"),
            "results 'cut.jsonl', line 1 is no JSON, or was cut in mid-line; make it anew, or take the line out",
        ),
    ],
)
def test_what_is_refused(
    quantgate: Command, base: Path, folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    run(folder, make_result())
    (folder / "cut.jsonl").write_text(to_line(make_result())[:-9])

    assert quantgate("baseline", *arguments) == (4, "", f"quantgate: {message}\n")
