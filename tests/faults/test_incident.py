"""The incident: its table, the fleet's quantizers on exact values, and how a replay is shown."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
import torch

from quantgate.faults.fleet import FLEET, FLEET_RATES, REPORT, Reported
from quantgate.faults.incident import Outcome, Row, to_markdown, to_text
from quantgate.formats import BUILTIN
from quantgate.records.verdict import Verdict

#: The table of the bug report as it was handed down.
TABLE = """\
format,optimizer,best_bpb,reported
posit8,adamw,6.9903,dead
posit8,muon,4.8115,partial
int8,adamw,6.9926,dead
int8,muon,5.4015,partial
int4,adamw,6.9703,dead
int4,muon,2.8440,learns
uint8,adamw,7.0000,dead
gf32,adamw,6.9610,dead
gf8,adamw,7.0000,dead
gf4,muon,7.0124,dead
mxfp8,muon,6.9780,dead
nf4,adamw,6.9860,dead
nf4,muon,7.0552,dead
gf256,adamw,2.5719,learns
posit16,muon,2.6251,learns
fp16,adamw,2.6691,learns
"""


def test_the_table_is_the_bug_reports() -> None:
    rows = [
        Reported(row["format"], row["optimizer"], float(row["best_bpb"]), row["reported"])
        for row in csv.DictReader(io.StringIO(TABLE))
    ]

    assert len(rows) == 16
    assert list(REPORT) == rows


def test_every_row_has_a_quantizer_a_codec_and_a_rate() -> None:
    formats = {row.format for row in REPORT}

    assert formats == set(FLEET)
    assert formats <= set(BUILTIN)
    assert {row.optimizer for row in REPORT} == set(FLEET_RATES)


def quantized(name: str, *values: float) -> list[float]:
    result: list[float] = FLEET[name].fake_quantize(torch.tensor(values)).tolist()
    return result


@pytest.mark.parametrize(
    ("name", "given", "stored"),
    [
        # gf8 flushes below 1/8, keeps 4 bits of fraction and ends at 15.5
        ("gf8", (0.12499, -0.1, 0.125, -0.13, 1.03, 40.0), (0.0, 0.0, 0.125, -0.1328125, 1.0, 15.5)),
        # uint8 has 255 steps of amax / 255 above 0, and nothing below
        ("uint8", (255.0, 100.4, 0.4, -0.6, -255.0), (255.0, 100.0, 0.0, 0.0, 0.0)),
        # signed integers have an amax scale
        ("int8", (127.0, 0.4, -0.6, -127.0), (127.0, 0.0, -1.0, -127.0)),
        ("int4", (7.0, 0.4, -0.6, -7.0), (7.0, 0.0, -1.0, -7.0)),
        # masks round the fraction: 4, 3, 2 and 10 bits of it; ties go away from 0
        (
            "posit8",
            (1.03, 1.03125, -1.04, 2**-20 * 1.04, 100.0),
            (1.0, 1.0625, -1.0625, 2**-20 * 1.0625, 64.0),
        ),
        ("mxfp8", (1.06, 1.0625, -1.07, 1e3), (1.0, 1.125, -1.125, 448.0)),
        ("gf4", (1.12, 1.125, -1.13, 0.01, 9.0), (1.0, 1.25, -1.25, 0.009765625, 3.0)),
        ("fp16", (1 + 2**-11, 1 + 2**-12, -1.0, 1e5), (1 + 2**-10, 1.0, -1.0, 65504.0)),
        ("posit16", (1 + 2**-11, 1 + 2**-12, 1e5), (1 + 2**-10, 1.0, 100032.0)),
        ("gf32", (1 + 2**-19, 1 + 2**-20, -1e-30), (1 + 2**-18, 1.0, -1.000000008e-30)),
        # a table without absmax: its own values, its ends beyond them, 0 for what is below half of its least
        ("nf4", (0.03, -0.04, 0.06, 5.0, -5.0), (0.0, 0.0, 0.07958029955625534, 1.0, -1.0)),
        # an unknown name was float32
        ("gf256", (1 + 2**-23, 1e-30), (1 + 2**-23, 1e-30)),
    ],
)
def test_the_fleets_quantizers(name: str, given: tuple[float, ...], stored: tuple[float, ...]) -> None:
    assert quantized(name, *given) == pytest.approx(stored, rel=1e-6, abs=0)


@pytest.mark.parametrize(
    ("name", "bits"), [("posit8", 4), ("mxfp8", 3), ("gf4", 2), ("fp16", 10), ("gf32", 18)]
)
def test_masks_clear_the_rest_of_the_fraction_and_are_idempotent(name: str, bits: int) -> None:
    x = torch.randn(4096, generator=torch.Generator().manual_seed(0)).clamp(-2.5, 2.5)  # below gf4's largest
    q = FLEET[name].fake_quantize(x)

    assert not (q.view(torch.int32) & ((1 << (23 - bits)) - 1)).any()
    assert torch.equal(FLEET[name].fake_quantize(q), q)
    assert ((q - x).abs() <= x.abs() * 2.0 ** -(bits + 1)).all()


@pytest.mark.parametrize("name", sorted(FLEET))
def test_the_fleets_quantizers_leave_their_input_and_pass_the_gradient(name: str) -> None:
    x = torch.linspace(-0.9, 0.9, 64).requires_grad_()
    given = x.detach().clone()
    q = FLEET[name].fake_quantize(x)
    q.sum().backward()  # type: ignore[no-untyped-call]

    assert torch.equal(x.detach(), given)
    assert x.grad is not None
    assert torch.equal(x.grad, torch.ones_like(x))


LEARNS = Outcome(5.2, Verdict.LEARNS, 5.19)
DEAD = Outcome(
    7.004,
    Verdict.DEAD,
    5.82,
    ("sign-lost", "update-swallowed"),
    "0% of a|b keeps its sign.",
    ("update-swallowed: 1% survives.",),
)
SAMPLE = (
    Row(Reported("uint8", "adamw", 7.0, "dead"), DEAD, LEARNS),
    Row(Reported("gf32", "adamw", 6.961, "dead"), Outcome(5.82, Verdict.LEARNS, 5.82), LEARNS),
    Row(Reported("int4", "muon", 2.844, "learns"), Outcome(None, Verdict.CRASHED, None), LEARNS),
)


def test_markdown() -> None:
    lines = to_markdown(SAMPLE).splitlines()

    assert lines[:5] == [
        "| format | optimizer | reported | replayed | causes | mended | because |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| uint8 | adamw | 7.00 dead | 7.00 dead | sign-lost, update-swallowed | 5.20 learns "
        "| 0% of a\\|b keeps its sign. Also update-swallowed: 1% survives. |",
        "| gf32 | adamw | 6.96 dead | 5.82 learns * |  | 5.20 learns |  |",
        "| int4 | muon | 2.84 learns | crashed * |  | 5.20 learns |  |",
    ]


def test_text() -> None:
    lines = to_text(SAMPLE).splitlines()

    assert lines[:6] == [
        "format  optimizer  reported     replayed       causes                       mended",
        "uint8   adamw      7.00 dead    7.00 dead      sign-lost, update-swallowed  5.20 learns",
        "    0% of a|b keeps its sign.",
        "    also update-swallowed: 1% survives.",
        "gf32    adamw      6.96 dead    5.82 learns *                               5.20 learns",
        "int4    muon       2.84 learns  crashed *                                   5.20 learns",
    ]


@pytest.mark.parametrize("render", [to_markdown, to_text])
def test_both_say_what_the_figures_are_and_what_they_leave_open(render: object) -> None:
    assert callable(render)
    text = render(SAMPLE)

    assert "100 steps of adamw, 200 steps of muon" in text
    assert "float32 controls: adamw mended 5.19, adamw replayed 5.82, muon mended 5.19\n" in text
    assert "Marked *: gf32 x adamw dead in the report, and learns" in text
    assert "Marked *: int4 x muon learns in the report, and crashed" in text
    assert "does not learn" not in text


def test_a_control_that_does_not_learn_is_said() -> None:
    text = to_text([Row(REPORT[0], replace(DEAD, control=6.5), LEARNS)])

    assert "The control of adamw replayed does not learn on this corpus: those cells say nothing." in text
