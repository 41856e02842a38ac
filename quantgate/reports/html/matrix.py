"""The heat map: subjects down, optimizers across, and in each field the cells of both, a line a variant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quantgate.records.result import CellResult
from quantgate.reports.html.data import fragment
from quantgate.reports.story import Story, change, fails, gravest, short, title, turned

#: Gaps to the control (BPB) from which a cell that learns is shaded more.
_SHADES = (0.02, 0.1, 0.3)


@dataclass(frozen=True)
class Entry:
    """One cell in its field."""

    #: Its place among the page's cells; None for a control, which has no curve of its own on the page.
    place: int | None
    href: str
    #: What a screen reader says.
    label: str
    score: str
    verdict: str
    #: Classes of the style.
    looks: str
    note: str


@dataclass(frozen=True)
class Line:
    """The cells of one variant, a seed each: `w128`."""

    name: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Field:
    """The cells of a subject under an optimizer."""

    lines: tuple[Line, ...]
    #: The gravest verdict, and how many fail of how many; empty where there is one cell, which says so itself.
    said: str
    fails: bool


@dataclass(frozen=True)
class Row:
    """A subject."""

    name: str
    #: The name without what is left out of it.
    whole: str
    fields: tuple[Field | None, ...]
    is_control: bool
    failing: int


@dataclass(frozen=True)
class Matrix:
    """The heat map."""

    optimizers: tuple[str, ...]
    rows: tuple[Row, ...]
    #: Whether a field holds more than one cell.
    many: bool


def matrix(story: Story) -> Matrix:
    """The heat map of a run: the float32 control, the subjects with the most failing cells, the others as planned."""
    controls = [each for each in story.controls if each.kind == "control"]
    optimizers = tuple(dict.fromkeys(each.optimizer for each in (*story.results, *controls)))
    places = {id(each): place for place, each in enumerate(story.results)}
    subjects: dict[str, list[CellResult]] = {}
    for result in story.results:
        subjects.setdefault(result.subject, []).append(result)
    rows = [_row(subject, cells, optimizers, places, story) for subject, cells in subjects.items()]
    rows.sort(key=lambda row: -row.failing)
    if controls:
        rows.insert(0, _row("float32 control", controls, optimizers, {}, story))
    fields = [field for row in rows for field in row.fields if field is not None]
    return Matrix(optimizers, tuple(rows), any(field.said for field in fields))


def _row(
    name: str, cells: Sequence[CellResult], optimizers: Sequence[str], places: dict[int, int], story: Story
) -> Row:
    by_optimizer: dict[str, list[CellResult]] = {}
    for cell in cells:
        by_optimizer.setdefault(cell.optimizer, []).append(cell)
    fields = tuple(_field(by_optimizer.get(each, []), places, story) for each in optimizers)
    failing = sum(fails(each) and not story.is_known(each) for each in cells)
    return Row(short(name), name, fields, not places, failing)


def _field(cells: Sequence[CellResult], places: dict[int, int], story: Story) -> Field | None:
    if not cells:
        return None
    lines: dict[str, list[Entry]] = {}
    for result in cells:
        variant = " ".join(word for word in title(result.cell).split(" ") if word != f"s{result.seed}")
        lines.setdefault(variant, []).append(_entry(result, places.get(id(result)), story))
    failing = [each for each in cells if fails(each)]
    worst = next((each for each in failing if gravest([each]) == gravest(failing)), cells[0])
    word = "regressed" if failing and worst.verdict.passes else worst.verdict
    said = "" if len(cells) == 1 else f"{word} {len(failing) or len(cells)} of {len(cells)}"
    plain = "default" if len(lines) > 1 else ""
    return Field(tuple(Line(name or plain, tuple(each)) for name, each in lines.items()), said, bool(failing))


def _entry(result: CellResult, place: int | None, story: Story) -> Entry:
    score = "" if result.bpb is None else f"{result.bpb:.2f}"
    note = "known failure" if not result.verdict.passes and story.is_known(result) else ""
    note = note or (turned(result) or "" if change(result) in {"regressed", "improved"} else "")
    cell = (
        result.cell
        if result.kind != "control"
        else f"float32 control x {result.optimizer} {title(result.cell)}"
    )
    label = ", ".join(filter(None, (str(cell).strip(), f"{score} {result.verdict}".strip(), note)))
    return Entry(place, fragment(result.cell), label, score, str(result.verdict), _looks(result, note), note)


def _looks(result: CellResult, note: str) -> str:
    looks = f"v-{result.verdict}"
    if result.verdict.passes:
        gap = result.gap or 0.0
        looks += f" h{sum(gap > line for line in _SHADES)}"
    if fails(result):
        looks += " fails"
    return f"{looks} known" if note == "known failure" else looks
