"""The step summary, compared as a whole text; its limit; and texts from outside."""

from __future__ import annotations

import re
from dataclasses import replace
from textwrap import dedent

import pytest

from quantgate.records.cell import Cell
from quantgate.records.result import CellResult
from quantgate.records.run import RunRecord
from quantgate.records.verdict import Verdict
from quantgate.reports.github.summary import MOST_BYTES, summary
from quantgate.reports.story import tell
from tests.examples import hostile_results, learning, make_cell, make_result
from tests.reports.test_story import DONE, nine

RUN = replace(DONE, planned=9, ran=9, judged=9, matrix=9, subjects=("mylib_int4", "int4", "int8"))


def controls() -> list[CellResult]:
    broken = Cell("dead-body", "negative-control", "adamw", 47)
    return [
        *(learning(make_cell(optimizer=each).control, bpb=5.09) for each in ("adamw", "muon", "sgd")),
        make_result(broken, cause="range-collapsed"),
    ]


def test_it_stands_alone() -> None:
    test = "tests/test_lowbit.py::test_learns[mylib_int4-adamw-s47]"
    results = nine(
        test=test, source="mylib/quant.py:12", cause="gradient-blocked", baseline={"change": "regressed"}
    )
    results[-1] = replace(results[-1], evidence={"warnings": {"scale-zero": "an all-zero row gives NaN."}})
    run = replace(RUN, options=("--quantgate-steps=100",), left_out=("int2-adamw-s47",))

    assert summary(tell(results, controls(), run)) == dedent("""\
        ## ❌ mylib\\_int4 stopped learning: 3 of 9 cells, gradient-blocked; regressed since the baseline

        9 planned / 9 ran / 9 judged / 0 skipped · 3 of 3 controls learn, 1 of 1 negative controls fail · 100 steps on builtin · bits per byte: below 6.50 passes, 6.90 is dead, 7.00 is chance

        ### `gradient-blocked`: `mylib_int4`, 3 cells

        No gradient reaches the weights behind the quantizer.

        - `mylib_int4` (at `mylib/quant.py:12`): adamw **6.94 dead** (regressed), muon **6.94 dead** (regressed), sgd **6.94 dead** (regressed)\x20\x20
          Because: the gradient is 0 for 7 of 7 weights where the reference straight-through estimator's is not.

        **Do:** round() has no gradient; use x + (q(x) - x).detach(). · `quantgate explain gradient-blocked`

        One of these cells again:

        ```sh
        pytest 'tests/test_lowbit.py::test_learns[mylib_int4-adamw-s47]' --quantgate-steps=100
        ```

        ### The table

        | format | `adamw` | `muon` | `sgd` |
        |---|---|---|---|
        | `float32 control` | 5.09 learns | 5.09 learns | 5.09 learns |
        | `mylib_int4` | **6.94 dead** (regressed) | **6.94 dead** (regressed) | **6.94 dead** (regressed) |

        **Controls:** 3 of 3 controls learn, 1 of 1 negative controls fail.

        ### Remarks, none of them a failure

        - warning  int8: scale-zero: an all-zero row gives NaN.
        - skipped 1: `int2-adamw-s47`

        <details><summary>Rows in which nothing fails: 6 cells</summary>

        | format | `adamw` | `muon` | `sgd` |
        |---|---|---|---|
        | `int4` | 5.10 learns | 5.10 learns | 5.10 learns |
        | `int8` | 5.10 learns | 5.10 learns | 5.10 learns |

        </details>
        """)


def test_a_healthy_run_is_short() -> None:
    run = RunRecord("finished", 0, planned=1, ran=1, judged=1, matrix=1)
    text = summary(tell([learning()], controls()[:1], run))

    assert text.startswith("## ✅ Every cell learns: 1 of 1\n\n1 planned / 1 ran / 1 judged / 0 skipped · ")
    assert "<details><summary>Rows in which nothing fails: 1 cell</summary>" in text


def test_a_control_that_is_not_as_it_must_be_is_named() -> None:
    dead = replace(controls()[0], verdict=Verdict.DEAD, bpb=7.0)
    text = summary(tell([learning()], [dead], RunRecord("finished", 70, problems=("the float32 control",))))

    assert "## ❌ The run is invalid: the machine or the gate is at fault, not the formats\n" in text
    assert "**Problem:** the float32 control\n" in text
    assert "- control `fp32 x adamw`: **7.00 dead**" in text


def test_a_known_failure_has_its_reason() -> None:
    known = {make_cell().id: {"reason": "issue_12", "cause": "gradient-blocked"}}
    text = summary(tell([make_result()], [], RunRecord("finished", 0, known=known)))

    assert text.startswith("## ✅ 0 of 1 cell pass, 1 as it is known to fail\n")
    assert "| `mylib_int4` | **6.94 dead** (known) |" in text
    assert "- known failure `mylib_int4-adamw-s47`: 6.94 dead: issue\\_12" in text


def test_what_is_over_the_limit_is_left_out_the_worst_last() -> None:
    failing = [make_result(Cell(f"fails_{place}", "format", "adamw", 47)) for place in range(400)]
    healthy = [learning(Cell(f"healthy_{place}", "format", "adamw", 47)) for place in range(900)]
    text = summary(tell(failing + healthy, controls(), RUN), 30_000)

    assert len(text.encode()) <= 30_000 < MOST_BYTES
    assert text.startswith("## ❌ 400 formats fail (")
    assert "| `float32 control` |" in text
    assert all(f"`fails_{place}`" in text for place in range(400))
    assert text.endswith(
        "\n\nLeft out for the limit of GitHub's summaries: 700 healthy rows. `results.jsonl` and `report.html` hold all.\n"
    )


@pytest.mark.parametrize("most", [3_000, 6_000, 20_000])
def test_a_smaller_limit_is_kept_too(most: int) -> None:
    text = summary(tell(hostile_results() + nine(), controls(), RUN), most)

    assert len(text.encode()) <= most
    assert text.startswith("## ❌ ")
    assert "Left out for the limit" in text


def test_texts_from_outside_make_no_markup() -> None:
    markdown_it = pytest.importorskip("markdown_it", reason="renders Markdown: pip install 'quantgate[test]'")
    pytest.importorskip("linkify_it", reason="links what GitHub links: pip install 'quantgate[test]'")
    run = replace(RUN, problems=tuple(each.subject for each in hostile_results()))
    text = summary(tell(hostile_results(), controls(), run))
    page = markdown_it.MarkdownIt("gfm-like", {"html": True}).render(text)

    assert set(re.findall(r"<(\w+)", page)) <= {
        "h2", "h3", "p", "ul", "li", "br", "code", "pre", "strong", "table", "thead", "tbody", "tr", "th", "td",
        "details", "summary",
    }  # fmt: skip
    assert all(char.isprintable() or char in "\n\u200b" for char in text)
    assert not re.search(r"^\s*::", text, flags=re.MULTILINE)
    assert "##[" not in text


def test_an_entry_that_excuses_nothing_is_said_beside_its_cell() -> None:
    entry = {"cause": "sign-lost", "until": "2026-10-31"}
    results = [
        make_result(unexcused={**entry, "why": "over"}),
        make_result(make_cell(optimizer="sgd"), unexcused={**entry, "why": "cause"}),
    ]
    text = summary(tell(results, run=DONE))

    part = "- `mylib_int4`: adamw **6.94 dead** (known until 2026-10-31), sgd **6.94 dead** (known for sign-lost)"
    assert part in text
    assert "| **6.94 dead** (known until 2026-10-31) | **6.94 dead** (known for sign-lost) |" in text


def test_a_known_failure_that_learns_has_the_command_that_takes_it_out() -> None:
    entry = {"pattern": "mylib_int4-adamw-s47", "cause": "sign-lost", "until": None, "why": "learns"}
    run = replace(DONE, files={"results": "out/results.jsonl", "known_failures": "k.toml"})
    text = summary(tell([learning(unexcused=entry)], run=run))

    assert text.startswith("## ❌ A known failure learns now (mylib\\_int4)\n")
    assert "**Next:**\n\n```sh\nquantgate known accept out/results.jsonl -o k.toml\n```" in text


def test_a_regression_has_its_score_before_and_the_command_that_accepts_it() -> None:
    run = replace(DONE, files={"results": "out/results.jsonl", "baseline": "base.jsonl"})
    text = summary(tell([learning(baseline={"change": "regressed", "bpb": 5.02})], run=run))

    assert "adamw **5.10 learns** (regressed, 5.02 before)" in text
    command = (
        "quantgate baseline accept base.jsonl out/results.jsonl --only mylib_int4-adamw-s47 --reason TEXT"
    )
    assert f"**Next:**\n\n```sh\n{command}\n```" in text


def test_a_regression_of_a_known_failure_says_both() -> None:
    entry = {"pattern": "mylib_int4-adamw-s47", "cause": "sign-lost", "until": None, "why": "learns"}
    worse = learning(unexcused=entry, baseline={"change": "regressed", "bpb": 5.02})
    text = summary(tell([worse], run=DONE))

    assert text.startswith(
        "## ❌ mylib\\_int4 got worse than its baseline: 1 of 1 cell; a known failure learns now (mylib\\_int4)\n"
    )
    assert "adamw **5.10 learns** (regressed, 5.02 before) (a known failure that learns now)" in text
    assert "**Next:**" not in text  # no file is known
