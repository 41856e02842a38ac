"""The verdict on what a foreign trainer printed, and on how it ended; nothing of its weights."""

from __future__ import annotations

import math
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from quantgate.corpus import Corpus
from quantgate.diagnosis.numbers import plain
from quantgate.logs.judging.curve import run_of
from quantgate.logs.judging.judge import NO_OP_HINT, CurveError, Judgement, compared, judge_run
from quantgate.logs.judging.rules import Rules
from quantgate.records.cell import Cell, Config
from quantgate.records.verdict import DEFAULT_LIMITS, IMPLAUSIBLE_LEAD, Curve, Verdict, gap_tolerance
from quantgate.subjects.trainers import Trainer
from quantgate.trainers.process import Ended
from quantgate.trainers.scores import Sample, Scores

#: Decimals that scores must have for equal ones to mean equal numbers: int8 and float32 agree in three now and then.
ENOUGH_DECIMALS = 4
#: Steps at which they must be equal.
ENOUGH_STEPS = 3
#: Formats of more bits may give the scores of float32 to all decimals that are printed.
FEW_BITS = 16
_TIMEOUT_HINT = (
    "look for a loop that does not end, and for output that is not flushed; where it is slow, give it more by "
    "pytest-timeout's `timeout`."
)
#: A first score of so many times the control's is no matter of learning.
OFF_SCALE = 2.0
_OFF_SCALE_HINT = (
    "its first score is {:.2f} where float32 starts at {:.2f}: what it computes with is on another scale, as where "
    "codes are taken for values, or one scale divides and another multiplies."
)
#: The last score of a trainer that was told its steps is at most so many of its longest intervals before their end.
_INTERVALS = 2
_STOPPED_HINT = "look for why it stopped: it ended as if all were well."
#: The options of `quantgate judge` in its messages, and what is said of a trainer in their place.
_OPTIONS = {
    "Say --vocabulary": "Declare its chance",
    ", --chance or --unit": "",
    "Say --unit nats": "Call it loss in what is printed",
    "Say --unit bits": "Call it bpb in what is printed",
    "Tell them apart by a column (run=...), or cut the log.": "Print each step once.",
}
_REFUSED_HINT = "print the score as it trains, the first before any step, of text that is not trained on."


@dataclass(frozen=True)
class Training:
    """What came of running a trainer."""

    #: The command, with placeholders for the files that are gone after it.
    command: tuple[str, ...]
    #: How it ended, or why it did not start.
    ended: Ended | str
    scores: Scores
    lr: float | None
    #: What it was given to train on; None where its command takes none.
    corpus: Corpus | None
    #: Where it dumped its tensors; None where its command takes no such folder.
    dumps: Path | None


def judged(
    cell: Cell, trainer: Trainer, training: Training, control: Curve | None, config: Config
) -> Judgement:
    """What the curve and the end of the process say.

    Args:
        cell: A cell, a control or a negative control.
        trainer: What trained it.
        training: What came of it.
        control: The curve of its float32 cell in bits; None judges by the absolute lines alone.
        config: How it was trained, and the limits.
    """
    known = trainer.known_format(trainer.format_of(cell))
    bits, lossless = (None, False) if known is None else (known.bits, known.lossless)
    ended, curve = training.ended, training.scores.curve
    if isinstance(ended, str):
        return Judgement(Verdict.CRASHED, "not-started", f"{ended}.")
    diverged = any(not math.isfinite(score) for _, score in curve)
    at = (
        f"; at step {curve[-1][0]:,} it printed {plain(f'{curve[-1][1]:.4g}')}"
        if curve
        else "; it had printed no score"
    )
    if not diverged and ended.status is None:
        said = f"no end after {ended.limit:g} s{at}; it was ended with its children."
        return Judgement(Verdict.TIMEOUT, "no-end", said, hint=_TIMEOUT_HINT)
    if not diverged and ended.status:
        said = f"it {_ended(ended.status)}{at}{_of_control(cell, trainer, ended.output)}."
        return Judgement(Verdict.CRASHED, "failed", said)
    if not curve:
        said = f"it printed no score: {training.scores.missing} ({ended.lines:,} line{'s' * (ended.lines != 1)})."
        return Judgement(Verdict.REJECTED, "no-score", said)
    horizon = config.steps if trainer.uses("steps") else control[-1][0] if control else None
    rules = replace(rules_of(trainer, cell, training.scores, config), horizon=horizon)
    try:
        run = run_of(curve)
        beside = None if control is None else run_of([(s, score / rules.in_bits) for s, score in control])
        found = judge_run(run, rules, beside, bits=bits, lossless=True)
        same = None if beside is None or lossless or cell.kind != "trainer" else compared(run, beside)
    except CurveError as error:
        said = str(error)
        for option, here in _OPTIONS.items():
            said = said.replace(option, here)
        return Judgement(Verdict.REJECTED, "refused", said, hint=_REFUSED_HINT, curve=tuple(curve))
    if found.verdict is Verdict.UNJUDGED:
        return replace(found, verdict=Verdict.REJECTED, hint=_STOPPED_HINT)
    if found.verdict.passes and trainer.uses("steps") and _stopped(curve, config.steps):
        said = (
            f"its scores end at step {curve[-1][0]:,} of {config.steps:,}, far less than that apart before."
        )
        return replace(found, verdict=Verdict.REJECTED, shape="ended-early", because=said, hint=_STOPPED_HINT)
    if found.verdict.passes and found.gap is not None and found.gap < -IMPLAUSIBLE_LEAD * rules.scale:
        said = f"it ends {-found.gap:.2f} below its float32 control: numbers of fewer bits learn no better."
        return replace(found, verdict=Verdict.FAULTY, because=said, cause="implausible")
    if control and found.initial is not None and found.initial > OFF_SCALE * control[0][1]:
        found = replace(found, hint=_OFF_SCALE_HINT.format(found.initial, control[0][1]))
    if same is None or same.steps < ENOUGH_STEPS or same.most > _EQUAL or found.verdict is Verdict.DIVERGED:
        return found
    said = f"equal to its float32 control in all {same.decimals} decimals that it prints, at {same.steps:,} steps."
    if same.decimals < ENOUGH_DECIMALS or (bits or 0) > FEW_BITS:
        more = (
            "" if same.decimals >= ENOUGH_DECIMALS else " Print more decimals: so few do not tell them apart."
        )
        return replace(found, warnings={"no-op": said + more})
    return replace(
        found, verdict=Verdict.NO_OP, shape="identical", because=said, cause="no-op", hint=NO_OP_HINT
    )


def _stopped(curve: Sequence[Sample], steps: int) -> bool:
    """Whether scores end long before the last step, measured by the longest interval between them."""
    longest = max(after - before for (before, _), (after, _) in pairwise(curve))
    return curve[-1][0] + _INTERVALS * longest < steps


#: Of a failed control, the lines that its message quotes, and the characters of each.
_LAST_LINES, _LONGEST = 3, 200
#: Of scores in nats that were turned into bits and back, below any decimal that is printed.
_EQUAL = 1e-12


def _of_control(cell: Cell, trainer: Trainer, output: str) -> str:
    """The last lines of a failed control, whose output no test shows, and the key that names its format."""
    if cell.kind == "trainer":
        return ""
    lines = [line.strip()[:_LONGEST] for line in output.splitlines() if line.strip()][-_LAST_LINES:]
    wrote = f"; it last wrote: {' | '.join(lines)}".rstrip(".") if lines else ""
    word = trainer.format_of(cell)
    return f'{wrote}; its format was {word!r}: where the trainer calls float32 otherwise, set control = "..."'


def _ended(status: int) -> str:
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def rules_of(trainer: Trainer, cell: Cell, scores: Scores, config: Config) -> Rules:
    """What the curves of a trainer are held against: lines in proportion to its chance, unless the run has its own."""
    limits = None if config.limits == DEFAULT_LIMITS else config.limits
    return Rules(trainer.chance, scores.unit, limits=limits, tolerance=tolerance(trainer, cell))


def tolerance(trainer: Trainer, cell: Cell) -> float:
    """How far behind its control a cell may end, in bits: as `quantgate judge` has it, 4 bits' where unknown."""
    known = trainer.known_format(trainer.format_of(cell))
    bits = None if known is None else known.bits
    return gap_tolerance(4 if bits is None else bits, cell.optimizer, cell.lane) * Rules(trainer.chance).scale
