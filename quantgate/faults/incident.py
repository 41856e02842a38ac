"""The incident, replayed: what this gate says of the fleet that trained for weeks at chance.

The fleet's quantizers are trained as it trained: weights requantized in place after each step, AdamW at 1e-4, Muon at
1e-3. Then the same cells with this package's codecs, master weights and rates.

The scores are not to be compared with the report's, which come from another model and much longer runs; what is to be
compared is who learns, and what is named where the report could only guess.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import chain
from multiprocessing import get_context

from quantgate.faults.fleet import FLEET, FLEET_RATES, FLEET_STEPS, REPORT, Reported
from quantgate.formats import BUILTIN
from quantgate.gate.run import run_cell
from quantgate.records.cell import SEEDS, Config
from quantgate.records.result import CellResult
from quantgate.records.verdict import DEFAULT_LIMITS, Verdict


@dataclass(frozen=True)
class Outcome:
    """What the gate says of one training."""

    bpb: float | None
    verdict: Verdict
    #: Where the float32 control of the same optimizer, rate and steps ended.
    control: float | None
    #: Every cause that holds, likeliest first.
    causes: tuple[str, ...] = ()
    #: The evidence of the first cause, and of each of the others: `update-swallowed: 1% of ...`.
    because: str = ""
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """A cell of the bug report, as the fleet trained it and as this package does."""

    reported: Reported
    replayed: Outcome
    mended: Outcome

    @property
    def contradicts(self) -> bool:
        """Whether the report saw it learn and the replay does not, or the other way round; a no-op does learn."""
        learned = self.replayed.verdict in {Verdict.LEARNS, Verdict.NO_OP}
        return learned != (self.reported.verdict == "learns")


def replayed(cell: Reported, corpus: str = "builtin") -> Outcome:
    """The cell as the fleet trained it: its quantizer, in-place storage, its rate."""
    steps, lr = FLEET_STEPS[cell.optimizer], FLEET_RATES[cell.optimizer]
    config = Config(steps=steps, lr=lr, corpus=corpus)
    return _outcome(run_cell(FLEET[cell.format], cell.optimizer, storage="inplace", config=config))


def mended(cell: Reported, corpus: str = "builtin") -> Outcome:
    """The cell with this package's codec, master weights and rate."""
    return _outcome(run_cell(BUILTIN[cell.format], cell.optimizer, config=Config(corpus=corpus)))


def replay(
    jobs: int = 2,
    corpus: str = "builtin",
    *,
    cells: Sequence[Reported] = REPORT,
    told: Callable[[int], object] | None = None,
) -> tuple[Row, ...]:
    """Both trainings of every cell, from `jobs` processes, in the order of the report.

    Args:
        jobs: Processes.
        corpus: What is trained on: `builtin`, `tinyshakespeare` or the path of a text.
        cells: The rows of the report that are replayed.
        told: Called with the number of trainings that are done, of two for each cell.

    Raises:
        CorpusError: The corpus cannot be used.
        ValueError: `jobs` is less than 1.
    """
    if jobs < 1:
        raise ValueError(f"jobs is {jobs}; at least one process is needed")
    # One optimizer after the other: the processes keep the controls that they trained.
    order = sorted(cells, key=lambda cell: cell.optimizer)
    size = max(1, min(4, len(order) // (2 * jobs)))
    chunks = [order[start : start + size] for start in range(0, len(order), size)]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        as_was, as_is = (
            [pool.submit(_train_chunk, train, chunk, corpus) for chunk in chunks]
            for train in (replayed, mended)
        )
        done = 0
        for future in as_completed([*as_was, *as_is]):
            done += len(future.result())
            if told is not None:
                told(done)
        before, after = (
            dict(zip(order, chain.from_iterable(each.result() for each in trained), strict=True))
            for trained in (as_was, as_is)
        )
    return tuple(Row(cell, before[cell], after[cell]) for cell in cells)


def _train_chunk(
    train: Callable[[Reported, str], Outcome], chunk: Sequence[Reported], corpus: str
) -> list[Outcome]:
    return [train(cell, corpus) for cell in chunk]


def _outcome(result: CellResult) -> Outcome:
    evidence = result.evidence
    causes = dict.fromkeys(cause for cause in (result.cause, *evidence.get("findings", ())) if cause)
    # A cause may be found in two ways; its likelier evidence is enough.
    also = [said for said in evidence.get("also", ()) if said.partition(":")[0] != result.cause]
    because = str(evidence.get("because", ""))
    return Outcome(result.bpb, result.verdict, result.bpb_control, tuple(causes), because, tuple(also))


_HEADINGS = ("format", "optimizer", "reported", "replayed", "causes", "mended")


def to_markdown(rows: Sequence[Row]) -> str:
    """The report's table beside the replay and the mended cells; below it, where the replay contradicts the report."""
    lines = [_line((*_HEADINGS, "because")), _line(("---",) * (len(_HEADINGS) + 1))]
    for row in rows:
        said = [row.replayed.because, *(f"Also {other}" for other in row.replayed.also)]
        lines.append(_line((*_cells(row), " ".join(said))))
    return "\n".join([*lines, *(f"\n{note}" for note in _notes(rows))])


def to_text(rows: Sequence[Row]) -> str:
    """The same for a terminal, the evidence below each row."""
    cells = [_HEADINGS, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]

    def aligned(line: Sequence[str]) -> str:
        return "  ".join(part.ljust(width) for part, width in zip(line, widths, strict=True)).rstrip()

    lines = [aligned(_HEADINGS)]
    for row in rows:
        lines.append(aligned(_cells(row)))
        lines += [f"    {said}" for said in (row.replayed.because,) if said]
        lines += [f"    also {other}" for other in row.replayed.also]
    return "\n".join([*lines, *(f"\n{note}" for note in _notes(rows))])


def _line(parts: Sequence[str]) -> str:
    return "| " + " | ".join(part.replace("|", "\\|") for part in parts) + " |"


def _cells(row: Row) -> tuple[str, ...]:
    """The columns of `_HEADINGS`."""
    reported = row.reported
    mark = " *" if row.contradicts else ""
    return (
        reported.format,
        reported.optimizer,
        f"{reported.bpb:.2f} {reported.verdict}",
        f"{_said(row.replayed)}{mark}",
        ", ".join(row.replayed.causes),
        _said(row.mended),
    )


def _said(outcome: Outcome) -> str:
    return str(outcome.verdict) if outcome.bpb is None else f"{outcome.bpb:.2f} {outcome.verdict}"


def _notes(rows: Sequence[Row]) -> Iterator[str]:
    """Notes below the table: what was trained, the controls, and what the replay does not explain."""
    yield (
        "Reported: the fleet's best BPB, of its own model and much longer runs. Replayed: its quantizers, in place, at "
        f"its rates, {_steps()}. Mended: this package's codecs, master weights and rates, {Config().steps} steps. "
        f"Seed {SEEDS[0]}, width {Config().width}."
    )
    controls = {
        f"{row.reported.optimizer} {when}": outcome.control
        for row in rows
        for when, outcome in (("replayed", row.replayed), ("mended", row.mended))
        if outcome.control is not None
    }
    yield "float32 controls: " + ", ".join(f"{name} {score:.2f}" for name, score in sorted(controls.items()))
    for name, score in controls.items():
        if not score < DEFAULT_LIMITS.fail_bpb:
            yield f"The control of {name} does not learn on this corpus: those cells say nothing."
    for row in rows:
        if row.contradicts:
            yield (
                f"Marked *: {row.reported.format} x {row.reported.optimizer} {row.reported.verdict} in the report, and "
                f"{row.replayed.verdict} with the quantizer that it is said to have had: something else was at work."
            )


def _steps() -> str:
    return ", ".join(f"{steps} steps of {optimizer}" for optimizer, steps in FLEET_STEPS.items())
