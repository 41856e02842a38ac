"""The step summary: a run in GitHub's Markdown, the worst first, for somebody who sees nothing else of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from quantgate.records.result import CellResult
from quantgate.records.verdict import in_bits
from quantgate.reports import terminal
from quantgate.reports.blocks.line import score
from quantgate.reports.blocks.setting import lines as limit_lines
from quantgate.reports.blocks.setting import training
from quantgate.reports.github.markdown import block, code, prose
from quantgate.reports.story import (
    CauseGroup,
    Part,
    Story,
    by_cause,
    change,
    fails,
    not_excused,
    rerun,
    short,
    title,
)
from quantgate.reports.words.commands import Files
from quantgate.reports.words.headline import counted, headline

#: GitHub drops a summary over 1 MiB whole.
MOST_BYTES = 900_000
#: Kept free for the lines that say what was left out.
_RESERVE = 2_000
#: Causes, and subjects of one cause, that are told at length.
_CAUSES, _SUBJECTS = 20, 12
#: Rows of one table, and those of controls among them.
_ROWS, _CONTROLS = 100, 12
_MARKS = {"regressed": " (regressed)", "new": " (not in the baseline)", "improved": " (better)"}


def summary(story: Story, most_bytes: int = MOST_BYTES) -> str:
    """A run as Markdown, of at most so many bytes: what does not fit is counted in a line of its own."""
    kept: list[str] = []
    left: dict[str, int] = {}
    size = 0
    for what, count, text in _sections(story):
        took = len(text.encode()) + 2
        if size + took > most_bytes - _RESERVE:
            left[what] = left.get(what, 0) + count
            continue
        kept.append(text)
        size += took
    if left:
        said = ", ".join(f"{count:,} {what}" for what, count in left.items())
        kept.append(
            f"Left out for the limit of GitHub's summaries: {said}. `results.jsonl` and `report.html` hold all."
        )
    return "\n\n".join(kept) + "\n"


def _sections(story: Story) -> Iterator[tuple[str, int, str]]:
    """What there is to say, the most important first: what it is called where it is left out, how many, the text."""
    mark = "❌" if story.fails else "✅"
    yield "headlines", 1, f"## {mark} {prose(headline(story))}"
    yield "lines", 1, _facts(story)
    for problem in story.run.problems:
        yield "problems", 1, f"**Problem:** {prose(problem)}"
    groups = by_cause(story.failing)
    for group in groups[:_CAUSES]:
        yield "causes", 1, _cause(group, story)
    if others := groups[_CAUSES:]:
        yield (
            "lines",
            1,
            f"And {len(others)} more causes: {', '.join(code(short(each.cause)) for each in others)}.",
        )
    rows = _rows(story.results)
    healthy = {name: cells for name, cells in rows.items() if not any(map(fails, cells.values()))}
    failing = sorted(
        (row for row in rows.items() if row[0] not in healthy), key=lambda row: -_failures(row[1])
    )
    controls = [each for each in story.controls if each.kind == "control"]
    optimizers = list(dict.fromkeys(each.optimizer for each in (*controls, *story.results)))
    yield from _table(failing, _rows(controls, "float32 control"), optimizers, story)
    yield "lines", 1, _controls(story)
    if said := _remarks(story):
        yield "remarks", 1, "### Remarks, none of them a failure"
        for place in range(0, len(said), 50):
            chunk = said[place : place + 50]
            yield "remarks", len(chunk), "\n".join(f"- {each}" for each in chunk)
    for place in range(0, len(healthy), _ROWS):
        rows = dict(list(healthy.items())[place : place + _ROWS])
        cells, more = sum(map(len, rows.values())), f", from row {place + 1}" if len(healthy) > _ROWS else ""
        heading = f"Rows in which nothing fails: {cells} {'cell' if cells == 1 else 'cells'}{more}"
        yield "healthy rows", len(rows), _folded(heading, _lines(rows, optimizers, story))


def _facts(story: Story) -> str:
    shown = [*story.results, *story.controls]
    facts = [counted(story), terminal.control_line(story.controls)]
    if shown:
        facts.append(prose(training(shown)))
    facts.append(f"bits per byte: {limit_lines(story.run.limits, shown)}")
    return " · ".join(facts)


def _cause(group: CauseGroup, story: Story) -> str:
    """A cause: which cells, the evidence, what to do, and the command that judges one of them again."""
    count = len(group.members)
    names = [code(short(part.subject)) for part in group.parts]
    who = ", ".join(names) if len(names) <= 3 else f"{len(names)} subjects"
    lines = [f"### {code(short(group.cause))}: {who}, {count} {'cell' if count == 1 else 'cells'}"]
    if group.summary:
        lines.append(group.summary)
    subjects = [_part(part) for part in group.parts[:_SUBJECTS]]
    if more := len(group.parts) - _SUBJECTS:
        subjects += [f"- and {more} more subjects"] if more > 0 else []
    lines.append("\n".join(subjects))
    if group.hint:
        explained = f" · {code(f'quantgate explain {group.cause}')}" if group.explained else ""
        lines.append(f"**Do:** {prose(group.hint)}{explained}")
    files = Files.of(story.run)
    if remedy := group.remedy(files):
        lines.append(f"**Next:** {files.before}".strip() + f"\n\n{block(remedy, 'sh')}")
    if command := rerun(group.members[0], story.run):
        lines.append(f"One of these cells again:\n\n{block(command, 'sh')}")
    return "\n\n".join(lines)


def _part(part: Part) -> str:
    cells = ", ".join(
        f"{prose(each.optimizer)}{f' {title(each.cell)}' if title(each.cell) else ''} **{score(each)}**"
        f"{_mark(each)}"
        for each in part.members[:9]
    ) + (f" and {len(part.members) - 9} more" if len(part.members) > 9 else "")
    where = f" (at {code(part.source)})" if part.source else ""
    because = f"  \n  {_first(part.because)}" if part.because else ""
    return f"- {code(short(part.subject))}{where}: {cells}{because}"


def _first(text: str) -> str:
    """A sentence at the start of a line, where a dash or a number would begin a list."""
    return f"Because: {prose(text)}"


def _rows(results: Sequence[CellResult], name: str = "") -> dict[str, dict[str, CellResult]]:
    """The rows of a table: subject and variant, then optimizer."""
    rows: dict[str, dict[str, CellResult]] = {}
    for result in results:
        rows.setdefault(f"{name or result.subject} {title(result.cell)}".strip(), {})[result.optimizer] = (
            result
        )
    return rows


def _failures(row: Mapping[str, CellResult]) -> int:
    return sum(map(fails, row.values()))


def _table(
    failing: list[tuple[str, dict[str, CellResult]]],
    controls: dict[str, dict[str, CellResult]],
    optimizers: Sequence[str],
    story: Story,
) -> Iterator[tuple[str, int, str]]:
    """The controls and the rows in which a cell fails, a hundred at a time."""
    if failing or controls:
        first = {**dict(list(controls.items())[:_CONTROLS]), **dict(failing[:_ROWS])}
        yield "failing rows", len(first), f"### The table\n\n{_lines(first, optimizers, story)}"
    for place in range(_ROWS, len(failing), _ROWS):
        rows = dict(failing[place : place + _ROWS])
        yield "failing rows", len(rows), _lines(rows, optimizers, story)


def _lines(rows: dict[str, dict[str, CellResult]], optimizers: Sequence[str], story: Story) -> str:
    head = ["format", *(code(short(each), in_table=True) for each in optimizers)]
    lines = [f"| {' | '.join(head)} |", "|---" + "|---" * len(optimizers) + "|"]
    for name, cells in rows.items():
        texts = [_field(cells.get(optimizer), story) for optimizer in optimizers]
        lines.append(f"| {code(short(name), in_table=True)} | {' | '.join(texts)} |")
    return "\n".join(lines)


def _field(result: CellResult | None, story: Story) -> str:
    if result is None:
        return ""
    if result.verdict.passes:
        return f"{score(result)}{_mark(result)}"
    known = " (known)" if story.is_known(result) else _mark(result)
    return f"**{score(result)}**{known}"


def _mark(result: CellResult) -> str:
    """What became of it since the baseline, and why the entry that speaks for it excuses nothing."""
    entry, said = not_excused(result), _MARKS.get(change(result) or "", "")
    was = (result.baseline or {}).get("bpb")
    if said == _MARKS["regressed"] and isinstance(was, float):
        said = f" (regressed, {in_bits(was)} before)"
    return said + (f" ({prose(entry)})" if entry else "")


def _controls(story: Story) -> str:
    lines = [f"**Controls:** {terminal.control_line(story.controls)}."]
    wrong = [each for each in story.controls if each.verdict.passes != (each.kind == "control")]
    for each in wrong[:20]:
        lines.append(f"- {each.kind} {code(short(str(each.cell)))}: **{score(each)}**")
    return "\n".join(lines)


def _remarks(story: Story) -> list[str]:
    """What was only warned of, waived, not measured or skipped, and the known failures."""
    said = [
        f"known failure {code(short(each.cell.id))}: {score(each)}: {prose(story.reason(each))}"
        for each in story.known
    ]
    said += [prose("".join(piece for piece, _ in line)) for line in terminal.remarks(story.results)]
    said += [prose("".join(piece for piece, _ in line)) for line in terminal.close_calls(story.results)]
    if left := story.run.left_out:
        shown = ", ".join(code(short(each)) for each in left[:20])
        said.append(f"skipped {len(left)}: {shown}{' and more' if len(left) > 20 else ''}")
    return said


def _folded(heading: str, text: str) -> str:
    return f"<details><summary>{heading}</summary>\n\n{text}\n\n</details>"
