"""The page in a real browser: no error, no request, nothing that axe finds, and it does what it promises."""

from __future__ import annotations

from typing import Any

import pytest

from quantgate.diagnosis.measures import COLUMNS
from quantgate.records.cell import Cell
from quantgate.records.run import RunRecord
from quantgate.records.verdict import Verdict
from quantgate.reports.story import tell
from tests.examples import HOSTILE, hostile_results, learning, make_cell, make_result
from tests.reports.html.browsing import NARROW, WIDE, violations
from tests.reports.html.records import control, few, many

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "light"), (NARROW, "dark")], ids=["wide", "narrow"])
def test_it_opens_without_error_request_or_obstacle(opened: Any, size: dict[str, int], scheme: str) -> None:
    seen = opened(few(), size, scheme)

    assert violations(seen.tab) == []
    assert seen.tab.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert seen.tab.evaluate("document.querySelectorAll('#gallery svg').length") == 9
    seen.tab.click("#gallery a")
    seen.tab.wait_for_selector("#detail[open] svg", timeout=5000)
    seen.tab.click("#detail .words summary")
    assert violations(seen.tab) == []
    assert seen.wrong == []
    assert set(seen.requests) == {seen.address}


def test_a_cells_address_opens_it_with_its_evidence(opened: Any) -> None:
    seen = opened(few()).go("#cell/mylib_int4-muon-s47")

    assert seen.tab.inner_text("#detail-title") == "mylib_int4 × muon"
    said = seen.tab.inner_text("#detail")
    for text in (
        "6.94 dead",
        "gradient-blocked",
        "round() has no gradient",
        "src/mylib/quant.py:12",
        "pytest 'tests/test_lowbit.py::test_learns[mylib_int4-muon-s47]' --quantgate-steps=100",
        "blocks.0.qkv.weight",
        "it learned",
        "2.13.0",
    ):
        assert text in said
    assert [
        len(seen.tab.query_selector_all(f"#detail path.{name}")) for name in ("curve", "ctrl", "baseline")
    ] == [1] * 3
    assert seen.tab.get_attribute("#detail svg", "aria-label") == (
        "mylib_int4 × muon: dead, from 7.03 at step 0 to 6.94 at step 100 bits per byte; control ends at 5.09"
    )
    seen.close()
    assert not seen.tab.is_visible("#detail")
    assert seen.wrong == []


def test_every_column_of_the_evidence_is_explained_by_pointer_and_by_touch(opened: Any) -> None:
    shown = [name for name in COLUMNS if name != "step"]
    weights = [{**dict.fromkeys(COLUMNS, 1.0), "tensor": "head.weight", "step": 99, "gain": 171_000.0}]
    result = make_result(evidence={"because": "it is.", "weights": weights})
    seen = opened(tell([result])).go(f"#cell/{result.cell.id}")

    heads = seen.tab.query_selector_all("#detail .scroll th[scope=col]")[: len(shown)]
    assert [each.inner_text() for each in heads] == [name.replace("_", " ") for name in shown]
    assert [each.get_attribute("title") for each in heads] == [COLUMNS[name] for name in shown]
    seen.tab.click("#detail .words summary")
    assert seen.visible("#detail .words dt") == [name.replace("_", " ") for name in shown[1:]]
    assert seen.visible("#detail .words dd") == [COLUMNS[name] for name in shown[1:]]
    assert "171,000" in seen.visible("#detail .scroll td")
    assert seen.visible("#detail .legend") == [
        "As last measured, before optimizer step 99. The sentence under Cause is of the first measurement that shows "
        "the fault, so its numbers may differ."
    ]


#: The lines that a text is broken into.
_BROKEN = """each => { const range = document.createRange(); range.selectNodeContents(each);
  return new Set([...range.getClientRects()].map((box) => Math.round(box.top))).size; }"""


def test_controls_are_read_on_a_phone_without_scrolling_sideways(opened: Any) -> None:
    negated = Cell("negated-gradient", "negative-control", "adafactor", 47, 16)
    broken = make_result(negated, bpb=10.316, verdict=Verdict.DIVERGED)
    seen = opened(tell([learning()], [control("adafactor"), broken]), NARROW)

    table = seen.tab.query_selector(".controls")
    assert table.evaluate("each => each.scrollWidth <= each.parentElement.clientWidth")
    assert " ".join(seen.visible(".controls tbody tr")[1].split()) == (
        "negated-gradient adafactor, width 16 10.316 diverged, as it must"
    )
    for part, most in (("th", 2), ("td.what", 2), ("td.score", 1), ("td:last-child", 2)):
        assert max(each.evaluate(_BROKEN) for each in table.query_selector_all(part)) <= most, part


@pytest.mark.parametrize(("size", "most"), [(WIDE, 2), (NARROW, 6)], ids=["wide", "narrow"])
def test_a_title_with_long_names_is_a_few_lines(opened: Any, size: dict[str, int], most: int) -> None:
    names = [
        f"mylib_quantizers_blockwise_with_a_name_of_sixty_six_characters_{end}" for end in ("one", "two")
    ]
    seen = opened(tell([make_result(make_cell(subject=name)) for name in names]), size)

    assert seen.tab.query_selector("h1").evaluate(_BROKEN) <= most
    assert seen.tab.get_attribute("h1 span", "title") == names[0]


def test_the_headline_leads_to_the_first_curve_and_says_what_to_do(opened: Any) -> None:
    seen = opened(few())

    assert seen.visible(".first") == [
        "Look first at mylib_int4 × adamw: 6.94 dead, gradient-blocked. Do: round() has no gradient; use "
        "x + (q(x) - x).detach()."
    ]
    seen.tab.click(".first a")
    seen.tab.wait_for_selector("#detail[open] svg", timeout=5000)
    assert seen.tab.inner_text("#detail-title") == "mylib_int4 × adamw"


def test_a_tall_matrix_keeps_its_optimizers_in_sight(opened: Any) -> None:
    seen = opened(many(16))
    seen.tab.evaluate("document.querySelector('.heat tbody tr:last-child').scrollIntoView({block: 'end'})")

    assert seen.tab.evaluate(
        "document.querySelector('.heat thead th').getBoundingClientRect().top >= 0 && "
        "document.querySelector('.heat thead th').getBoundingClientRect().bottom < innerHeight"
    )


def test_the_cards_of_one_module_are_told_apart(opened: Any) -> None:
    names = [f"mylib.quantizers.blockwise:{name}@4" for name in ("floor", "nearest")]
    seen = opened(
        tell([learning(Cell(name, "format", "adamw", 47)) for name in names], (), RunRecord("finished", 0))
    )

    assert seen.visible(".card b") == ["…:floor@4", "…:nearest@4"]
    assert seen.tab.get_attribute(".card b", "title") == names[0]


def test_an_address_of_no_cell_opens_nothing(opened: Any) -> None:
    seen = opened(few())
    for fragment in ("#cell/nothing", "#cell/%E0%A4%A", "#matrix"):
        seen.go(fragment)
        assert not seen.tab.is_visible("#detail")
    assert seen.wrong == []


def test_filters_narrow_the_matrix_and_the_curves(opened: Any) -> None:
    seen = opened(few())
    seen.tab.select_option("#f-verdict", "!")

    assert seen.visible("#f-count") == ["4 of 9 cells"]
    assert len(seen.visible(".card")) == 4
    assert seen.visible(".heat tbody th") == ["float32 control", "mylib_int4", "gf4"]
    seen.tab.select_option("#f-optimizer", "muon")
    assert seen.visible("#f-count") == ["1 of 9 cells"]
    seen.tab.select_option("#f-verdict", "")
    seen.tab.select_option("#f-optimizer", "")
    seen.tab.fill("#f-text", "INT8 s47")
    assert seen.visible("#f-count") == ["3 of 9 cells"]
    seen.tab.fill("#f-text", "nothing of the kind")
    assert (seen.visible("#f-count"), seen.visible(".card")) == (["0 of 9 cells"], [])


def test_verdicts_are_words_and_what_fails_is_outlined(opened: Any) -> None:
    seen = opened(few())

    assert seen.visible(".heat a[data-i='0']") == ["6.94 dead\nregressed since the baseline"]
    outlines = {
        each.get_attribute("class").split()[1]: each.evaluate("e => getComputedStyle(e).borderTopWidth")
        for each in seen.tab.query_selector_all(".heat a")
    }
    assert outlines == {"v-dead": "2px", "v-learns": "0px", "v-diverged": "2px"}


def test_many_cells_are_drawn_some_at_a_time(opened: Any) -> None:
    seen = opened(many(2))

    cards = "document.querySelectorAll('.card').length"
    assert seen.tab.evaluate(cards) == 60
    assert seen.visible("#more") == ["Show more curves (12 left)"]
    seen.tab.click("#more")
    assert seen.tab.evaluate(cards) == 72
    assert seen.visible("#more") == []
    assert violations(seen.tab) == []
    assert seen.tab.get_attribute(".heat a[data-i='1']", "aria-label") == "format_0 x muon, 5.00 dead"
    assert seen.wrong == []


def test_without_its_script_the_story_is_told(opened: Any) -> None:
    seen = opened(few(), java_script_enabled=False)

    assert seen.visible("noscript p")
    assert "stopped learning" in seen.visible("h1")[0] or "formats fail" in seen.visible("h1")[0]
    assert "6.94 dead\nregressed since the baseline" in seen.visible(".heat a")


def test_in_print_the_filters_are_gone(opened: Any) -> None:
    seen = opened(few())
    seen.tab.emulate_media(media="print")

    assert seen.visible(".filters") == []
    assert seen.visible(".cause")


def test_texts_from_outside_do_nothing(opened: Any) -> None:
    run = RunRecord("finished", 1, problems=HOSTILE, left_out=HOSTILE, subjects=HOSTILE, optimizers=HOSTILE)
    story = tell(hostile_results(), run=run)
    seen = opened(story)
    for place in range(len(story.results)):
        seen.tab.evaluate(f"document.querySelector(\".heat a[data-i='{place}']\").click()")
        seen.tab.wait_for_selector("#detail[open]", timeout=5000)
        seen.close()
    seen.tab.fill("#f-text", HOSTILE[0])

    assert seen.tab.evaluate("window.hurt === undefined")
    assert seen.tab.query_selector_all("img, iframe, main script, dialog script") == []
    assert (seen.wrong, set(seen.requests)) == ([], {seen.address})
    assert seen.visible("#f-count") == [f"2 of {len(HOSTILE)} cells"]
