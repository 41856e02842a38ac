"""The result of a cell whose worker died: nothing but the name of its test came back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from quantgate.plugin.process.watchdog import where_it_stood
from quantgate.records.cell import CONTROL_KINDS, Cell
from quantgate.records.result import CellResult
from quantgate.records.verdict import Verdict
from quantgate.reports.text import printable

if TYPE_CHECKING:
    import pytest

    from quantgate.plugin.session import GateSession


def lost(session: GateSession, cell: Cell, report: pytest.TestReport) -> tuple[CellResult, str | None]:
    """The result of such a cell, and the built-in control that its worker died in, if it was one, in a sentence."""
    said = str(report.longrepr).strip().splitlines() if report.longrepr else []
    because = printable(said[0]) if said else "no message"
    worker = getattr(getattr(report, "node", None), "workerinput", {}).get("workerid", "")
    death = session.folder.died_in(worker) if worker else None
    if death is None:
        return session.unmeasured(cell, Verdict.CRASHED, because), None
    doing, log = death
    if doing.kind in CONTROL_KINDS:
        died = f"worker died while it trained the {doing.kind.replace('-', ' ')} {doing}"
        is_builtin = doing.optimizer not in session.registry.registered_optimizers()
        result = session.unmeasured(cell, Verdict.UNJUDGED, f"its {died}")
        return result, f"a {died}" if is_builtin else None
    if not log:
        return session.unmeasured(cell, Verdict.CRASHED, because), None
    stood = where_it_stood(log, str(Path(__file__).parents[1]))
    because = (
        f"{cell}: no end, and no answer to what else would end it; its worker was ended"
        f"{f' (at {printable(stood)})' if stood else ''}"
    )
    return session.unmeasured(cell, Verdict.TIMEOUT, because), None
