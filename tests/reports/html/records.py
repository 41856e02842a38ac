"""Runs to be drawn: some cells as the gate records them, and as many as a nightly matrix has."""

from __future__ import annotations

from quantgate.records.cell import Cell
from quantgate.records.result import CellResult
from quantgate.records.run import RunRecord
from quantgate.records.verdict import Verdict
from quantgate.reports.story import Story, tell
from tests.examples import learning, make_result

OPTIMIZERS = ("adamw", "muon", "sgd", "lion", "rmsprop", "adafactor")
_WEIGHTS = [
    {
        "tensor": f"blocks.0.{name}.weight",
        "step": 99,
        "rms": 0.125,
        "changed": 1.0,
        "snr": 22.1234567,
        "zeros": 0.01,
    }
    for name in ("qkv", "proj", "up", "down")
]


def control(optimizer: str, seed: int = 47, width: int = 64) -> CellResult:
    return learning(
        Cell("fp32", "control", optimizer, seed, width), bpb=5.0, curve=((0, 7.02), (50, 5.6), (100, 5.0))
    )


def few() -> Story:
    """Three formats under three optimizers: one is dead under all of them, one lags under one, with a baseline."""
    results = []
    for optimizer in OPTIMIZERS[:3]:
        results += [
            make_result(
                Cell("mylib_int4", "format", optimizer, 47),
                source="src/mylib/quant.py:12",
                test=f"tests/test_lowbit.py::test_learns[mylib_int4-{optimizer}-s47]",
                evidence={**make_result().evidence, "weights": _WEIGHTS},
                baseline={"change": "regressed", "because": "it learned", "curve": [[0, 7.03], [100, 5.2]]},
            ),
            learning(Cell("int8", "format", optimizer, 47), evidence={"weights": _WEIGHTS}),
            learning(
                Cell("gf4", "format", optimizer, 47), evidence={"warnings": {"scale-zero": "a row of 0."}}
            ),
        ]
    lost = ((0, 7.0), (50, 7.4), (100, None))
    results[-1] = make_result(
        results[-1].cell, verdict=Verdict.DIVERGED, cause="non-finite", bpb=None, curve=lost
    )
    run = RunRecord(
        "finished", 1, planned=9, ran=9, judged=9, matrix=9, subjects=("mylib_int4", "int8", "gf4"),
        optimizers=OPTIMIZERS[:3], options=("--quantgate-steps=100",), finished="2026-11-25T12:00:00Z",
    )  # fmt: skip
    negative = make_result(Cell("dead-body", "negative-control", "adamw", 47))
    return tell(results, [*map(control, OPTIMIZERS[:3]), negative], run)


def many(formats: int) -> Story:
    """Formats under six optimizers, three seeds and two widths; the first is dead."""
    variants = [(o, s, w) for o in OPTIMIZERS for s in (47, 89, 123) for w in (64, 128)]
    results = []
    for place in range(formats):
        for optimizer, seed, width in variants:
            cell = Cell(f"format_{place}", "format", optimizer, seed, width)
            bpb = 5.0 + place / 1000
            curve = tuple(
                (step, round(7 - (7 - bpb) * step / 100 + seed / 1e5, 6)) for step in range(0, 101, 20)
            )
            weights = [{**each, "snr": 20 + place / 7, "gain": 1 - seed / 1e4} for each in _WEIGHTS * 2]
            make = make_result if place == 0 else learning
            results.append(
                make(
                    cell, bpb=bpb, curve=curve, gap=place / 1000, evidence={"weights": weights[:7], "bits": 4}
                )
            )
    subjects = tuple(f"format_{place}" for place in range(formats))
    count = len(results)
    run = RunRecord("finished", 1, count, count, count, 0, count, subjects=subjects, optimizers=OPTIMIZERS)
    return tell(results, [control(*each) for each in variants], run)
