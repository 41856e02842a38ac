"""The page in a real browser: no error, no request, nothing that axe finds, and it does what it promises."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from quantgate.records.cell import Cell
from quantgate.records.run import RunRecord
from quantgate.reports.html.page import page
from quantgate.reports.story import Story, tell
from tests.examples import HOSTILE, hostile_results, learning, make_cell, make_result
from tests.reports.html.records import control, few, many

pytestmark = pytest.mark.slow
playwright = pytest.importorskip(
    "playwright.sync_api", reason="drives a browser: pip install 'quantgate[browser]'"
)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDE, NARROW = {"width": 1366, "height": 900}, {"width": 390, "height": 844}


class Opened:
    """A page in the browser, with what went wrong in it."""

    def __init__(self, tab: Any, path: Path) -> None:
        self.tab = tab
        self.wrong: list[str] = []
        self.requests: list[str] = []
        tab.on("console", lambda message: self.wrong.append(message.text))
        tab.on("pageerror", lambda error: self.wrong.append(str(error)))
        tab.on("request", lambda request: self.requests.append(request.url))
        self.address = path.as_uri()

    def go(self, fragment: str = "") -> Opened:
        self.tab.goto("about:blank")
        self.tab.goto(f"{self.address}{fragment}")
        return self

    def close(self) -> None:
        """Close the cell that is open; its address goes a moment later."""
        self.tab.keyboard.press("Escape")
        self.tab.wait_for_selector("#detail", state="hidden", timeout=5000)
        for _ in range(100):
            if not self.tab.evaluate("location.hash"):
                return
            self.tab.wait_for_timeout(10)
        raise AssertionError(f"the address is still {self.tab.url}")

    def visible(self, selector: str) -> list[str]:
        return [each.inner_text() for each in self.tab.query_selector_all(selector) if each.is_visible()]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with playwright.sync_playwright() as running:
        made = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Any]:
    tabs = []

    def open_(story: Story, size: dict[str, int] = WIDE, scheme: str = "light", **options: Any) -> Opened:
        path = tmp_path / "report.html"
        path.write_text(page(story), encoding="utf-8")
        tabs.append(browser.new_page(viewport=size, color_scheme=scheme, **options))
        return Opened(tabs[-1], path).go()

    yield open_
    for tab in tabs:
        tab.close()


def violations(tab: Any) -> list[str]:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="pip install 'quantgate[browser]'"
    )
    # axe is evaluated by the debugger, which no policy of the page keeps out.
    found = axe.Axe().run(tab).response["violations"]
    return [
        f"{each['id']}: {node['html'][:200]}: {node['failureSummary']}"
        for each in found
        for node in each["nodes"]
    ]


@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "light"), (NARROW, "dark")], ids=["wide", "narrow"])
def test_it_opens_without_error_request_or_obstacle(opened: Any, size: dict[str, int], scheme: str) -> None:
    seen = opened(few(), size, scheme)

    assert violations(seen.tab) == []
    assert seen.tab.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert seen.tab.evaluate("document.querySelectorAll('#gallery svg').length") == 9
    seen.tab.click("#gallery a")
    seen.tab.wait_for_selector("#detail[open] svg", timeout=5000)
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


#: The texts of charts that stand over one another, by more than the air around a letter, or leave their chart.
_COLLISIONS = """() => [...document.querySelectorAll(".chart svg, #detail svg")].flatMap((svg) => {
  const texts = [...svg.querySelectorAll("text")].map((each) => [each.textContent, each.getBoundingClientRect()]);
  const frame = svg.getBoundingClientRect();
  const across = (a, b) => a.left < b.right && b.left < a.right;
  const down = (a, b) => a.top < b.bottom - 2.5 && b.top < a.bottom - 2.5;
  return texts.flatMap(([text, box], place) => [
    ...(box.left < frame.left || box.right > frame.right || box.bottom > frame.bottom ? [text] : []),
    ...texts.slice(place + 1).filter(([, other]) => across(box, other) && down(box, other)).map(([other]) => `${text} / ${other}`),
  ]);
})"""  # noqa: E501


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_no_label_of_a_chart_stands_over_another(opened: Any, size: dict[str, int]) -> None:
    cells = []
    for place, (end, last) in enumerate(product((4.97, 5.03, 6.51, 6.96, 12.4, None), (100, 24_000_000))):
        points = ((0, 7.02), (last // 2, 6.0))
        baseline = {"change": "regressed", "curve": [*points, (last, 5.01)]}
        cell = make_cell(subject=f"f{place}")
        cells.append(
            make_result(cell, bpb=end, curve=(*points, (last, end)), baseline=baseline, cause=f"c{place}")
        )
    floor = replace(control("adamw"), curve=((0, 7.02), (50, 6.0), (100, 5.0)))
    seen = opened(tell(cells, [floor], RunRecord("finished", 1)), size)

    assert len(seen.tab.query_selector_all(".chart svg")) == 12
    for each in cells:
        seen.tab.evaluate(f"location.hash = '#cell/{each.cell.id}'")
        seen.tab.wait_for_function(
            "name => document.getElementById('detail-title')?.innerText === name",
            arg=f"{each.subject} × adamw",
        )
        assert len(seen.tab.query_selector_all("#detail svg text")) >= 9
        assert (each.bpb, seen.tab.evaluate(_COLLISIONS)) == (each.bpb, [])


def test_a_cell_of_another_vocabulary_has_its_own_lines(opened: Any) -> None:
    other = make_result(chance=15.62, bpb=15.4, evidence={"limit": 14.5}, curve=((0, 15.6), (100, 15.4)))
    seen = opened(tell([other, learning(make_cell(subject="int8"))])).go(f"#cell/{other.cell.id}")

    texts = seen.tab.evaluate("[...document.querySelectorAll('#detail svg text')].map(e => e.textContent)")
    assert {"limit 14.50", "15.40"} <= set(texts)
    assert "7.00 or 15.62 is chance" in seen.visible(".facts")[0]


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
