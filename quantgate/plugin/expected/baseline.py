"""The baseline of a run: read before anything is trained, and written by the controller alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from quantgate.baselines.compare import compare
from quantgate.baselines.document import Baseline, BaselineError, MissingBaselineError, is_kept, read, write
from quantgate.plan.settings import Settings
from quantgate.plugin.expected.outcome import files_of
from quantgate.records.cell import Cell
from quantgate.records.result import CellResult
from quantgate.reports.baseline import section
from quantgate.reports.blocks.line import Line
from quantgate.reports.results import FILE_NAME
from quantgate.reports.text import printable

if TYPE_CHECKING:
    from quantgate.plugin.session import GateSession


def open_baseline(settings: Settings) -> Baseline | None:
    """The baseline that the options name; an empty one where this run is to make it, None where none is named.

    Raises:
        BaselineError: It is not there, cannot be read, or cannot be this run's.
    """
    path, update = settings.baseline, settings.update_baseline
    if path is None:
        if update:
            raise BaselineError("update-baseline needs a file to write: --quantgate-baseline FILE")
        return None
    if settings.report is not None and path.resolve() == (settings.report / FILE_NAME).resolve():
        raise BaselineError(
            f"baseline {str(path)!r} is what this run writes its report to; give one of them another place"
        )
    try:
        baseline = read(path)
    except MissingBaselineError as error:
        if update:
            return Baseline({})
        raise BaselineError(f"{error}; --quantgate-update-baseline makes it of this run") from None
    if update and baseline.is_report:
        raise BaselineError(
            f"baseline {str(path)!r} holds the results of a run, which are not updated; name another file to write"
        )
    return baseline


class BaselineKeeper:
    """The controller's side of a baseline: compares, and writes it where that is asked for."""

    def __init__(self, session: GateSession) -> None:
        self._session = session
        self._written: str | None = None

    def update(self, results: Iterable[CellResult]) -> list[str]:
        """Write the cells of a valid run into the baseline, where that is asked for; what went wrong, in sentences.

        Cells that this run did not judge stay as they are.
        """
        settings = self._session.settings
        if settings.baseline is None or not settings.update_baseline:
            return []
        try:
            before = open_baseline(settings) or Baseline({})
            judged = [each for each in results if is_kept(each)]
            after = before.updated(judged)
            write(settings.baseline, after)
        except BaselineError as error:
            return [str(error)]
        kept = len(after.entries) - len(judged)
        cells = f"{len(judged)} cell{'s' * (len(judged) != 1)}"
        self._written = f"baseline: {cells} written to {settings.baseline}, {kept} others kept"
        return []

    def uncompared(self, results: Iterable[CellResult]) -> list[str]:
        """That the baseline, which the run is to be held against, says nothing of its cells; in a sentence."""
        baseline = self._session.baseline
        why = None if baseline is None else compare(baseline, results).nothing_compared
        return [] if why is None else [why]

    def section(self, results: Sequence[CellResult], offered: Collection[Cell]) -> list[Line]:
        """What is said of the baseline below the table."""
        if self._session.settings.update_baseline:
            said = self._written or "baseline: not written, since this run proves nothing"
            return [[(printable(said), {})]]
        baseline = self._session.baseline
        if baseline is None:
            return []
        planned = {*self._session.matrix_ids, *(cell.id for cell in offered)}
        found = compare(baseline, results, planned)
        return section(found.results, found.gone, found.not_comparable, files_of(self._session.settings))
