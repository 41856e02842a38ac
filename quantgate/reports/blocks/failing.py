"""Failed cells by cause: what fails by it, the evidence and the hint, each said once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from quantgate.records.result import CellResult
from quantgate.records.verdict import Verdict
from quantgate.reports.blocks.line import FAILED, KNOWN, PLAIN, Line, score
from quantgate.reports.story import CauseGroup, Part, by_cause, learns_now, not_excused, title
from quantgate.reports.text import printable
from quantgate.reports.words.commands import Files

#: Cells of a subject, subjects of one kind of evidence, and kinds of evidence that are named; others are counted.
MOST = 6
_AT_THE_END = "the reason is said at the end"
#: Of a foreign trainer's output, below its cause.
_OUTPUT_LINES = 5


def failures(
    results: Sequence[CellResult], told: Sequence[str] = (), files: Files | None = None
) -> list[Line]:
    """Failed cells by cause, the gravest first, a block each; known failures stand apart, with their reason.

    Args:
        results: The cells.
        told: Sentences that are said at the end of the run, and so not of each cell.
        files: What commands that follow name.
    """
    failing = [result for result in results if not result.verdict.passes or learns_now(result)]
    lines: list[Line] = []
    for group in by_cause([result for result in failing if result.known is None]):
        lines += _block(group, None, told, files or Files())
    reasons = dict.fromkeys(_known_as(result) for result in failing if result.known is not None)
    for reason in reasons:
        for group in by_cause([r for r in failing if r.known is not None and _known_as(r) == reason]):
            lines += _block(group, reason, told, files or Files())
    return lines


def _block(group: CauseGroup, known_as: str | None, told: Sequence[str], files: Files) -> Iterator[Line]:
    marked = FAILED if known_as is None else KNOWN
    count = len(group.members)
    yield [(printable(group.cause), marked), (f"  {count} cell{'s' * (count != 1)}", PLAIN)]
    if known_as is not None:
        yield [(printable(f"  A known failure: {known_as}"), KNOWN)]
    kinds = list(_kinds(group.parts))
    for parts in kinds[:MOST]:
        for part in parts[:MOST]:
            yield [(printable(f"  {part.subject} x {_cells(part.members, group.cause)}"), PLAIN)]
        if len(parts) > MOST:
            yield [(f"  and {len(parts) - MOST} more", PLAIN)]
        first = parts[0].members[0]
        if because := _without(parts[0].because, told):
            yield [(f"    {printable(because)}", PLAIN)]
        if also := first.evidence.get("also"):
            yield [(printable(f"    Also: {' '.join(map(str, also))}"), PLAIN)]
        if state := first.evidence.get("state"):
            yield [(printable(f"    Note: {state}"), PLAIN)]
        yield from ([(printable(f"    | {line[:160]}"), PLAIN)] for line in _last_lines(first))
    if len(kinds) > MOST:
        rest = sum(len(part.members) for parts in kinds[MOST:] for part in parts)
        yield [(f"  and {rest} cells more, for other reasons", PLAIN)]
    yield from _next(group)
    if remedy := group.remedy(files):
        yield [(printable(f"  Next: {files.then(remedy)}"), PLAIN)]


def _next(group: CauseGroup) -> Iterator[Line]:
    if group.explained:
        yield [(printable(f"  Hint: {group.hint} `quantgate explain {group.cause}`"), PLAIN)]
    elif group.hint:
        yield [(printable(f"  Hint: {group.hint}"), PLAIN)]


def _without(because: str, told: Sequence[str]) -> str:
    """The sentence without what is said at the end."""
    for each in told:
        because = because.replace(each, _AT_THE_END)
    return because


def _kinds(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """The subjects whose evidence differs in nothing but numbers, together."""
    alike: dict[str, list[Part]] = {}
    for part in parts:
        alike.setdefault(re.sub(r"\d+(\.\d+)?(e[+-]?\d+)?", "#", part.because), []).append(part)
    yield from alike.values()


def _cells(members: Sequence[CellResult], cause: str) -> str:
    """`adamw s89 7.09 dead, muon 7.05 dead`; a verdict that is what the block is called is not said again."""
    said = [(m.optimizer, title(m.cell), "" if score(m) == cause else score(m)) for m in members[:MOST]]
    named = [" ".join(filter(None, (*each, _entry(m)))) for each, m in zip(said, members, strict=False)]
    return ", ".join(named) + (f" and {len(members) - MOST} more" if len(members) > MOST else "")


def _entry(result: CellResult) -> str:
    return "" if (said := not_excused(result)) is None else f"({said})"


def _last_lines(result: CellResult) -> list[str]:
    """The last lines of a foreign trainer that did not come to an end that could be judged."""
    if result.verdict not in {Verdict.CRASHED, Verdict.TIMEOUT, Verdict.REJECTED, Verdict.DIVERGED}:
        return []
    return [line for line in str(result.evidence.get("output", "")).splitlines() if line.strip()][
        -_OUTPUT_LINES:
    ]


def _known_as(result: CellResult) -> str:
    """Why a failure is known."""
    known = result.known or {}
    until = f", until {known['until']}" if known.get("until") else ""
    return f"{known.get('reason')}{f', {link}' if (link := known.get('link')) else ''}{until}"
