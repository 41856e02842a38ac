"""Is a run valid? Its controls must learn, and its negative controls must fail."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from quantgate.plan.settings import Settings
from quantgate.records.result import CellResult

#: Options with which a user can keep even float32 from learning.
_USERS_OWN = ("steps", "lr", "corpus", "device", "fail_bpb", "widths")


def invalid_reasons(controls: Sequence[CellResult]) -> tuple[str, ...]:
    """Why a run with these controls and negative controls is invalid; empty if it is valid."""
    reasons = []
    for result in controls:
        score = "no score" if result.bpb is None else f"{result.bpb:.2f} BPB"
        because = "" if result.verdict.judged else f": {result.evidence.get('because')}"
        if result.kind == "control" and not result.verdict.passes:
            reasons.append(
                f"the float32 control of {result.cell} does not learn ({result.verdict}, {score}){because}"
            )
        if result.kind == "negative-control" and result.verdict.passes:
            reasons.append(f"the negative control {result.cell}, broken on purpose, learns ({score})")
        elif result.kind == "negative-control" and not result.verdict.judged:
            reasons.append(f"the negative control {result.cell} proves nothing ({result.verdict}){because}")
    return tuple(reasons)


def is_users_doing(
    controls: Sequence[CellResult], settings: Settings, registered_optimizers: Collection[str]
) -> bool:
    """Whether the user's own rate, steps, corpus or optimizer may keep these controls from learning."""
    failed = [each for each in controls if each.kind == "control" and not each.verdict.passes]
    if not failed:
        return False
    given = any(name in settings.given for name in _USERS_OWN)
    return given or any(each.optimizer in registered_optimizers for each in failed)
