"""Cells and results that tests of several modules start from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from quantgate.records.cell import Cell
from quantgate.records.result import CellResult, canon_name
from quantgate.records.verdict import Verdict

#: The cell of DESIGN.md's sample.
CELL = Cell("mylib_int4", "format", "adamw", 47)


def make_cell(**changes: Any) -> Cell:
    """The sample's cell with these changes."""
    return replace(CELL, **changes)


def make_result(cell: Cell = CELL, **changes: Any) -> CellResult:
    """The result of DESIGN.md's sample, of this cell, with these changes."""
    result = CellResult(
        subject=cell.subject,
        kind=cell.kind,
        format=cell.subject,
        optimizer=cell.optimizer,
        seed=cell.seed,
        width=cell.width,
        steps=100,
        lr=2e-4,
        storage=cell.storage,
        scope=cell.scope,
        bpb_initial=7.03,
        bpb=6.94,
        bpb_control=5.09,
        gap=1.85,
        verdict=Verdict.DEAD,
        cause="gradient-blocked",
        hint="round() has no gradient; use x + (q(x) - x).detach().",
        evidence={
            "because": "the gradient is 0 for 7 of 7 weights where the reference straight-through "
            "estimator's is not."
        },
        curve=((0, 7.03), (50, 7.01), (100, 6.94)),
        seconds=0.5,
        corpus={"name": "builtin", "sha256": "ab" * 32},
        environment={"torch": "2.13.0", "threads": 1},
        quantgate="0.1.0",
        canon_name=canon_name(cell, 2e-4),
    )
    return replace(result, **changes)


def learning(cell: Cell = CELL, **changes: Any) -> CellResult:
    """A result of this cell that learns."""
    healthy: dict[str, Any] = {
        "bpb": 5.1,
        "gap": 0.01,
        "verdict": Verdict.LEARNS,
        "cause": None,
        "hint": None,
        "evidence": {},
        "curve": ((0, 7.03), (100, 5.1)),
    }
    return make_result(cell, **{**healthy, **changes})


#: Texts that mean something to a browser, to Markdown, to a terminal, to a reader of mixed scripts, to a workflow's
#: runner or to a template, and must not where they are shown.
HOSTILE = (
    "<script>window.hurt = 1</script>",
    "</script></style></title><img src=x onerror='window.hurt = 1'>",
    '"><svg onload=window.hurt=1>',
    "]]> & &lt; --> <!--",
    "\x1b[31mred\x1b]0;title\x07\x9b1m",
    "\u202egnp.exe\u2066\u200f\ufeff",
    "::error file=a,line=1::hurt",
    "  ::stop-commands::hurt",
    "a ##[error]hurt ##[set-env name=A]b",
    "x\n::add-mask::hurt\r\n::error::hurt",
    "`|` [x](javascript:window.hurt=1) ![x](https://hurt.example/x.png) ``| a",
    "@everyone #12 https://hurt.example www.hurt.example a@hurt.example",
    "**b** __b__ ~~s~~ <details> $x$ \\",
    "{{ 7 * 7 }}{% raw %}{# #}",
    "\ud800 \x00 \u2028 \u2029",
    "%0A::error::hurt%25",
    "name,with:marks",
    "long" * 500,
)


def hostile_results() -> list[CellResult]:
    """Failing cells with such texts in every place that a record has for text."""
    return [
        make_result(
            Cell(text, "format", other, 47),
            cause=text,
            hint=text,
            unexcused={"why": "cause", "cause": text, "until": text},
            test=f"tests/test_x.py::test_learns[{text}]",
            source=f"{other}:12",
            corpus={"name": text, "sha256": text},
            environment={"cpu": text, text: 1},
            evidence={
                "because": text,
                "warnings": {text: text},
                "waived": {text: text},
                "not_measured": {text: text},
                "output": f"{text}\n{text}",
                text: [text],
                "weights": [{"tensor": text, "step": 1, "snr": 1.0, text: text}],
            },
        )
        for text, other in zip(HOSTILE, reversed(HOSTILE), strict=True)
    ]
