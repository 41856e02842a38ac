"""The incident: its table, the fleet's quantizers on exact values, and the causes that a replay names."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
import torch

from quantgate.corpus import CorpusError
from quantgate.faults.fleet import FLEET, FLEET_RATES, REPORT, Reported
from quantgate.faults.incident import Outcome, Row, replay, replayed, to_markdown, to_text
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

#: The causes that hold for each format of the fleet, likeliest first; none where it learned.
CAUSES = {
    "posit8": ("update-swallowed",),
    "int8": ("update-swallowed",),
    "int4": ("update-swallowed",),
    "gf4": ("update-swallowed",),
    "mxfp8": ("update-swallowed",),
    "uint8": ("sign-lost", "update-swallowed"),
    "gf8": ("range-collapsed", "update-swallowed"),
    "nf4": ("range-collapsed", "update-swallowed"),
    "gf256": ("no-op",),
    "gf32": (),
    "posit16": (),
    "fp16": (),
}


def test_the_table_is_the_bug_reports() -> None:
    rows = [
        Reported(row["format"], row["optimizer"], float(row["best_bpb"]), row["reported"])
        for row in csv.DictReader(io.StringIO(TABLE))
    ]

    assert len(rows) == 16
    assert list(REPORT) == rows


def test_every_row_has_a_quantizer_a_codec_and_a_rate() -> None:
    formats = {row.format for row in REPORT}

    assert formats == set(FLEET) == set(CAUSES)
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


@pytest.fixture(scope="module")
def rows() -> dict[str, Row]:
    """Every format of the report under AdamW, trained as the fleet did and as this package does."""
    cells = {row.format: replace(row, optimizer="adamw") for row in REPORT}
    done = replay(jobs=2, cells=tuple(cells.values()))
    assert [row.reported for row in done] == list(cells.values())
    return {row.reported.format: row for row in done}


@pytest.mark.parametrize("name", sorted(name for name, causes in CAUSES.items() if causes))
def test_the_replay_names_the_cause_of_each_broken_cell(rows: dict[str, Row], name: str) -> None:
    outcome = rows[name].replayed
    expected = CAUSES[name]

    assert outcome.verdict is (Verdict.NO_OP if name == "gf256" else Verdict.DEAD)
    assert outcome.causes[0] == expected[0]
    assert set(expected) <= set(outcome.causes)
    assert outcome.because
    assert {said.partition(":")[0] for said in outcome.also} == set(outcome.causes[1:])


@pytest.mark.parametrize("name", sorted(name for name, causes in CAUSES.items() if not causes))
def test_the_replay_of_a_wide_format_learns(rows: dict[str, Row], name: str) -> None:
    outcome = rows[name].replayed

    assert outcome.verdict is Verdict.LEARNS
    assert outcome.causes == ()


def test_the_unknown_name_has_its_controls_curve(rows: dict[str, Row]) -> None:
    outcome = rows["gf256"].replayed

    assert outcome.bpb == outcome.control
    assert not rows["gf256"].contradicts


@pytest.mark.parametrize("name", sorted(FLEET))
def test_the_mended_cell_learns(rows: dict[str, Row], name: str) -> None:
    outcome = rows[name].mended

    assert outcome.verdict is Verdict.LEARNS
    assert outcome.causes == ()


def test_int8_is_dead_with_muon_too_where_its_control_learns() -> None:
    outcome = replayed(Reported("int8", "muon", 5.4015, "partial"))

    assert outcome.control is not None
    assert outcome.control < 6.3
    assert outcome.verdict is Verdict.DEAD
    assert outcome.causes == ("update-swallowed",)


def test_what_the_workers_raise_comes_through() -> None:
    with pytest.raises(CorpusError, match="no_such_corpus"):
        replay(jobs=1, corpus="no_such_corpus", cells=REPORT[:1])
    with pytest.raises(ValueError, match="at least one process"):
        replay(jobs=0)


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
