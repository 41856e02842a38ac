"""What is said of shards that make no whole: what is missing, twice or different, and what to do; a sentence each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from quantgate.merging.reading import Part
from quantgate.records.closing import Plan
from quantgate.reports.text import counted

OK = 0
_NAMED = 5
#: What to do where the parts differ in something, by its name.
_DIFFERS = {
    "corpus": "their cells were trained on different texts; give all shards the same corpus",
    **dict.fromkeys(("quantgate", "torch", "numpy", "python"), "run all shards with one version"),
    **dict.fromkeys(("isa", "cpu", "device"), "scores of different machines differ in their last digits"),
}


@dataclass(frozen=True)
class Twice:
    """A cell with a record in more than one part."""

    id: str
    #: Part -> verdict, cause and score, in words.
    said: Mapping[str, str]
    agree: bool


def of_parts(parts: Sequence[Part]) -> Iterator[str]:
    """What is wrong with the parts themselves."""
    for part in parts:
        yield from part.problems
        if part.closing is None:
            yield (
                f"{part.name} is not complete: its run was killed, or the file was cut, after "
                f"{counted(len(part.results), 'cell')}; run that shard again"
            )
        elif part.closing.exit_status != OK:
            why = "; ".join(part.closing.problems) or "its records, or its other tests, say why"
            yield f"the run of {part.name} ended with exit status {part.closing.exit_status}: {why}"


def of_cells(
    parts: Sequence[Part],
    plan: Plan,
    missing: Sequence[str],
    unplanned: Sequence[str],
    twice: Sequence[Twice],
) -> Iterator[str]:
    """What is wrong with the cells that they hold together."""
    if not plan.cells:
        yield "no report says what was planned, since no run came to its end; run the shards again"
    elif unplanned:
        were = f"{counted(len(unplanned), 'cell')} {'was' if len(unplanned) == 1 else 'were'}"
        yield f"{were} not planned: {few(unplanned)}; leave out the report of another run"
    if missing:
        share = f"{len(missing):,} of {counted(len(plan.cells), 'planned cell')}"
        be = "is" if len(missing) == 1 else "are"
        yield f"{share} {be} missing: {few(missing)}; {_absent(parts)}"
    for each in twice:
        if not each.agree:
            said = ", ".join(f"{verdict} in {part}" for part, verdict in each.said.items())
            yield f"{each.id} has results that disagree: {said}; give only the report that is meant"


def of_agreement(twice: Sequence[Twice]) -> str:
    """That cells are in several parts, and nothing is wrong with it."""
    count = counted(len(twice), "cell")
    return f"{count} in more than one report, with the same verdict: {few([each.id for each in twice])}"


def of_difference(name: str, said: Mapping[str, Sequence[str]]) -> str:
    """That the parts differ in something: what each of them has, and what to do."""
    values = "; ".join(f"{value:.20} in {few(names)}" for value, names in said.items())
    return f"{name} is not the same in all reports: {values}; {_DIFFERS[name]}"


def of_plans(one: Plan, other: Plan) -> str:
    """How two plans differ."""
    for name in dict.fromkeys((*one.settings, *other.settings)):
        if one.settings.get(name) != other.settings.get(name):
            here, there = one.settings.get(name), other.settings.get(name)
            return f"{name} is {here!r} in the first and {there!r} in the second; give the reports of one"
    alone = sorted(set(one.cells) ^ set(other.cells))
    counts = f"the first plans {counted(len(one.cells), 'cell')}, the second {len(other.cells):,}"
    return f"{counts}, and only one of them has {few(alone)}; give the reports of one"


def few(names: Sequence[str]) -> str:
    """The first of some names; the others are counted."""
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def _absent(parts: Sequence[Part]) -> str:
    """What to do about cells that are missing: the shards that left no report, or left half of one."""
    shards = {part.shard for part in parts if part.shard is not None}
    if not shards:
        return "run them again"
    n = int(next(iter(shards)).split("/")[1])
    absent = [f"{k}/{n}" for k in range(1, n + 1) if f"{k}/{n}" not in shards]
    if not absent:
        return "a shard ended before its turn; run it again"
    if len(absent) > 1:
        return f"there are no reports of the shards {few(absent)}: add them, or run those shards again"
    return f"there is no report of shard {absent[0]}: add it, or run that shard again"
