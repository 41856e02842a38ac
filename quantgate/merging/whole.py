"""One run of its shards: what is missing, what is twice, what differs, and the exit status of the whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quantgate.gate.validity import invalid_reasons, is_users_doing, unlearned
from quantgate.merging import words
from quantgate.merging.reading import Part
from quantgate.merging.words import Twice
from quantgate.plan.settings import Settings
from quantgate.records.cell import Cell
from quantgate.records.closing import Closing, Plan
from quantgate.records.result import CellResult
from quantgate.records.verdict import Verdict, in_bits

OK, FAILED, USAGE, INVALID = 0, 1, 4, 70
#: What of an environment two shards are compared by; the score of a cell may depend on each.
_ENVIRONMENT = ("torch", "numpy", "python", "isa", "cpu", "device")


@dataclass(frozen=True)
class Merged:
    """The whole."""

    results: tuple[CellResult, ...]
    controls: tuple[CellResult, ...]
    closing: Closing
    missing: tuple[str, ...]
    twice: tuple[Twice, ...]
    #: What differs between the parts: name -> value -> the parts that say so.
    differ: Mapping[str, Mapping[str, tuple[str, ...]]]

    @property
    def failing(self) -> list[CellResult]:
        """The cells that fail, and not as they are known to."""
        known = self.closing.known_failures
        return [each for each in self.results if not _is_accepted(each, known)]


def merge(parts: Sequence[Part]) -> Merged:
    """Put the shards of one run together.

    Raises:
        ValueError: They are not of one run: plans, settings, numbers of shards or runs of an engine differ.
    """
    _check_one_run(parts)
    closings = [part.closing for part in parts if part.closing is not None]
    plan = closings[0].plan if closings else Plan((), {})
    results, twice = _results(parts)
    left_out = {name: why for closing in closings for name, why in closing.left_out.items()}
    missing = tuple(name for name in plan.cells if name not in results and name not in left_out)
    known = {name: cause for closing in closings for name, cause in closing.known_failures.items()}
    order = {name: place for place, name in enumerate(plan.cells)}
    ordered = tuple(
        sorted(results.values(), key=lambda each: (order.get(each.cell.id, len(order)), each.cell.id))
    )
    controls = _controls(parts)
    differ = dict(_differences(parts))
    problems = [
        *words.of_parts(parts),
        *words.of_cells(parts, plan, missing, [each for each in results if each not in order], twice),
        *([words.of_difference("corpus", differ["corpus"])] if "corpus" in differ else []),
    ]
    status, why = _status(
        parts, controls, problems, [each for each in ordered if not _is_accepted(each, known)]
    )
    ran = [each for each in ordered if each.verdict is not Verdict.UNJUDGED]
    skipped = sum(why_not == "skipped" for why_not in left_out.values())
    closing = Closing(
        plan=plan,
        exit_status=status,
        planned=len(plan.cells) - len(left_out) + skipped if closings else len(ordered),
        ran=len(ran),
        judged=sum(each.verdict.judged for each in ran),
        skipped=skipped,
        run=next((each.run for each in closings if each.run), None),
        problems=tuple(dict.fromkeys((*problems, *why))),
        left_out=left_out,
        known_failures=known,
        given=tuple(sorted({name for each in closings for name in each.given})),
        optimizers=tuple(sorted({name for each in closings for name in each.optimizers})),
        options=next((each.options for each in closings if each.options), ()),
    )
    return Merged(ordered, controls, closing, missing, twice, differ)


def _check_one_run(parts: Sequence[Part]) -> None:
    closed = [(part, part.closing) for part in parts if part.closing is not None]
    for part, closing in closed[1:]:
        first, like = closed[0]
        if closing.plan.digest != like.plan.digest:
            raise ValueError(
                f"{first.name} and {part.name} are not shards of one run: {words.of_plans(like.plan, closing.plan)}"
            )
        if None not in (closing.run, like.run) and closing.run != like.run:
            raise ValueError(
                f"{first.name} and {part.name} are not shards of one run: they are of {like.run} and of {closing.run}; "
                "give the reports of one"
            )
    numbers = {part.shard.split("/")[1]: part.name for part in parts if part.shard is not None}
    if len(numbers) > 1:
        (few, one), (many, other) = list(numbers.items())[:2]
        raise ValueError(
            f"{one} is one of {few} shards and {other} one of {many}; give the shards of one run"
        )


def _results(parts: Sequence[Part]) -> tuple[dict[str, CellResult], tuple[Twice, ...]]:
    """The record of each cell, of several the gravest; and which cells have several."""
    held: dict[str, list[tuple[str, CellResult]]] = {}
    for part in parts:
        for result in part.results:
            held.setdefault(result.cell.id, []).append((part.name, result))
    twice = tuple(
        Twice(
            name,
            {part: _in_words(result) for part, result in each},
            len({(result.verdict, result.cause) for _, result in each}) == 1,
        )
        for name, each in held.items()
        if len(each) > 1
    )
    gravest = {name: max((result for _, result in each), key=_gravity) for name, each in held.items()}
    return gravest, twice


def _gravity(result: CellResult) -> tuple[bool, bool]:
    return not result.verdict.passes, result.verdict.judged


def _controls(parts: Sequence[Part]) -> tuple[CellResult, ...]:
    """One record of each control: where shards trained it apart, the one that speaks against the run."""
    held: dict[Cell, CellResult] = {}
    for part in parts:
        for result in part.controls:
            against = result.verdict.passes == (result.kind == "negative-control")
            if result.cell not in held or against or not result.verdict.judged:
                held[result.cell] = result
    return tuple(sorted(held.values(), key=lambda c: (c.kind, c.subject, c.width, c.seed, c.optimizer)))


def _differences(parts: Sequence[Part]) -> Iterator[tuple[str, Mapping[str, tuple[str, ...]]]]:
    for name in ("quantgate", *_ENVIRONMENT, "corpus"):
        said: dict[str, dict[str, None]] = {}
        for part in parts:
            for result in (*part.results, *part.controls):
                if (value := _value(result, name)) is not None:
                    said.setdefault(str(value), {})[part.name] = None
        if len(said) > 1:
            yield name, {value: tuple(names) for value, names in said.items()}


def _value(result: CellResult, name: str) -> Any:
    if name == "quantgate":
        return result.quantgate
    return result.corpus.get("sha256") if name == "corpus" else result.environment.get(name)


def _status(
    parts: Sequence[Part],
    controls: Sequence[CellResult],
    problems: Sequence[str],
    failing: Sequence[CellResult],
) -> tuple[int, tuple[str, ...]]:
    """The exit status of a run with all these cells and controls, and what it adds to the problems.

    A shard ends as a usage error where no control of its own learns; the whole does so where none of all learns.
    """
    closings = [part.closing for part in parts if part.closing is not None]
    failed, invalid = unlearned(controls), invalid_reasons(controls)
    given = frozenset(name for closing in closings for name in closing.given)
    optimizers = {name for closing in closings for name in closing.optimizers}
    users = is_users_doing(
        [each for each in controls if each.cell in failed], Settings(given=given), optimizers
    )
    misused = any(
        part.closing is not None and part.closing.exit_status == USAGE and not unlearned(part.controls)
        for part in parts
    )
    why = (*failed.values(), *invalid)
    if misused or (users and set(failed.values()) & set(invalid)):
        return USAGE, why
    if any(closing.exit_status == INVALID for closing in closings) or invalid or (failed and not users):
        return INVALID, why
    return (FAILED if problems or failing or failed or not closings else OK), why


def _is_accepted(result: CellResult, known: Mapping[str, str]) -> bool:
    expected = known.get(result.cell.id)
    if expected is None:
        return result.verdict.passes and not result.regressed
    return not result.verdict.passes and result.cause == expected


def _in_words(result: CellResult) -> str:
    score = "" if result.bpb is None else f" {in_bits(result.bpb)}"
    return f"{result.verdict}{score}{f' ({result.cause})' if result.cause else ''}"
