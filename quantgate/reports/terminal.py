"""The table in the terminal: formats down, optimizers across, the causes of failures below it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from quantgate.diagnosis.causes import CAUSES
from quantgate.records.cell import SEEDS
from quantgate.records.result import CellResult
from quantgate.records.verdict import CHANCE_BPB, Limits, Verdict
from quantgate.reports.text import printable

#: A piece of a line and how it is marked up (pytest's terminal writer's names).
Piece = tuple[str, Mapping[str, bool]]
Line = list[Piece]

_PLAIN: Mapping[str, bool] = {}
_COLOURS: dict[Verdict, Mapping[str, bool]] = {
    Verdict.LEARNS: {"green": True},
    Verdict.HEALTHY: {"green": True},
    Verdict.FAULTY: {"red": True},
    Verdict.LAGS: {"yellow": True},
    Verdict.NO_OP: {"purple": True},
    Verdict.UNJUDGED: {"cyan": True},
}
_FAILED: Mapping[str, bool] = {"red": True}
_KNOWN: Mapping[str, bool] = {"yellow": True}

CONTROL_ROW = "(float32 control)"
DEFAULT_SEED = f"s{SEEDS[0]}"
#: Of a foreign trainer's output, below its cause.
_OUTPUT_LINES = 5


@dataclass(frozen=True)
class Counts:
    """What became of the cells of a run."""

    planned: int
    ran: int
    judged: int
    skipped: int
    #: Cells of the tests that were collected, whether they were then selected or not.
    matrix: int = 0

    @property
    def selection(self) -> str | None:
        """That `-k`, `--deselect`, `--lf` or a plugin left cells out; None where none did."""
        if self.planned >= self.matrix:
            return None
        return f"{self.planned} of {self.matrix} cells of the matrix were selected"

    def __str__(self) -> str:
        return f"{self.planned} planned / {self.ran} ran / {self.judged} judged / {self.skipped} skipped"


def sections(
    results: Sequence[CellResult], controls: Sequence[CellResult], limits: Limits
) -> Iterator[list[Line]]:
    """What is printed of a run's records: the table, the failures by cause, close calls and remarks; none is empty."""
    said = (table(results, controls, limits), failures(results), close_calls(results), remarks(results))
    yield from filter(None, said)


def table(results: Sequence[CellResult], controls: Sequence[CellResult], limits: Limits) -> list[Line]:
    """The table of a run: a heading, a row for each subject and variant, the controls first."""
    shown = [*(c for c in controls if c.kind == "control"), *results]
    if not shown:
        return []
    optimizers = list(dict.fromkeys(result.optimizer for result in shown))
    rows: dict[str, dict[str, CellResult]] = {}
    for result in shown:
        rows.setdefault(_row_name(result), {})[result.optimizer] = result
    name_width = max(map(len, rows)) + 2
    cell_width = (
        max(*(len(printable(name)) for name in optimizers), *(len(_cell_text(result)) for result in shown))
        + 2
    )
    corpora = ", ".join(dict.fromkeys(result.corpus["name"] for result in shown if result.corpus.get("name")))
    title = (
        f"bits per byte after {shown[0].steps} steps on {printable(corpora) or 'no corpus'} "
        f"(passes below {limits.fail_bpb:.2f}, dead from {limits.dead_bpb:.2f}, chance {CHANCE_BPB:.2f})"
    )
    lines: list[Line] = [[(title, _PLAIN)]]
    lines.append(
        [
            (
                " " * name_width + "".join(printable(name).ljust(cell_width) for name in optimizers).rstrip(),
                _PLAIN,
            )
        ]
    )
    for name, cells in rows.items():
        line: Line = [(name.ljust(name_width), _PLAIN)]
        last = max(place for place, optimizer in enumerate(optimizers) if optimizer in cells)
        for place, optimizer in enumerate(optimizers[: last + 1]):
            found = cells.get(optimizer)
            text = "" if found is None else _cell_text(found)
            line.append(
                (text.ljust(cell_width if place < last else 0), _PLAIN if found is None else colour(found))
            )
        lines.append(line)
    return lines


def failures(results: Sequence[CellResult]) -> list[Line]:
    """Failed cells by cause, each cause with its evidence and its hint said once."""
    groups: dict[tuple[str, str, str | None], list[CellResult]] = {}
    for result in results:
        if not result.verdict.passes:
            cause, known_as = result.cause or str(result.verdict), _known_as(result)
            groups.setdefault((cause, result.subject, known_as), []).append(result)
    lines: list[Line] = []
    for (cause, subject, known_as), members in groups.items():
        cells = ", ".join(
            " ".join(filter(None, (member.optimizer, _variant(member), _cell_text(member))))
            for member in members[:6]
        ) + (f" and {len(members) - 6} more" if len(members) > 6 else "")
        marked = _FAILED if known_as is None else _KNOWN
        lines.append([(printable(cause), marked), (printable(f"  {subject} x {cells}"), _PLAIN)])
        if known_as is not None:
            lines.append([(printable(f"  A known failure: {known_as}"), _KNOWN)])
        if because := members[0].evidence.get("because"):
            lines.append([(f"  {printable(str(because))}", _PLAIN)])
        known = CAUSES.get(cause)
        # Of a foreign trainer the same cause may have another next step.
        hint = members[0].hint if members[0].cell.trainer is not None else None
        if known is not None:
            lines.append([(printable(f"  Hint: {hint or known.hint} `quantgate explain {cause}`"), _PLAIN)])
        elif hint is not None:
            lines.append([(printable(f"  Hint: {hint}"), _PLAIN)])
        lines += [[(printable(f"  | {line[:160]}"), _PLAIN)] for line in _last_lines(members[0])]
    return lines


def _last_lines(result: CellResult) -> list[str]:
    """The last lines of a foreign trainer that did not come to an end that could be judged."""
    if result.verdict not in {Verdict.CRASHED, Verdict.TIMEOUT, Verdict.REJECTED, Verdict.DIVERGED}:
        return []
    return [line for line in str(result.evidence.get("output", "")).splitlines() if line.strip()][
        -_OUTPUT_LINES:
    ]


def remarks(results: Sequence[CellResult]) -> list[Line]:
    """Warnings and waived causes of cells, and what could not be measured: each said once for a subject."""
    said: dict[str, None] = {}
    for result in results:
        evidence = result.evidence
        for cause, because in evidence.get("warnings", {}).items():
            said[f"warning  {result.subject}: {cause}: {because}"] = None
        for cause, reason in evidence.get("waived", {}).items():
            said[f"waived  {result.subject}: {cause}: {reason}"] = None
        if missing := evidence.get("not_measured", {}):
            first = f"{', '.join(list(missing)[:3])}{' and more' if len(missing) > 3 else ''}"
            because = "; ".join(dict.fromkeys(missing.values()))
            said[f"not measured  {result.subject}: {first}: {because}"] = None
    return [[(printable(text), _PLAIN)] for text in (*said, *_same(results))]


def _same(results: Sequence[CellResult]) -> list[str]:
    """The subjects that are one quantizer under several names, a built-in format's among them."""
    names: dict[str, dict[str, None]] = {}
    for result in results:
        if digest := result.evidence.get("fingerprint"):
            group = names.setdefault(digest, {})
            group[result.subject] = None
            if same := result.evidence.get("same_as"):
                group[f"the built-in {same}"] = None
    groups = [
        [name for name in group if name != f"the built-in {next(iter(group))}"] for group in names.values()
    ]
    return [
        f"one quantizer  {', '.join(group[:-1])} and {group[-1]} agree in every bit of the probes' inputs"
        for group in groups
        if len(group) > 1
    ]


def control_line(controls: Sequence[CellResult]) -> str:
    """Whether the run proved that it can pass and that it can fail."""
    positive = [result for result in controls if result.kind == "control"]
    negative = [result for result in controls if result.kind == "negative-control"]
    learn = sum(result.verdict.passes for result in positive)
    fail = sum(result.verdict.judged and not result.verdict.passes for result in negative)
    return f"{learn} of {len(positive)} controls learn, {fail} of {len(negative)} negative controls fail"


def close_calls(results: Sequence[CellResult]) -> list[Line]:
    """The cells that more seeds were asked for, with every seed's score."""
    lines: list[Line] = []
    for result in results:
        if result.seeds:
            scores = ", ".join(
                f"s{seed} {'non-finite' if score is None else f'{score:.3f}'}"
                for seed, score in result.seeds.items()
            )
            lines.append(
                [(f"close call  {printable(str(result.cell))}: {scores}; the median judges", _PLAIN)]
            )
    return lines


def colour(result: CellResult) -> Mapping[str, bool]:
    """How a result is marked up."""
    return _COLOURS.get(result.verdict, _FAILED) if result.known is None else _KNOWN


def _row_name(result: CellResult) -> str:
    name = result.subject
    if result.kind == "control":
        trainer = result.cell.trainer
        name = CONTROL_ROW if trainer is None else f"({trainer} {result.format})"
    return printable(f"{name} {_variant(result)}".strip())


def _variant(result: CellResult) -> str:
    """What is not the default about a cell: `s89 w128`, or nothing."""
    parts = result.cell.id.removeprefix(f"{result.subject}-{result.optimizer}-").split("-")
    return " ".join(part for part in parts if part != DEFAULT_SEED)


def _cell_text(result: CellResult) -> str:
    verdict = str(result.verdict) if result.known is None else f"{result.verdict} (known)"
    return verdict if result.bpb is None else f"{result.bpb:.2f} {verdict}"


def _known_as(result: CellResult) -> str | None:
    """Why a failure is known; None where it is not."""
    known = result.known
    if known is None:
        return None
    until = f", until {known['until']}" if known.get("until") else ""
    return f"{known.get('reason')}{f', {link}' if (link := known.get('link')) else ''}{until}"
