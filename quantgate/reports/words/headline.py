"""A run in a sentence, and what became of its cells in numbers."""

from __future__ import annotations

from collections.abc import Sequence

from quantgate.records.result import CellResult
from quantgate.records.verdict import Verdict
from quantgate.reports.story import (
    GRAVITY,
    INTERRUPTED,
    INVALID,
    LEARNS_NOW,
    REGRESSED,
    USAGE,
    Story,
    by_cause,
    change,
    fails,
    learns_now,
    short,
)

#: What a subject did.
_DID = {
    Verdict.DEAD: "stopped learning",
    Verdict.DIVERGED: "diverged",
    Verdict.PARTIAL: "stopped learning",
    Verdict.NO_OP: "changes nothing",
    Verdict.REJECTED: "was rejected",
    Verdict.CRASHED: "crashed",
    Verdict.TIMEOUT: "never ended",
    Verdict.FAULTY: "is faulty",
    Verdict.LAGS: "lags behind float32",
    Verdict.UNJUDGED: "was not judged",
}
#: More names than these are counted.
_NAMED = 3


def headline(story: Story) -> str:
    """The run in a sentence, in plain text: names from outside are in it as they are."""
    status = story.run.exit_status
    if status == INVALID:
        return "The run is invalid: the machine or the gate is at fault, not the formats"
    if status == USAGE and story.run.problems:
        return f"Nothing was judged: {story.run.problems[0]}"
    interrupted = status == INTERRUPTED
    lost = [each for each in story.failing if each.verdict is Verdict.UNJUDGED]
    failing = [each for each in story.failing if each.verdict is not Verdict.UNJUDGED]
    if failing:
        rest = f"; {len(lost):,} not judged" if lost else ""
        return _failed(story, failing) + (f"; interrupted, {_cut(story)}" if interrupted else rest)
    if interrupted:
        return f"The run was interrupted: {_cut(story)}"
    if lost:
        return _failed(story, lost)
    if story.run.problems:
        return _capital(story.run.problems[0])
    if story.run.state == "unfinished":
        return f"The run did not end: {_cut(story)}"
    if not story.results:
        return "No cell was judged"
    return _passed(story) + (", and a test failed for another reason" if story.fails else "")


def _passed(story: Story) -> str:
    if len(story.known) == 1:
        return f"{_of(len(story.passing), story)} pass, 1 as it is known to fail"
    if story.known:
        return f"{_of(len(story.passing), story)} pass, {len(story.known)} fail as they are known to"
    verb = "learns" if any(each.curve for each in story.results) else "is healthy"
    return f"Every cell {verb}: {len(story.passing):,} of {len(story.results):,}"


def _cut(story: Story) -> str:
    """How far a run came that did not end."""
    judged = [each for each in story.results if each.verdict is not Verdict.UNJUDGED]
    planned = max(story.run.planned, len(story.results))
    passing = sum(not fails(each) for each in judged)
    passed = f", {passing:,} of them pass" if judged else ""
    return f"{len(judged):,} of {planned:,} {_cells(planned)} judged{passed}"


def _failed(story: Story, failing: Sequence[CellResult]) -> str:
    """What fails, and why; cells that are red for learning stand behind those that are not."""
    fault = [each for each in failing if not learns_now(each) or each.regressed]
    said = []
    if fault:
        said.append(f"{_who(fault)}: {_of(len(fault), story)}{_why(fault)}")
    if listed := [each for each in failing if learns_now(each)]:
        count, which = len(listed), _names(listed)
        said.append(
            f"{'a known failure learns' if count == 1 else f'{count:,} known failures learn'} now ({which})"
        )
    return _capital("; ".join(said)) if not fault else "; ".join(said)


def _who(failing: Sequence[CellResult]) -> str:
    subjects = dict.fromkeys(each.subject for each in failing)
    if len(subjects) > 1:
        kind = "formats" if all(each.kind == "format" for each in failing) else "subjects"
        return f"{len(subjects)} {kind} fail ({_names(failing)})"
    verdicts = sorted({each.verdict for each in failing} & _DID.keys(), key=GRAVITY.__getitem__)
    did = [_DID[verdict] for verdict in verdicts] or ["got worse than its baseline"]
    return f"{short(next(iter(subjects)))} {did[0]}"


def _names(results: Sequence[CellResult]) -> str:
    subjects = list(dict.fromkeys(each.subject for each in results))
    rest = f" and {len(subjects) - _NAMED} more" if len(subjects) > _NAMED else ""
    return ", ".join(map(short, subjects[:_NAMED])) + rest


def _why(failing: Sequence[CellResult]) -> str:
    """The causes, and what became of the cells since the baseline; a verdict that says it all is not said again."""
    groups = [group for group in by_cause(failing) if group.cause not in {REGRESSED, LEARNS_NOW}]
    is_one = len({each.subject for each in failing}) == 1
    causes = [each.cause for each in groups if each.explained or not is_one]
    more = f" and {len(causes) - _NAMED} more" if len(causes) > _NAMED else ""
    return "".join(f", {cause}" for cause in causes[:_NAMED]) + more + (_since(failing) if groups else "")


def _since(failing: Sequence[CellResult]) -> str:
    changes = [said for each in failing if (said := change(each)) is not None]
    if not changes:
        return ""
    worse, unseen = changes.count("regressed"), changes.count("new")
    if worse == len(failing):
        return "; regressed since the baseline"
    if worse:
        return f"; {worse} regressed since the baseline"
    return "; not in the baseline yet" if unseen == len(failing) else "; as in the baseline"


def _of(count: int, story: Story) -> str:
    total = len(story.results)
    return f"{count:,} of {total:,} {_cells(total)}"


def _cells(count: int) -> str:
    return "cell" if count == 1 else "cells"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def counted(story: Story) -> str:
    """What became of the cells that were planned."""
    run = story.run
    if run.state == "unfinished" and not run.planned:
        records = f"{len(story.results):,} {'record' if len(story.results) == 1 else 'records'}"
        return f"{records}; the run's own record is not there or says unfinished"
    text = f"{run.planned:,} planned / {run.ran:,} ran / {run.judged:,} judged / {run.skipped:,} skipped"
    return (
        text
        if run.planned >= run.matrix
        else f"{text}; {run.planned:,} of {run.matrix:,} cells were selected"
    )
