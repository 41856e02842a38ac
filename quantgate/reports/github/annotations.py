"""Annotations: errors at lines of the pull request's files, as commands that a workflow's runner reads."""

from __future__ import annotations

import re

from quantgate.records.result import CellResult
from quantgate.reports.story import (
    INTERRUPTED,
    INVALID,
    USAGE,
    CauseGroup,
    Part,
    Story,
    by_cause,
    not_excused,
    rerun,
)
from quantgate.reports.text import printable
from quantgate.reports.words.commands import Files
from quantgate.reports.words.headline import headline

#: GitHub shows no more errors of one step.
MOST = 10
_LONGEST = 3000
_SOURCE = re.compile(r"(?P<file>.+):(?P<line>[1-9][0-9]{0,8})")


def error_lines(story: Story) -> list[str]:
    """A line for each cause and place of the failing cells, and for what else fails the run; at most ten."""
    if not story.fails:
        return []
    if story.run.exit_status in {INVALID, USAGE} or (story.run.problems and not story.failing):
        said = {each.casefold(): each for each in (headline(story), *story.run.problems)}
        return [_command("quantgate", "\n".join(said.values()), None)]
    found: dict[tuple[str, str | None], list[Part]] = {}
    groups: dict[str, CauseGroup] = {}
    for group in by_cause(story.failing):
        groups[group.cause] = group
        for part in group.parts:
            found.setdefault((group.cause, part.source), []).append(part)
    lines = [_of(groups[cause], parts, source, story) for (cause, source), parts in found.items()]
    beside = [headline(story)] if story.run.exit_status == INTERRUPTED else story.run.problems
    lines += [_command("quantgate", said, None) for said in beside]
    if len(lines) > MOST:
        left = len(lines) - MOST + 1
        lines = [
            *lines[: MOST - 1],
            _command("quantgate", f"{headline(story)}; and {left} more errors", None),
        ]
    return lines


def _of(group: CauseGroup, parts: list[Part], source: str | None, story: Story) -> str:
    subjects = ", ".join(part.subject for part in parts[:5]) + (
        f" and {len(parts) - 5} more" if len(parts) > 5 else ""
    )
    members: list[CellResult] = [each for part in parts for each in part.members]
    optimizers = ", ".join(dict.fromkeys(each.optimizer for each in members))
    total = len(story.results)
    verdicts = ", ".join(dict.fromkeys(str(each.verdict) for each in members))
    lines = [f"{subjects} x {optimizers}: {len(members)} of {total} cell{'s' * (total != 1)} ({verdicts})"]
    lines += [f"It is {entry}." for entry in dict.fromkeys(map(not_excused, members)) if entry]
    if parts[0].because:
        lines.append(parts[0].because)
    if group.hint:
        lines.append(f"Hint: {group.hint}")
    files = Files.of(story.run)
    if remedy := group.remedy(files):
        lines.append(f"Next: {files.before}{remedy}")
    if command := rerun(members[0], story.run):
        lines.append(f"Again: {command}")
    return _command(f"quantgate: {group.cause}", "\n".join(lines), source)


def _command(title: str, text: str, source: str | None) -> str:
    place = _SOURCE.fullmatch(source or "")
    where = "" if place is None else f"file={_property(place['file'])},line={place['line']},"
    return f"::error {where}title={_property(title)}::{_data(text[:_LONGEST])}"


def _data(text: str) -> str:
    """The message of a command: its lines are kept, and no other control character of it is."""
    lines = [printable(line).replace("%", "%25") for line in text.split("\n")]
    return "%0A".join(lines)


def _property(text: str) -> str:
    """A property of a command."""
    return _data(printable(text)).replace(":", "%3A").replace(",", "%2C")
