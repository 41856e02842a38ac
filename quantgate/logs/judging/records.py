"""Judgements as the records of a run: the same fields, for what was trained elsewhere."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from quantgate.logs.aggregate import Run
from quantgate.logs.judging.judge import Judgement
from quantgate.logs.judging.rules import Rules
from quantgate.records.cell import CONTROL_FORMAT, Cell
from quantgate.records.result import CellResult
from quantgate.records.version import __version__


def to_result(
    run: Run, found: Judgement, control: Run | None, rules: Rules, kind: str = "trainer"
) -> CellResult:
    """The record of a run and its judgement; None stands for what the log does not state, and for an assumed chance."""
    key = run.key
    missing = [role for role in ("format", "optimizer", "seed", "width") if not getattr(key, role)]
    last = None if control is None else control.stretches[-1].mean
    evidence = {
        "because": found.because,
        "shape": found.shape,
        "best": found.best,
        "samples": run.samples,
        **({"control": control.key.label} if control is not None else {}),
        **({"sha": key.sha} if key.sha else {}),
        **({"run": key.run} if key.run else {}),
        **({"not_logged": missing} if missing else {}),
        **({"warnings": dict(found.warnings)} if found.warnings else {}),
    }
    return CellResult(
        subject=CONTROL_FORMAT if kind == "control" else key.format or key.name or "?",
        kind=kind,
        format=key.format,
        optimizer=key.optimizer or "?",
        seed=_whole(key.seed),
        width=_whole(key.width),
        steps=run.last_step or None,  # a table of best scores has no steps
        lr=_real(key.lr),
        storage="master",
        scope="weights",
        bpb_initial=found.initial,
        bpb=found.final,
        bpb_control=None if last is None else last * rules.in_bits,
        gap=found.gap,
        verdict=found.verdict,
        cause=found.cause,
        hint=found.hint,
        evidence={name: value for name, value in evidence.items() if value not in ("", None)},
        curve=found.curve,
        seconds=0.0,
        corpus={},
        environment={},
        quantgate=__version__,
        canon_name=key.label,
        chance=rules.chance if rules.known else None,
    )


def told_apart(results: Sequence[CellResult]) -> tuple[CellResult, ...]:
    """The same results; those that share a cell of the table (other rates, other lanes) carry what tells them apart."""
    shared = Counter(result.cell for result in results)
    rates: dict[Cell, set[float | None]] = defaultdict(set)
    for result in results:
        rates[result.cell].add(result.lr)
    return tuple(
        result
        if shared[result.cell] == 1
        else replace(
            result,
            subject=f"{result.subject} lr {result.lr:g}"
            if result.lr is not None and len(rates[result.cell]) == shared[result.cell]
            else result.canon_name,
        )
        for result in results
    )


def _whole(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _real(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
