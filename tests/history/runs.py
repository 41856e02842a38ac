"""Runs that nobody trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from quantgate.history.run import Run
from quantgate.records.cell import Cell, Config, Kind
from quantgate.records.result import CellResult, unmeasured
from quantgate.records.verdict import Verdict

#: The first day of the history.
BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
ENVIRONMENT = {"torch": "2.13.0", "numpy": "2.4", "python": "3.11", "cpu": "x", "threads": 1, "device": "cpu"}


def result(
    bpb: float | None = 5.22,
    verdict: str = "learns",
    cause: str | None = None,
    *,
    subject: str = "int8",
    kind: Kind = "format",
    environment: Mapping[str, Any] = ENVIRONMENT,
    **fields: Any,
) -> CellResult:
    """The result of a cell that ends at a score."""
    because = "round() has no gradient" if cause else ""
    base = unmeasured(Cell(subject, kind, "adamw", 47), Verdict(verdict), because, Config())
    curve = () if bpb is None else ((0, 7.02), (50, None), (100, bpb))
    measured = {"bpb": bpb, "cause": cause, "curve": curve, "environment": environment}
    given: Any = {**measured, "corpus": {"name": "builtin", "sha256": "ab" * 32}, **fields}
    return replace(base, **given)


CELLS = (
    result(),
    result(7.09, "dead", "gradient-blocked", subject="int4"),
    result(None, "crashed", subject="nf4"),
    result(5.2, subject="fp32", kind="control"),
    result(7.0, "dead", subject="dead-body", kind="negative-control"),
)


def run(
    *results: CellResult,
    day: float = 0,
    sha: str | None = "a" * 40,
    branch: str | None = "main",
    exit_status: int = 0,
) -> Run:
    """A run that ended some days after the first."""
    made = Run.now(results or CELLS, exit_status, sha, branch)
    return replace(made, ended=BEGUN + timedelta(days=day))
