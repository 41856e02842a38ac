"""The cells of a run that a command is about, and the day on which it is given."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

from quantgate.baselines.document import Baseline, MissingBaselineError, read
from quantgate.records.result import CellResult


def matching(results: Iterable[CellResult], only: Sequence[str] | None) -> list[CellResult]:
    """The results whose ids match one of these patterns, all without any.

    Raises:
        ValueError: A pattern matches none.
    """
    found = list(results)
    for pattern in only or ():
        if not any(fnmatchcase(each.cell.id, pattern) for each in found):
            near = difflib.get_close_matches(pattern, [each.cell.id for each in found], n=1, cutoff=0.4)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"--only {pattern!r} matches no cell of the results{hint}")
    return [each for each in found if not only or any(fnmatchcase(each.cell.id, pattern) for pattern in only)]


#: What makes the two kinds of files.
MAKES_BASELINE = "pytest -m lowbit --quantgate-baseline FILE --quantgate-update-baseline makes it"
_MAKES_RESULTS = "a run writes it: pytest -m lowbit --quantgate-report FOLDER"


def baseline_of(path: Path) -> Baseline:
    """A baseline, or the results of a run in its place.

    Raises:
        BaselineError: It is not there, or cannot be read.
    """
    try:
        return read(path)
    except MissingBaselineError as error:
        raise MissingBaselineError(f"{error}; {MAKES_BASELINE}") from None


def results_of(path: Path) -> list[CellResult]:
    """The cells of a run's `results.jsonl`, or of a baseline in its place.

    Raises:
        BaselineError: It is not there, or cannot be read.
    """
    try:
        return [entry.result for entry in read(path, "results").entries.values()]
    except MissingBaselineError as error:
        raise MissingBaselineError(f"{error}; {_MAKES_RESULTS}") from None


def reason_of(text: str) -> str:
    """A reason that was given.

    Raises:
        ValueError: It says nothing.
    """
    if not text.strip():
        raise ValueError("--reason is empty; say why this is accepted")
    return text.strip()


def today() -> str:
    """The day, in UTC."""
    return datetime.now(UTC).date().isoformat()
