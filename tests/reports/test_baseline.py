"""A baseline in words: what regressed with both curves, and what a run lists without being red for it."""

from __future__ import annotations

import re
from textwrap import dedent

from quantgate.records.result import CellResult
from quantgate.reports.baseline import curves, parted, regression, section
from quantgate.reports.blocks.line import Line
from quantgate.reports.github.annotations import error_lines
from quantgate.reports.github.summary import summary
from quantgate.reports.html.page import page
from quantgate.reports.terminal import sections
from quantgate.reports.words.commands import Files
from tests.examples import learning, make_cell, make_result
from tests.reports.html.records import few

BEFORE = ((0, 7.03), (20, 6.1), (60, 5.5), (100, 5.1))
NOW = ((0, 7.03), (20, 6.9), (60, 6.95), (100, 7.0))


def record(change: str, because: str = "why", curve: object = ()) -> dict[str, object]:
    return {"bpb": 5.1, "curve": curve, "change": change, "because": because}


def text(lines: list[Line]) -> str:
    return "\n".join("".join(piece for piece, _ in line) for line in lines)


def regressed(known: dict[str, str] | None = None) -> CellResult:
    return make_result(curve=NOW, baseline=record("regressed", curve=BEFORE), known=known)


def test_a_regression_shows_both_curves_and_the_next_step() -> None:
    assert regression(regressed(), Files("out/results.jsonl", known="old.toml")).split("\n") == [
        "mylib_int4 x adamw: regressed against the baseline: why.",
        "  step         0    20    60   100",
        "  baseline  7.03  6.10  5.50  5.10",
        "  now       7.03  6.90  6.95  7.00",
        "The curves part at step 20.",
        "Next: mend it, since no baseline excuses what does not learn; until then, `quantgate known accept "
        "out/results.jsonl --only mylib_int4-adamw-s47 --reason TEXT -o old.toml` makes it a known failure.",
    ]


def test_curves_that_differ_in_a_later_decimal_show_it() -> None:
    assert curves([(0, 7.0), (100, 5.1)], [(0, 7.0), (100, 5.10012)])[1:] == [
        "  baseline  7.0000  5.1000",
        "  now       7.0000  5.1001",
    ]


def test_long_curves_are_shown_at_eight_steps() -> None:
    long = [(step, 7.0 - step / 10_000) for step in range(0, 20_001, 10)]
    steps, before, now = curves(long, [(step, score + 1) for step, score in long])

    assert steps.split() == ["step", "0", "2,860", "5,710", "8,570", "11,430", "14,290", "17,140", "20,000"]
    assert len(before) == len(now) == len(steps)


def test_curves_at_other_steps_are_shown_at_all_of_them() -> None:
    assert curves([(0, 7.0)], [(10, None)]) == [
        "  step         0          10",
        "  baseline  7.00",
        "  now             non-finite",
    ]
    assert curves([], []) == []
    assert parted([(0, 7.0)], [(10, 6.0)]) is None


def test_a_curve_that_was_not_finite_parts_too() -> None:
    assert parted([(0, 7.0), (10, None)], [(0, 7.0), (10, 6.0)]) == 10
    assert parted(BEFORE, BEFORE) is None


def test_a_run_counts_and_lists() -> None:
    def named(name: str, change: str) -> CellResult:
        return learning(make_cell(subject=name), baseline=record(change))

    results = [
        named("a", "same"),
        named("b", "improved"),
        *(named(f"n{place}", "new") for place in range(8)),
        learning(),
    ]
    not_comparable = {"x-adamw-s47": "20 steps there, 100 here", "y-adamw-s47": "20 steps there, 100 here"}

    assert text(section(results, ["g-adamw-s47"], not_comparable)) == dedent("""\
        baseline: 1 same, 0 regressed, 1 improved, 8 new, 1 gone, 2 not comparable
        improved  b x adamw: why
        new  n0-adamw-s47, n1-adamw-s47, n2-adamw-s47, n3-adamw-s47, n4-adamw-s47, n5-adamw-s47 and 2 more
        gone  g-adamw-s47
        not comparable  x-adamw-s47, y-adamw-s47: 20 steps there, 100 here""")


def test_what_regressed_is_red_unless_it_is_known() -> None:
    (_, red, *_), (_, known, *_) = (
        section([regressed(known=entry)], (), {}) for entry in (None, {"reason": "issue 12"})
    )

    assert red[0][1] == {"red": True, "yellow": False}
    assert known[0][1] == {"red": False, "yellow": True}
    assert known[0][0].endswith("why. It is a known failure.")


def test_nothing_from_outside_drives_the_terminal() -> None:
    hostile = make_result(
        make_cell(subject="a\x1b[2J"), curve=NOW, baseline=record("regressed", "\x1b[2J\nb")
    )
    lines = section([hostile], ["\x1b[2J"], {"\x1b]0;": "\x07"})

    assert all(piece.isprintable() for line in lines for piece, _ in line)
    assert all(line.isprintable() for line in regression(hostile, Files()).split("\n"))


def test_every_picture_calls_it_by_one_word() -> None:
    story = few()
    printed = [*sections(story.results, story.controls, story.run.limits), section(story.results)]
    pictures = {
        "page": page(story).replace("base-uri", ""),
        "summary": summary(story),
        "terminal": "\n".join(piece for lines in printed for line in lines for piece, _ in line),
        "annotations": "\n".join(error_lines(story)),
    }

    assert {name: re.findall(r".*\bbase\b.*", text) for name, text in pictures.items()} == {
        name: [] for name in pictures
    }
    assert all("baseline" in pictures[name] for name in ("page", "summary", "terminal"))
