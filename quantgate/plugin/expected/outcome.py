"""What a test says of a cell that is not as it should be."""

from __future__ import annotations

from collections.abc import Iterable

from quantgate.plan.known_failures import KnownFailure
from quantgate.plan.settings import Settings
from quantgate.records.result import CellResult
from quantgate.records.verdict import Limits, Verdict, in_bits
from quantgate.reports.baseline import regression
from quantgate.reports.results import FILE_NAME
from quantgate.reports.words.commands import Files, out_of_known

#: Characters of a reason behind the name of a test: where the variable CI is set, pytest cuts no line at the terminal.
_LONGEST = 120


def complaint(result: CellResult, known: KnownFailure | None, limits: Limits, files: Files) -> str | None:
    """Why the test of a cell fails: it does not learn, it regressed, or it is not the failure that it is known as.

    Args:
        result: The cell, beside its baseline.
        known: The entry of the known failures that speaks for it.
        limits: The lines that it was judged by.
        files: What commands that follow name.

    Returns:
        None where it passes, or fails as it is known to.
    """
    if known is None:
        said = [] if result.verdict.passes else [result.message(limits)]
        return "\n".join([*said, *([regression(result, files)] if result.regressed else [])]) or None
    if result.verdict.passes:
        still = f"{result.cell}: a known failure ({known}) that learns now; {_way_out(result, known, files)}"
        return "\n".join([still, *([regression(result, files)] if result.regressed else [])])
    if known.is_over:
        return (
            f"a known failure until {known.until}, which has passed ({known}): mend it, or give the entry "
            f"{known.pattern!r} another date.\n{result.message(limits)}"
        )
    if not known.excuses(result):
        return f"a known failure by another cause than {known.cause!r}.\n{result.message(limits)}"
    return None


def fewer_judged(results: Iterable[CellResult], judged: int, planned: int) -> str:
    """That fewer cells were judged than were planned; those that are red without a score are named beside it."""
    verdicts = [each.verdict for each in results]
    lost = {"crashed": verdicts.count(Verdict.CRASHED), "did not end": verdicts.count(Verdict.TIMEOUT)}
    named = ", ".join(f"{count} {what}" for what, count in lost.items() if count)
    return f"{judged} of {planned} planned cells were judged{f' ({named})' if named else ''}"


def files_of(settings: Settings) -> Files:
    """The files of a run, as its options name them."""
    results = None if settings.report is None else settings.report / FILE_NAME
    named = (results, settings.baseline, settings.known_failures)
    return Files(*(None if path is None else str(path) for path in named))


def in_short(result: CellResult, known: KnownFailure | None) -> str:
    """`dead 7.09: gradient-blocked`: the verdict and the cause of a cell whose test fails, the most telling first."""
    seen = str(result.verdict) if result.bpb is None else f"{result.verdict} {in_bits(result.bpb)}"
    if result.verdict.passes:
        return f"regressed: {seen}" if known is None else f"{seen}: no failure any more"
    because = result.cause or _clause(result)
    seen += f": {because}" if because else ""
    if known is None:
        return seen
    return f"{seen}, known until {known.until}" if known.is_over else f"{seen}, known for {known.cause}"


def _clause(result: CellResult) -> str:
    """What of a reason fits into a line; why a run is invalid is said at its end, once for all of its cells."""
    because = str(result.evidence.get("because") or "")
    if result.verdict is Verdict.UNJUDGED:
        because = because.partition(": ")[0]
    return because if len(because) <= _LONGEST else f"{because[: _LONGEST - 3]}..."


def _way_out(result: CellResult, known: KnownFailure, files: Files) -> str:
    if known.is_pattern:
        return f"narrow the pattern {known.pattern!r} in the file of known failures, or take it out."
    command = out_of_known(files)
    return f"take {result.cell.id!r} out of the file of known failures{f': {files.then(command)}' if command else ''}."
