"""Texts of the page, as people read them: a command among words, a name that fits a title, what was counted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from markupsafe import Markup, escape

from quantgate.records.result import CellResult
from quantgate.reports.html.data import environment
from quantgate.reports.story import Story, short
from quantgate.reports.text import counted, printable

#: Of a name in the title, where two lines are to hold what failed and why: its beginning and its end.
_BEGINNING, _END = 15, 16
#: Environments that are shown, those of the most cells.
_ENVIRONMENTS = 5


def coded(text: str) -> Markup:
    """A sentence whose `commands` between backticks are set as code."""
    parts = re.split(r"`([^`]+)`", printable(text))
    made = (
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part)
        for place, part in enumerate(parts)
    )
    return Markup("").join(made)


def titled(headline: str, story: Story) -> Markup:
    """The headline with long names cut as a title needs; whole ones stand on pointing at them, and in the matrix."""
    whole = {short(name): name for name in dict.fromkeys(each.subject for each in story.results)}
    long = sorted((name for name in whole if len(name) > _BEGINNING + _END + 1), key=len, reverse=True)
    if not long:
        return escape(printable(headline))
    parts = re.split(f"({'|'.join(map(re.escape, long))})", headline)
    return Markup("").join(_cut(whole[part]) if part in long else escape(printable(part)) for part in parts)


def _cut(name: str) -> Markup:
    seen = f"{name[:_BEGINNING]}…{name[-_END:]}"
    return Markup('<span title="{}">{}</span>').format(printable(name), printable(seen))


def varied(result: CellResult) -> str:
    """What is not the default about a cell, in words: `seed 89, width 128`."""
    cell = result.cell
    return str(cell).removeprefix(f"{cell.subject} x {cell.optimizer}").removeprefix(", ")


def environments(story: Story) -> list[tuple[str, list[list[str]]]]:
    """Each environment with what was trained in it: `9 cells and 6 controls`."""
    pairs: dict[str, list[list[str]]] = {}
    cells: Counter[str] = Counter()
    controls: Counter[str] = Counter()
    for counts, results in ((cells, story.results), (controls, story.controls)):
        for each in results:
            if each.environment:
                found = environment(each)
                pairs.setdefault(repr(found), found)
                counts[repr(found)] += 1
    most = sorted(pairs, key=lambda key: -cells[key] - controls[key])[:_ENVIRONMENTS]
    return [(" and ".join(_numbers(cells[key], controls[key])), pairs[key]) for key in most]


def _numbers(cells: int, controls: int) -> Iterator[str]:
    for count, word in ((cells, "cell"), (controls, "control")):
        if count:
            yield counted(count, word)
