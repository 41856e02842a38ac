"""Is a run valid, and is what fails in it accepted? Controls must learn, negative controls must fail."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from quantgate.plan.known_failures import KnownFailures
from quantgate.plan.settings import Settings
from quantgate.records.cell import Cell
from quantgate.records.result import CellResult
from quantgate.records.verdict import in_bits

#: The causes of a control that are its optimizer's.
_OPTIMIZERS = frozenset({"optimizer-state", "orphaned-parameter"})
#: Options with which a user can keep even float32 from learning.
_USERS_OWN = ("steps", "lr", "corpus", "device", "fail_bpb", "widths")


def unlearned(controls: Sequence[CellResult]) -> dict[Cell, str]:
    """The float32 controls that do not learn, each with the sentence that says so.

    The cells of such a control prove nothing; those of other optimizers, seeds and widths do.
    """
    return {
        result.cell: f"the float32 control of {result.cell} does not learn ({result.verdict}, {_score(result)})"
        f"{_at_rate(result)}{_because(result)}"
        for result in controls
        if result.kind == "control" and not result.verdict.passes
    }


def invalid_reasons(controls: Sequence[CellResult]) -> tuple[str, ...]:
    """Why no cell of a run with these controls proves anything; empty if the run is valid.

    Either none of the float32 controls learns, or a negative control does not fail beside one that does.
    """
    failed = unlearned(controls)
    learned = {
        (each.optimizer, each.seed) for each in controls if each.kind == "control" and each.cell not in failed
    }
    reasons = [] if learned else list(failed.values())
    for result in controls:
        beside = not learned or (result.optimizer, result.seed) in learned
        if result.kind != "negative-control" or not beside:
            continue
        if result.verdict.passes:
            reasons.append(
                f"the negative control {result.cell}, broken on purpose, learns ({_score(result)})"
            )
        elif not result.verdict.judged:
            reasons.append(
                f"the negative control {result.cell} proves nothing ({result.verdict}){_because(result)}"
            )
    return tuple(reasons)


def broken_trainers(controls: Sequence[CellResult]) -> dict[str, tuple[str, ...]]:
    """The foreign trainers whose controls prove nothing of their cells, each with the reasons.

    Where one of several controls does not learn, the cells of the others are judged: that is said, and no reason.
    """
    trainers = dict.fromkeys(each.cell.trainer for each in controls if each.cell.trainer is not None)
    found = {trainer: reasons_of(controls, trainer) for trainer in trainers}
    return {trainer: reasons for trainer, reasons in found.items() if reasons}


def reasons_of(controls: Sequence[CellResult], trainer: str | None) -> tuple[str, ...]:
    """Why no cell of a foreign trainer, or of the gate itself (None), proves anything; empty where they do.

    Where a trainer's control does not learn, that its broken one does not either says no more.
    """
    own = [each for each in controls if each.cell.trainer == trainer]
    if trainer is None:
        return invalid_reasons(own)
    failed = unlearned(own)
    return invalid_reasons(
        [each for each in own if each.kind == "control" or each.cell.control not in failed]
    )


def advice(failed: Sequence[CellResult], *, beside_others: bool) -> str:
    """What a user mends who keeps these controls from learning: the optimizer that a probe found at fault, or its rate.

    Args:
        failed: The controls.
        beside_others: Whether those of other cells learn.
    """
    found = [each.cause in _OPTIMIZERS for each in failed]
    if not beside_others:
        wrong, mend = (
            ("a registered optimizer keeps", "it") if all(found) else ("the options of this run keep", "them")
        )
        return f"{wrong} even float32 from learning; mend {mend} first"
    mend = "give the optimizer a rate at which float32 learns (lr=)"
    if any(found):
        mend = "mend the optimizer"
        mend += (
            "" if all(found) else ", and where none is blamed, give it a rate at which float32 learns (lr=)"
        )
    return f"its cells are not judged, the others are; {mend}"


def is_users_doing(
    controls: Sequence[CellResult], settings: Settings, registered_optimizers: Collection[str]
) -> bool:
    """Whether the user's own rate, steps, corpus or optimizer may keep each of these controls from learning."""
    failed = [each for each in controls if each.kind == "control" and not each.verdict.passes]
    if any(name in settings.given for name in _USERS_OWN):
        return bool(failed)
    return bool(failed) and all(each.optimizer in registered_optimizers for each in failed)


def unsaid(results: Sequence[CellResult], known: KnownFailures, said: Collection[Cell]) -> list[str]:
    """The cells that the records fail and no test did, in sentences; empty where there are none.

    A test may catch the assertion, never make it, or be marked `xfail` or `skip`: the one way to accept a failure is
    the file of known failures.

    Args:
        results: Of the cells, without the controls.
        known: The known failures.
        said: The cells of tests that failed.
    """
    silent = [each for each in results if each.cell not in said and not _accepted(each, known)]
    failing = [each for each in silent if each.verdict.judged and not each.verdict.passes]
    healed = [each for each in silent if each.verdict.passes and known.get(each.cell.id) is not None]
    regressed = [each for each in silent if each.verdict.passes and each.regressed and each not in healed]
    sentences = []
    if failing:
        sentences.append(
            f"a cell does not learn and no test said so: {_named(failing)}; the records decide, whatever a test "
            "catches or is marked with: accept a failure in the file of known failures"
        )
    if healed:
        sentences.append(
            f"a known failure learns now and no test said so: {_named(healed)}; take it out of its file"
        )
    if regressed:
        sentences.append(
            f"a cell regressed against the baseline and no test said so: {_named(regressed)}; where it is meant, "
            "`quantgate baseline accept`"
        )
    return sentences


def _named(results: Sequence[CellResult]) -> str:
    named = ", ".join(f"{each.cell} ({each.verdict})" for each in results[:3])
    return f"{named} and {len(results) - 3} more" if len(results) > 3 else named


def _accepted(result: CellResult, known: KnownFailures) -> bool:
    """Whether it passes, or fails as it is known to; a known failure that passes is not accepted either."""
    expected = known.get(result.cell.id)
    if expected is None:
        return result.verdict.passes and not result.regressed
    return expected.excuses(result)


def _score(result: CellResult) -> str:
    return "no score" if result.bpb is None else f"{in_bits(result.bpb)} BPB"


def _at_rate(result: CellResult) -> str:
    return "" if result.lr is None else f" at a rate of {result.lr:g}"


def _because(result: CellResult) -> str:
    said = result.cell.trainer is not None or not result.verdict.judged or result.cause in _OPTIMIZERS
    return f": {str(result.evidence.get('because')).rstrip('.')}" if said else ""
