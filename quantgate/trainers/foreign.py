"""Run the cells and controls of a foreign trainer."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from quantgate.corpus import Corpus, load
from quantgate.gate.folder import RunFolder
from quantgate.records.cell import Cell, Config
from quantgate.records.result import CellResult, unmeasured
from quantgate.records.verdict import Curve, Verdict
from quantgate.subjects.registry import Registry
from quantgate.subjects.trainers import NEGATIVE, Trainer
from quantgate.trainers.assess import assess
from quantgate.trainers.curve import Training
from quantgate.trainers.process import Ended, run
from quantgate.trainers.scores import Scores

#: Of the time that a cell has, what is left to record how it ended: at most so many seconds, and this share.
_MARGIN, _SHARE = 2.0, 0.25


@dataclass(frozen=True)
class ForeignGate:
    """Trains and judges the cells of trainers from elsewhere under one configuration; never twice.

    Args:
        config: How cells are trained and judged.
        registry: Where the trainers are.
        folder: Where the corpus and the dumps are written.
        seconds: Says how long what is trained now may take.
    """

    config: Config
    registry: Registry
    folder: RunFolder
    seconds: Callable[[], float]

    def negative_controls(self, cells: Sequence[Cell], unlearned: Collection[Cell] = ()) -> tuple[Cell, ...]:
        """The first control that learns, broken as its trainer says; none where it says nothing."""
        controls = [cell.control for cell in cells if cell.control not in unlearned]
        if not controls or not self.registry.trainer(controls[0]).negative:
            return ()
        return (replace(controls[0], subject=f"{controls[0].trainer}:{NEGATIVE}", kind="negative-control"),)

    def control(self, cell: Cell) -> CellResult:
        """Train the float32 cell of a cell, and judge its curve by the absolute lines."""
        return self._train(cell.control, None)

    def negative(self, cell: Cell, control: Curve | None) -> CellResult:
        """Train a negative control; one that said nothing of its learning has not failed as it should."""
        result = self._train(cell, control)
        return replace(result, verdict=Verdict.UNJUDGED) if result.verdict is Verdict.REJECTED else result

    def run(self, cell: Cell, control_of: Callable[[Cell], Curve]) -> CellResult:
        """Train and judge a cell."""
        return self._train(cell, control_of(cell))

    def examine(self, cell: Cell) -> CellResult:
        """That a trainer cannot be asked without a training."""
        because = "a trainer has a curve, and no quantizer that could be asked without one: ask assert_learns() of it"
        return unmeasured(cell, Verdict.UNJUDGED, because, self.config)

    def _train(self, cell: Cell, control: Curve | None) -> CellResult:
        trainer = self.registry.trainer(cell)
        lr = self._rate(trainer, cell)
        scores = Scores(trainer.pattern)
        limit = self.seconds()
        with self._dumps(trainer) as dumps:
            values = self._values(trainer, cell, lr, dumps)
            command = trainer.arguments(values)
            ended: Ended | str
            try:
                ended = run(command, trainer.folder, limit - min(_MARGIN, _SHARE * limit), scores.take)
            except OSError as error:
                ended = _not_started(command[0], trainer.folder, error)
            # What the run's folder held is gone with it: in the record its placeholders stand for it.
            said = trainer.arguments({**values, "corpus": "{corpus}", "weights": "{weights}"})
            training = Training(
                tuple(said), ended, scores, lr, self._corpus if trainer.uses("corpus") else None, dumps
            )
            return assess(cell, trainer, training, control, self.config)

    def _rate(self, trainer: Trainer, cell: Cell) -> float | None:
        if not trainer.uses("lr"):
            return None
        if cell.kind == "negative-control" and "lr" in trainer.negative:
            return float(trainer.negative["lr"])
        return trainer.rate(cell.optimizer, cell.width) if self.config.lr is None else self.config.lr

    def _values(self, trainer: Trainer, cell: Cell, lr: float | None, dumps: Path | None) -> dict[str, str]:
        values = {
            "format": trainer.format_of(cell),
            "optimizer": cell.optimizer,
            "seed": str(cell.seed),
            "steps": str(self.config.steps),
            "width": str(cell.width),
            "lr": f"{lr:g}" if lr is not None else "",
            "weights": str(dumps or ""),
            "corpus": str(self._text) if trainer.uses("corpus") else "",
        }
        return {**values, **trainer.negative} if cell.kind == "negative-control" else values

    @contextmanager
    def _dumps(self, trainer: Trainer) -> Iterator[Path | None]:
        """An empty folder for one training, where the trainer dumps."""
        if not trainer.uses("weights"):
            yield None
            return
        folder = Path(tempfile.mkdtemp(prefix="weights-", dir=self.folder.path))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @cached_property
    def _corpus(self) -> Corpus:
        return load(self.config.corpus)

    @property
    def _text(self) -> Path:
        corpus = self._corpus
        return self.folder.text(f"corpus-{corpus.sha256[:16]}.txt", corpus.train + corpus.heldout)


def _not_started(program: str, folder: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        where = f"in {str(folder)!r}" if "/" in program else "on the PATH"
        return f"its program {program!r} does not exist {where}; build it first, or correct its command"
    return f"its program {program!r} cannot be started: {error.strerror}; is it built for this machine, and executable?"
