"""The page as text: it holds all that it needs, and texts from outside are text."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from quantgate.diagnosis.measures import COLUMNS, FACTS
from quantgate.records.cell import Cell
from quantgate.records.run import RunRecord
from quantgate.records.verdict import Verdict
from quantgate.reports.html import page as pages
from quantgate.reports.html.data import data, fragment, to_script
from quantgate.reports.html.page import page
from quantgate.reports.story import Story, tell
from tests.examples import HOSTILE, hostile_results, learning, make_cell, make_result
from tests.reports.html.records import control, few, many


class Parts(HTMLParser):
    """What a page consists of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.inside: dict[str, list[str]] = {"script": [], "style": []}
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self._open = tag

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        self.inside.get(self._open, self.text).append(data)


def payload(text: str) -> Any:
    return json.loads(Parts(text).inside["script"][0])


def test_the_story_is_there_without_the_script() -> None:
    text = " ".join(" ".join(Parts(page(few())).text).split())

    assert (
        "2 formats fail (mylib_int4, gf4): 4 of 9 cells, gradient-blocked, non-finite; 3 regressed since the baseline"
        in text
    )
    assert "9 planned / 9 ran / 9 judged / 0 skipped" in text
    assert "3 of 3 controls learn, 1 of 1 negative controls fail" in text
    assert "src/mylib/quant.py:12" in text
    assert "round() has no gradient; use x + (q(x) - x).detach()." in text
    assert "pytest 'tests/test_lowbit.py::test_learns[mylib_int4-adamw-s47]' --quantgate-steps=100" in text
    assert "warning gf4: scale-zero: a row of 0." in text
    assert "6.94 dead regressed since the baseline" in text
    assert "2.13.0" in text


def said(story: Story) -> str:
    """The texts of a page, but those that its script makes."""
    return " ".join("".join(Parts(page(story)).text).split())


def test_what_was_trained_in_an_environment_is_counted_by_its_kind() -> None:
    assert "trained here 9 cells and 4 controls torch 2.13.0" in " ".join(
        " ".join(Parts(page(few())).text).split()
    )


def test_controls_say_whether_they_did_as_they_must() -> None:
    wrong = [
        replace(control("adamw"), verdict=Verdict.DEAD),
        learning(Cell("dead-body", "negative-control", "sgd", 47, 16)),
    ]
    cells = re.findall(
        r"<tr><th scope=\"row\">(.*?)</tr>",
        page(tell([learning()], [few().controls[0], control("sgd"), *wrong])),
    )
    texts = [" ".join(re.sub(r"<[^>]*>", " ", each).split()) for each in cells]

    assert sorted(texts) == [
        "dead-body adamw 6.940 dead, as it must",
        "dead-body sgd, width 16 5.100 learns, and must fail",
        "float32 adamw 5.000 dead, and must learn",
        "float32 sgd 5.000 learns, as it must",
    ]


def test_the_legend_of_the_curves_names_what_is_drawn() -> None:
    legend = "Cells that fail come first. a cell that passes a cell that fails its float32 control"

    assert f"{legend} its baseline the limit, 6.50 bits per byte" in said(few())
    assert f"{legend} the limit, 6.50 bits per byte" in said(tell([learning()]))


def test_long_names_are_short_in_the_title_and_whole_beside_it() -> None:
    names = [
        f"mylib_quantizers_blockwise_with_a_name_of_sixty_six_characters_{end}" for end in ("one", "two")
    ]
    failing = [make_result(make_cell(subject=name)) for name in names]
    text = page(tell([*failing, make_result(make_cell(subject="int8"))]))
    (title,) = re.findall(r"<h1>(.*?)</h1>", text)

    assert "mylib_quantizer…x_characters_one, mylib_quantizer…x_characters_two" in re.sub(
        "<[^>]*>", "", title
    )
    assert not [name for name in names if name in re.sub("<[^>]*>", "", title)]
    assert all(
        f'<span title="{name}">' in title and f'<th scope="row" title="{name}">' in text for name in names
    )


def test_a_page_of_logs_says_nothing_of_what_logs_do_not_hold() -> None:
    logged: dict[str, Any] = {"corpus": {}, "environment": {}, "test": None}
    dead = make_result(cause=None, hint="`quantgate doctor` its quantizer, or `x` it.", **logged)
    text = page(tell([dead], [replace(control("adamw"), **logged)]))
    seen = said(tell([dead], [replace(control("adamw"), **logged)]))

    assert "<code>quantgate doctor</code> its quantizer, or <code>x</code> it." in text
    assert "`" not in seen
    assert "<dd>1 of 1 controls learn</dd>" in text
    assert "<dd>100 steps</dd>" in text
    assert "negative control" not in seen
    assert "not recorded" not in seen
    assert "6.94 dead." in seen
    assert "dead, dead" not in seen.split("What fails")[0]


def test_the_names_of_the_evidence_are_explained_where_they_are_shown() -> None:
    words = payload(page(few()))["words"]

    assert words["snr"] == COLUMNS["snr"]
    assert words["warnings"] == FACTS["warnings"]
    assert set(words) == {"tensor", "step", "rms", "changed", "snr", "zeros", "weights", "warnings"}


def test_the_moment_of_the_evidence_is_there() -> None:
    weights = [{"tensor": "a", "step": 99, "gain": 2.0}, {"tensor": "b", "step": 99, "gain": 2.0}]
    other = [weights[0], {**weights[1], "step": 98}]

    assert [
        data(tell([make_result(evidence={"weights": each})]))["cells"][0].get("moment")
        for each in (weights, other)
    ] == [99, None]


def test_evidence_is_written_for_people() -> None:
    evidence = {
        "gain": 171234.5,
        "also": ["scale-stale: it grows fourfold.", "range-collapsed: it falls."],
        "findings": ["scale-stale", "range-collapsed"],
    }
    found = data(tell([make_result(evidence=evidence)]))
    facts = dict(found["shared"][found["cells"][0]["facts"]])

    assert facts["gain"] == "171,200"
    assert facts["also"] == "scale-stale: it grows fourfold.\nrange-collapsed: it falls."
    assert facts["findings"] == "scale-stale; range-collapsed"
    assert (facts["what is judged"], facts["seed"], facts["width of the model"]) == (
        "a number format",
        "47",
        "64",
    )
    assert dict(found["shared"][found["cells"][0]["env"]])["SHA-256 of the corpus"] == "ab" * 32


def test_its_policy_lets_its_own_style_and_script_run_and_nothing_else() -> None:
    text = page(few())
    parts = Parts(text)
    (policy,) = [
        value for name, value in parts.attributes if name == "content" and "default-src" in str(value)
    ]
    digests = [
        f"'sha256-{base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()}'"
        for each in (parts.inside["style"][0], parts.inside["script"][1])
    ]

    assert policy == (
        f"default-src 'none'; style-src {digests[0]}; script-src {digests[1]}; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
    assert "style" not in {name for name, _ in parts.attributes}
    assert not {name for name, _ in parts.attributes if name.startswith("on")}


def test_it_asks_for_nothing_else() -> None:
    parts = Parts(page(few()))

    assert not {"img", "iframe", "object", "embed", "base", "video", "audio"} & set(parts.tags)
    assert {value for name, value in parts.attributes if name == "src"} == set()
    links = [str(value) for name, value in parts.attributes if name == "href"]
    assert {link for link in links if not link.startswith("#")} == {"data:,"}


def test_each_cell_has_an_address() -> None:
    links = {str(value) for name, value in Parts(page(few())).attributes if name == "href"}

    assert {f"#cell/{each.cell.id}" for each in few().results} <= links
    assert fragment(make_cell(subject="mylib.quant:int4@4")) == "cell/mylib.quant%3Aint4%404-adamw-s47"


def test_its_data_holds_curves_controls_baselines_and_tensors() -> None:
    found = payload(page(few()))
    cell, shared = found["cells"][0], found["shared"]

    assert (cell["id"], cell["bpb"], cell["curve"]) == ("mylib_int4-adamw-s47", 6.94, [7.03, 7.01, 6.94])
    assert shared[cell["steps"]] == [0, 50, 100]
    assert shared[cell["control"]] == [[0, 50, 100], [7.02, 5.6, 5.0]]
    assert shared[cell["baseline"]] == [[0, 100], [7.03, 5.2]]
    assert shared[cell["tensors"]][0] == "blocks.0.qkv.weight"
    assert cell["rows"][0][shared[cell["columns"]].index("snr")] == 22.1
    assert found["cells"][-1]["curve"][-1] is None


def test_evidence_of_another_kind_is_shown_as_it_is() -> None:
    found = payload(page(tell([make_result(evidence={"because": ["a", 1]})], (), RunRecord())))

    assert found["shared"][found["cells"][0]["because"]] == "['a', 1]"


def test_a_nightly_matrix_is_some_megabytes() -> None:
    """1,656 cells as the gate's own measure 1.4 MB, ten thousand 8.1 MB: below 900 bytes a cell."""
    story = many(10)

    assert len(story.results) == 360
    assert len(page(story).encode()) < 60_000 + 900 * 360


def test_beyond_a_limit_the_tensors_of_healthy_cells_are_left_out_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = page(many(3))
    monkeypatch.setattr(pages, "MOST_BYTES", 20_000)
    brief = page(many(3))

    assert "leaves out the tensors" not in whole
    assert "To keep this file small it leaves out the tensors of the cells that pass" in brief
    assert [("rows" in each) for each in payload(brief)["cells"][35:37]] == [True, False]


@pytest.mark.parametrize(
    ("run", "state"),
    [
        (RunRecord("finished", 0), "passed"),
        (RunRecord("finished", 1, problems=("0 of 1",)), "failed"),
        (RunRecord("finished", 70), "invalid"),
        (RunRecord(), "unfinished"),
    ],
)
def test_its_state_is_a_word(run: RunRecord, state: str) -> None:
    assert f'<p class="state">{state}</p>' in page(tell([learning()], run=run))


def test_a_run_without_records_is_a_page_too() -> None:
    text = " ".join(Parts(page(tell([]))).text)

    assert "The run did not end: 0 of 0 cells judged" in text
    assert "none was recorded" in text


def test_known_failures_and_skipped_cells_are_listed() -> None:
    known = {make_cell().id: {"reason": "issue <12>", "cause": "gradient-blocked"}}
    run = RunRecord("finished", 0, known=known, left_out=("int2-adamw-s47",))
    text = " ".join("".join(Parts(page(tell([make_result()], run=run))).text).split())

    assert "known failure mylib_int4-adamw-s47: dead: issue <12>" in text
    assert "skipped int2-adamw-s47" in text


def test_texts_from_outside_are_text() -> None:
    story = tell(
        hostile_results(),
        [control("adamw")],
        RunRecord("finished", 1, problems=HOSTILE, left_out=HOSTILE, subjects=HOSTILE, options=HOSTILE),
    )
    parts = Parts(page(story))
    own = Parts(page(few()))

    assert set(parts.tags) <= {*own.tags, "br", "details", "summary"}
    assert not {name for name, _ in parts.attributes if name.startswith("on")}
    assert {name for name, _ in parts.attributes} <= {name for name, _ in own.attributes}
    shown = "".join((*parts.text, *parts.inside["script"][0], *(str(value) for _, value in parts.attributes)))
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert "49" not in re.findall(r"\b49\b", "".join(parts.text))  # a template's own syntax is not run
    assert len(parts.inside["script"]) == 2


def test_json_in_a_script_ends_it_nowhere() -> None:
    text = to_script(["</script><!--", "&", "\u2028"])

    assert text == '["\\u003c/script\\u003e\\u003c!--","\\u0026","\\u2028"]'
    assert json.loads(text) == ["</script><!--", "&", "\u2028"]


def test_evidence_that_is_not_as_expected_is_shown_all_the_same() -> None:
    odd = {
        "weights": [1, {"tensor": None, "snr": "x", "deep": {"a": [1.5, None, True]}}],
        "because": 5,
        "n": 1e300,
    }
    result = make_result(evidence=odd, baseline={"curve": [["a"]], "change": 5})
    (cell,) = data(tell([result]))["cells"]

    assert cell["rows"] == [["x", "a: 1.5; none; yes"]]
    assert "baseline" not in cell
    assert page(tell([result]))


def test_what_may_be_accepted_has_its_command() -> None:
    files = {"results": "out/results.jsonl", "baseline": "base.jsonl", "known_failures": "known.toml"}
    run = RunRecord("finished", 1, files=files)
    worse = learning(make_cell(optimizer="sgd"), baseline={"change": "regressed", "bpb": 5.02})
    text = said(
        tell([learning(unexcused={"pattern": "mylib_int4-adamw-s47", "why": "learns"}), worse], run=run)
    )

    assert "Next: quantgate known accept out/results.jsonl -o known.toml" in text
    assert (
        "Next: quantgate baseline accept base.jsonl out/results.jsonl --only mylib_int4-sgd-s47 --reason TEXT"
        in text
    )


def test_an_entry_that_excuses_nothing_is_said_beside_its_cell() -> None:
    over = {"why": "over", "until": "2026-10-31", "cause": "sign-lost"}

    assert "adamw 6.94 dead (known until 2026-10-31)" in said(
        tell([make_result(unexcused=over)], run=RunRecord("finished", 1))
    )
