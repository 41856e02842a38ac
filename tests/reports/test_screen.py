"""Markdown and long lines on a screen."""

from __future__ import annotations

from textwrap import dedent

import pytest

from quantgate.reports.blocks.screen import aligned, folded, laid_out

TABLE = """\
| fault class | cells | right cause first |
|---|---:|---:|
| grad-format | 5 | 5 (100%) |
| **all**, of which some are looked at | 12 | 11 (92%) |
"""


def test_a_heading_is_underlined_and_a_paragraph_folded() -> None:
    paragraph = "**Real** packages, *as installed*: `quantgate power --only *a*` counts\n2 * 3 * 4 of them."

    assert laid_out(f"# Power\n\n{paragraph}", 40) == dedent(
        """\
        Power
        =====

        Real packages, as installed: `quantgate
        power --only *a*` counts 2 * 3 * 4 of
        them."""
    )


def test_a_table_is_aligned_and_its_texts_are_folded() -> None:
    assert laid_out(TABLE, 36) == dedent(
        """\
        fault class          cells     right
                                       cause
                                       first
        -------------------  -----  --------
        grad-format              5  5 (100%)
        all, of which some      12  11 (92%)
        are looked at"""
    )


def test_a_table_with_less_room_has_less_air() -> None:
    assert laid_out(TABLE, 26).splitlines()[0] == "fault class cells    right"


def test_a_table_without_room_is_a_block_for_each_row() -> None:
    assert laid_out(TABLE, 22).splitlines() == [
        "grad-format",
        "  cells: 5",
        "  right cause first: 5",
        "    (100%)",
        "all, of which some are looked at",
        "  cells: 12",
        "  right cause first: 11",
        "    (92%)",
    ]


def test_room_goes_to_the_column_that_needs_least_of_it() -> None:
    lines = list(aligned(["a", "b"], [["one two three four", "5.22 learns"]], [False, False], 26))

    assert lines == ["a              b", "-------------  -----------", "one two three  5.22 learns", "four"]


@pytest.mark.parametrize("width", [40, 80])
def test_a_line_is_folded_below_its_own_start(width: int) -> None:
    lines = folded("cause\n  measured: " + "word " * 30, width).splitlines()

    assert lines[0] == "cause"
    assert lines[1].startswith("  measured: word")
    assert all(line.startswith("    word") for line in lines[2:])
    assert max(map(len, lines)) <= width
