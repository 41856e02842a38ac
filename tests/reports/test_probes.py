"""The probes of an examination in words."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from quantgate.diagnosis.causes import CAUSES
from quantgate.diagnosis.diagnose import diagnose
from quantgate.diagnosis.evidence import (
    Conformity,
    Evidence,
    Finding,
    LearnedScale,
    RelationEvidence,
    RoundingEvidence,
    TensorEvidence,
)
from quantgate.reports.probes import PROBES, probe_lines

HEAD = TensorEvidence(
    tensor="head", step=0, rms=0.125, changed=1.0, gain=1.01, snr=40.42, zeros=0.01, negatives_kept=1.0,
    positives_kept=1.0, saturated=0.001, reference_gradient=2.0, gradient=2.0, gradient_cosine=1.0,
    gradient_zeros=0.0, blocked_unclipped=0.0,
)  # fmt: skip
EMBED = replace(HEAD, tensor="embed", changed=0.5, gain=0.99, snr=38.0, zeros=0.02, gradient=1.5)
HEALTHY = Evidence(
    inputs=(replace(HEAD, tensor="N(0, 1)"),),
    weights=(HEAD, EMBED),
    rounding=RoundingEvidence(0.5, 0.49, 0.0, 0.0),
    scale_follows=4.0,
)


def said(evidence: Evidence, *findings: Finding) -> dict[str, tuple[str, str]]:
    return {name: (text, status) for name, text, status in probe_lines(evidence, findings)}


def test_a_healthy_one_in_words() -> None:
    assert probe_lines(HEALTHY, ()) == [
        ("contract", "shape, dtype, input and seed respected", "ok"),
        ("all-zero input", "finite", "ok"),
        ("values change", "100% of head", "ok"),
        ("finite", "every loss, gradient and weight", "ok"),
        ("gradient reaches", "2 of 2 tensors", "ok"),
        ("gradient direction", "cosine 1.000 at head", "ok"),
        ("gradient size", "0.75 to 1 times the reference", "ok"),
        ("edge of the range", "0.0% lost at head", "ok"),
        ("output scale", "0.99 times the input at embed", "ok"),
        ("sign", "100% of negatives kept at head", "ok"),
        ("zeros", "2% at embed", "ok"),
        ("signal to noise", "38.0 dB at embed", "ok"),
        ("scale follows", "4 of 4", "ok"),
        ("rounding", "threshold at 0.50 and 0.49 of the bin", "ok"),
        ("repeatable", "under one torch seed", "ok"),
    ]


def test_what_was_measured_elsewhere_is_said_where_it_was() -> None:
    lines = said(
        replace(
            HEALTHY, update_survival=0.913, optimizer_cosine=0.98, table_error=0.00012, export_differs=0.0,
            learned=(LearnedScale("s", 1.0, 1.0, True),), rounding=RoundingEvidence(0.5, None, 0.5, 0.25),
        )
    )  # fmt: skip

    assert {name: text for name, (text, _) in lines.items() if name not in said(HEALTHY)} == {
        "stored updates": "91.3% survive",
        "optimizer state": "agreement 0.98",
        "learned scales": "1 trained",
        "table": "0.0001 from the published one",
        "export": "0.0% differ",
    }
    assert lines["rounding"] == ("threshold at 0.50 of the bin, 25% vary with the seed", "ok")


def test_what_was_not_measured_is_not_said() -> None:
    assert set(said(Evidence(optimizer_cosine=math.nan))) == {"finite"}
    assert "gradient size" not in said(Evidence(weights=(replace(HEAD, reference_gradient=0.0),)))


def test_the_inputs_speak_where_there_are_no_weights() -> None:
    assert said(Evidence(inputs=(replace(HEAD, tensor="N(0, 1)"),)))["zeros"] == ("1% at N(0, 1)", "ok")


def test_a_finding_fails_its_probe_with_its_sentence() -> None:
    lines = said(HEALTHY, Finding("sign-lost", "no negatives."), Finding("sign-lost", "later."))

    assert lines["sign"] == ("sign-lost: no negatives.", "FAULT")
    assert all(status == "ok" for name, (_, status) in lines.items() if name != "sign")


def test_a_breach_of_contract_is_all_that_is_said() -> None:
    evidence = Evidence(contract="returns a \x1b[1mlist.")

    assert probe_lines(evidence, diagnose(evidence, bits=8)) == [
        ("contract", "contract: returns a \\x1b[1mlist.", "FAULT")
    ]


def test_a_crash_is_said_alone_and_state_beside_it() -> None:
    assert probe_lines(Evidence(crash="KeyError: no\n", state="it keeps state."), ()) == [
        ("crash", "KeyError: no\\n", "FAULT"),
        ("state", "it keeps state.", "ok"),
    ]


def test_every_cause_has_one_probe() -> None:
    asked = [cause for probe in PROBES for cause in probe.causes]

    assert len(set(asked)) == len(asked)
    assert set(asked) == set(CAUSES) - {"unexplained", "implausible"}  # these are seen in a curve


@pytest.mark.parametrize(
    "cause", sorted({cause for probe in PROBES for cause in probe.causes} - {"resolution"})
)
def test_every_finding_fails_one_line(cause: str) -> None:
    lines = probe_lines(HEALTHY, [Finding(cause, "bad.")])

    assert [text for _, text, status in lines if status == "FAULT"] == [f"{cause}: bad."]


def test_a_gradient_that_is_blocked_has_neither_direction_nor_size() -> None:
    blocked = replace(HEAD, gradient=0.0, gradient_cosine=1.0)
    finding = Finding("gradient-blocked", "the gradient is 0 for 2 of 2 weights.")
    lines = said(replace(HEALTHY, weights=(blocked, blocked)), finding)

    assert lines["gradient reaches"][1] == "FAULT"
    assert {"gradient direction", "gradient size"} & lines.keys() == set()
    assert said(replace(HEALTHY, weights=(blocked, EMBED)))["gradient direction"] == (
        "cosine 1.000 at embed", "ok",
    )  # fmt: skip


# numbers beyond the line of their rules


@pytest.mark.parametrize(
    ("changes", "probe", "text"),
    [
        ({"gradient_cosine": 0.001}, "gradient direction", "cosine 0.001 at head"),
        ({"gradient": 4e-8}, "gradient size", "2 x 10^-8 to 0.75 times the reference"),
        ({"gradient": 200.0}, "gradient size", "0.75 to 100 times the reference"),
        ({"gradient_zeros": 0.4, "blocked_unclipped": 0.5}, "edge of the range", "20.0% lost at head"),
        ({"gain": 5.0}, "output scale", "5 times the input at head"),
        ({"gain": 1711.2}, "output scale", "1,710 times the input at head"),
        ({"gain": 0.01}, "output scale", "0.01 times the input at head"),
        ({"negatives_kept": 0.0}, "sign", "0% of negatives kept at head"),
        ({"positives_kept": 0.3}, "sign", "30% of positives kept at head"),
        ({"zeros": 0.97}, "zeros", "97% at head"),
        ({"snr": -60.7}, "signal to noise", "-60.7 dB at head"),
    ],
)
def test_a_hopeless_number_of_a_tensor_is_never_in_order(changes: Any, probe: str, text: str) -> None:
    evidence = replace(HEALTHY, weights=(replace(HEAD, **changes), EMBED))
    other = Finding("wrong-table", "other values.")

    assert dict_of(evidence, other)[probe] == (f"{text}: see wrong-table", "warn")
    assert dict_of(evidence)[probe] == (f"{text}: unusual, and no rule judges it here", "warn")


@pytest.mark.parametrize(
    ("changes", "probe", "text"),
    [
        ({"scale_follows": 1.0}, "scale follows", "1 of 4"),
        ({"scale_follows": 16.0}, "scale follows", "16 of 4"),
        (
            {"rounding": RoundingEvidence(0.0, 1.0, 0.0, 0.0)},
            "rounding",
            "threshold at 0.00 and 1.00 of the bin",
        ),
        ({"table_error": 0.3}, "table", "0.3000 from the published one"),
        ({"export_differs": 0.25}, "export", "25.0% differ"),
        ({"conformity": Conformity("int8", 3, 10, ())}, "conforms", "7 of 10 values are int8's"),
        (
            {"relations": RelationEvidence(falls=0.1)},
            "order of values",
            "10% of the steps fall as the input rises",
        ),
        (
            {"relations": RelationEvidence(misplaced=0.5)},
            "place of scales",
            "50% change where halves trade places",
        ),
    ],
)
def test_a_hopeless_number_of_a_quantizer_is_never_in_order(changes: Any, probe: str, text: str) -> None:
    assert dict_of(replace(HEALTHY, **changes), Finding("sign-lost", "no negatives."))[probe] == (
        f"{text}: see sign-lost",
        "warn",
    )


def test_noise_is_judged_by_the_bits() -> None:
    noisy = replace(HEALTHY, weights=(replace(HEAD, snr=6.0),))

    marks = {bits: {name: mark for name, _, mark in probe_lines(noisy, (), bits)} for bits in (None, 2, 4, 8)}
    assert {bits: found["signal to noise"] for bits, found in marks.items()} == {
        None: "ok", 2: "ok", 4: "ok", 8: "warn",
    }  # fmt: skip


def dict_of(evidence: Evidence, *findings: Finding) -> dict[str, tuple[str, str]]:
    return {name: (text, mark) for name, text, mark in probe_lines(evidence, findings, 8)}
