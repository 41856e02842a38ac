"""The charts in a real browser: their labels, their scale, and what leaves it."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from operator import eq
from typing import Any

import pytest

from quantgate.records.run import RunRecord
from quantgate.reports.story import tell
from tests.examples import learning, make_cell, make_result
from tests.reports.html.browsing import NARROW, WIDE
from tests.reports.html.records import control, few

pytestmark = pytest.mark.slow


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
    for place, (end, last) in enumerate(
        product((4.97, 5.03, 6.51, 6.96, 12.4, None, 275.0), (100, 24_000_000))
    ):
        points = ((0, 1583.75), (last // 2, 893.0)) if end == 275.0 else ((0, 7.02), (last // 2, 6.0))
        baseline = {"change": "regressed", "curve": [*points, (last, 5.01)]}
        cell = make_cell(subject=f"f{place}")
        cells.append(
            make_result(cell, bpb=end, curve=(*points, (last, end)), baseline=baseline, cause=f"c{place}")
        )
    floor = replace(control("adamw"), curve=((0, 7.02), (50, 6.0), (100, 5.0)))
    seen = opened(tell(cells, [floor], RunRecord("finished", 1)), size)

    assert len(seen.tab.query_selector_all(".chart svg")) == 14
    for each in cells:
        seen.tab.evaluate(f"location.hash = '#cell/{each.cell.id}'")
        seen.tab.wait_for_function(
            "name => document.getElementById('detail-title')?.innerText === name",
            arg=f"{each.subject} × adamw",
        )
        assert len(seen.tab.query_selector_all("#detail svg text")) >= 9
        assert (each.bpb, seen.tab.evaluate(_COLLISIONS)) == (each.bpb, [])


#: The lines of a cell's curve in a chart, but for arrows: of each the heights of its points.
_LINES = """chart => [...document.querySelectorAll(`${chart} path.curve:not(.off)`)].flatMap((path) =>
  path.getAttribute("d").split("M").slice(1).map((line) => line.split("L").map((point) => point.split(" ")[1])))"""


@pytest.mark.parametrize(
    ("curve", "said", "spoken", "lines"),
    [
        (
            ((0, 1583.75), (50, 893.0), (100, 275.0)),
            "off the scale: 1583.75 to 275.00",
            "from 1583.75 at step 0 to 275.00 at step 100 bits per byte, off the scale of this chart at steps 0 to "
            "100: 1583.75 to 275.00",
            0,
        ),
        (
            ((0, 7.02), (40, 30.0), (60, 900.0), (80, 20.0), (90, 6.9), (100, 6.0)),
            "off the scale: up to 900.00",
            "from 7.02 at step 0 to 6.00 at step 100 bits per byte, off the scale of this chart at steps 40 to 80: "
            "up to 900.00",
            2,
        ),
        (
            ((0, 7.02), (50, 12.0), (100, None)),
            "off the scale: 12.00",
            "from 7.02 at step 0 to non-finite at step 100 bits per byte, non-finite from step 100, off the scale of "
            "this chart at step 50: 12.00",
            1,
        ),
    ],
    ids=["never on it", "there and back", "and then lost"],
)
def test_a_curve_that_leaves_the_scale_says_so_and_is_not_drawn_along_its_edge(
    opened: Any, curve: tuple[tuple[int, float | None], ...], said: str, spoken: str, lines: int
) -> None:
    story = tell([make_result(curve=curve, bpb=curve[-1][1])], [control("adamw")], RunRecord("finished", 1))
    seen = opened(story).go(f"#cell/{story.results[0].cell.id}")

    assert seen.visible(".card .beyond") == [said]
    for chart in (".chart svg", "#detail svg"):
        assert said in seen.tab.evaluate(
            f"[...document.querySelectorAll('{chart} text')].map(e => e.textContent)"
        )
    for chart in (".chart svg", "#gallery svg", "#detail svg"):
        assert (
            seen.tab.get_attribute(chart, "aria-label")
            == f"mylib_int4 × adamw: dead, {spoken}; control ends at 5.09"
        )
        assert len(seen.tab.query_selector_all(f"{chart} path.off")) == 1
        drawn = seen.tab.evaluate(_LINES, chart)
        assert len(drawn) == lines
        assert not [heights for heights in drawn if any(map(eq, heights, heights[1:]))]


def test_a_baseline_off_the_scale_is_told_apart(opened: Any) -> None:
    lost = {"change": "improved", "curve": [[0, 7.0], [100, 40.0]]}
    seen = opened(tell([learning(baseline=lost)]))

    assert seen.visible(".card .beyond") == ["baseline off the scale: 40.00"]
    assert len(seen.tab.query_selector_all(".card path.baseline.off")) == 1


def test_what_stays_on_the_scale_says_nothing_of_it(opened: Any) -> None:
    seen = opened(few())

    assert seen.visible(".beyond") == []
    assert seen.tab.query_selector_all("path.off") == []


def test_the_legend_draws_its_strokes_as_the_charts_do(opened: Any) -> None:
    seen = opened(few()).go("#cell/mylib_int4-adamw-s47")
    looks = """selector => { const style = getComputedStyle(document.querySelector(selector));
      return [style.stroke, style.strokeWidth, style.strokeDasharray, style.strokeLinecap]; }"""

    for name in ("curve.bad", "ctrl", "baseline", "limit"):
        assert seen.tab.evaluate(looks, f".strokes .{name}") == seen.tab.evaluate(
            looks, f"#detail svg .{name}"
        )


def test_a_cell_of_another_vocabulary_has_its_own_lines(opened: Any) -> None:
    other = make_result(chance=15.62, bpb=15.4, evidence={"limit": 14.5}, curve=((0, 15.6), (100, 15.4)))
    seen = opened(tell([other, learning(make_cell(subject="int8"))])).go(f"#cell/{other.cell.id}")

    texts = seen.tab.evaluate("[...document.querySelectorAll('#detail svg text')].map(e => e.textContent)")
    assert {"limit 14.50", "15.40"} <= set(texts)
    assert "7.00 or 15.62 is chance" in seen.visible(".facts")[0]
