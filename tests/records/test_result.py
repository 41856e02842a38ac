"""The record of a cell, its line, its name and its message."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from quantgate.records.cell import Cell
from quantgate.records.result import CellResult, canon_name, explain, jsonable, to_line, with_shard
from quantgate.records.verdict import Limits, Verdict
from tests.examples import learning, make_cell, make_result


def test_the_message_is_designs_sample() -> None:
    assert make_result().message() == (
        "mylib_int4 x adamw: 6.94 BPB after 100 steps (limit 6.50, chance 7.00; control 5.09).\n"
        "Cause: gradient-blocked: the gradient is 0 for 7 of 7 weights where the reference straight-through "
        "estimator's is not.\n"
        "Hint: round() has no gradient; use x + (q(x) - x).detach(). `quantgate explain gradient-blocked`"
    )


def test_a_lagging_cell_names_its_verdict_and_tolerance() -> None:
    result = make_result(bpb=5.5, verdict=Verdict.LAGS, cause=None, evidence={"tolerance": 0.15})

    assert result.message() == (
        "mylib_int4 x adamw: lags: 5.50 BPB after 100 steps "
        "(limit 6.50, chance 7.00; control 5.09, tolerance 0.15)."
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"verdict": Verdict.DIVERGED, "bpb": None}, "diverged: non-finite BPB after 100 steps"),
        ({"verdict": Verdict.DIVERGED, "bpb": math.nan}, "diverged: non-finite BPB after 100 steps"),
        ({"verdict": Verdict.DIVERGED, "bpb": 61.234}, "diverged: 61.23 BPB after 100 steps"),
        ({"verdict": Verdict.NO_OP, "bpb": 5.09}, "no-op: 5.09 BPB after 100 steps"),
        ({"verdict": Verdict.PARTIAL, "bpb": 6.6}, "6.60 BPB after 100 steps"),
    ],
)
def test_verdicts_that_have_a_score(changes: dict[str, Any], message: str) -> None:
    result = make_result(cause=None, **changes)

    assert result.message() == f"mylib_int4 x adamw: {message} (limit 6.50, chance 7.00; control 5.09)."


@pytest.mark.parametrize(
    ("verdict", "following"),
    [
        (Verdict.REJECTED, ""),
        (Verdict.CRASHED, "\nNext: call it alone on such a float32 tensor, or `quantgate doctor` it."),
        (
            Verdict.TIMEOUT,
            "\nNext: look for a loop that does not end; a slow machine may raise pytest-timeout's `timeout`.",
        ),
        (Verdict.UNJUDGED, ""),
    ],
)
def test_verdicts_without_a_score(verdict: Verdict, following: str) -> None:
    result = make_result(bpb=None, bpb_control=None, verdict=verdict, cause=None, evidence={})

    assert result.message() == f"mylib_int4 x adamw: {verdict}.{following}"


@pytest.mark.parametrize("verdict", [Verdict.CRASHED, Verdict.TIMEOUT, Verdict.UNJUDGED])
def test_why_there_is_no_score_is_said(verdict: Verdict) -> None:
    result = make_result(bpb=None, verdict=verdict, cause=None, evidence={"because": "KeyError: 'scale'"})

    assert result.message().splitlines()[0] == f"mylib_int4 x adamw: {verdict}: KeyError: 'scale'"


def test_what_is_not_the_default_is_said() -> None:
    cell = make_cell(seed=89, width=128, storage="inplace", scope="weights+activations")

    assert make_result(cell, cause=None).message(Limits(fail_bpb=6.0)) == (
        "mylib_int4 x adamw, seed 89, width 128, in place, weights+activations: 6.94 BPB after 100 steps "
        "(limit 6.00, chance 7.00; control 5.09)."
    )


def test_other_causes_and_state_and_seeds_are_said() -> None:
    result = make_result(
        cause="resolution",
        hint=None,
        evidence={"also": ["sign-lost: half of it.", "no-op: none."], "state": "it keeps state (scale)."},
        seeds={"47": 6.51, "89": None, "123": 6.4},
    )

    assert result.message().splitlines()[1:] == [
        "Cause: resolution.",
        "Also: sign-lost: half of it. no-op: none.",
        "Hint: scale by the mean instead of the maximum, scale per row or block, or take more bits. "
        "`quantgate explain resolution`",
        "A close call, judged by the median of its seeds: seed 47: 6.51, seed 89: non-finite, seed 123: 6.40.",
        "Note: it keeps state (scale).",
    ]


def test_explain_and_message_agree() -> None:
    assert explain(make_result(), Limits()) == make_result().message()


def test_a_record_reads_back_as_the_result() -> None:
    result = make_result(shard="2/8", seeds={"47": 6.94})

    assert CellResult.from_record(json.loads(to_line(result))) == result


def test_a_record_has_designs_keys_in_their_order() -> None:
    keys = (
        "subject kind format optimizer seed width steps lr storage scope bpb_initial bpb bpb_control gap verdict "
        "cause hint evidence curve seconds corpus environment quantgate canon_name shard"
    )

    assert " ".join(make_result().to_record()).startswith(keys)


def test_a_line_is_one_line_of_strict_json() -> None:
    result = make_result(
        bpb=math.nan,
        gap=math.inf,
        evidence={"because": "n\n\u2028", "snr": -math.inf, "weights": ({"zeros": math.nan},)},
        curve=((0, 7.0), (1, math.nan)),
    )

    line = to_line(result)
    record = json.loads(line, parse_constant=pytest.fail)

    assert line.isascii()
    assert len(line.splitlines()) == 1
    assert (record["bpb"], record["gap"]) == (None, None)
    assert record["evidence"] == {"because": "n\n\u2028", "snr": None, "weights": [{"zeros": None}]}
    assert record["curve"] == [[0, 7.0], [1, None]]
    assert record["verdict"] == "dead"


def test_scores_keep_their_last_bit() -> None:
    bpb = math.nextafter(5.1, 6)

    assert json.loads(to_line(learning(bpb=bpb)))["bpb"] == bpb


def test_keys_of_later_versions_are_left_out() -> None:
    record = make_result().to_record()

    assert CellResult.from_record({**record, "energy": 3}) == make_result()


def without(*keys: str) -> dict[str, Any]:
    return {key: value for key, value in make_result().to_record().items() if key not in keys}


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (without("seconds"), "seconds missing; was it cut in mid-line?"),
        (without("curve", "verdict"), "verdict, curve missing; was it cut in mid-line?"),
        ({**make_result().to_record(), "curve": None}, "'NoneType' object is not iterable"),
        ({**make_result().to_record(), "curve": [[0, 7.0], [20]]}, "not enough values to unpack (expected 2, got 1)"),
        ({**make_result().to_record(), "verdict": "alive"}, "'alive' is not a valid Verdict"),
        (None, "NoneType, not an object"),
        ([], "list, not an object"),
        ("dead", "str, not an object"),
    ],
)  # fmt: skip
def test_a_malformed_record_is_refused(record: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r"^not a result record") as caught:
        CellResult.from_record(record)

    assert str(caught.value) == f"not a result record: {message}"


def test_a_record_without_shard_and_seeds_is_whole() -> None:
    assert CellResult.from_record(without("shard", "seeds")) == make_result()


def test_a_result_knows_its_cell() -> None:
    cell = Cell("gf8", "format", "muon", 1597, 128, "inplace", "weights+activations")

    assert make_result(cell).cell == cell


def test_the_canonical_name_follows_the_fleets() -> None:
    assert (
        canon_name(Cell("gf8", "format", "muon", 89, 128), 5e-3)
        == "IGLA-TIER1-GATE-gf8-h128-LR0.005-rng89-muon"
    )
    assert (
        canon_name(Cell("gf8", "format", "muon", 89), None) == "IGLA-TIER1-GATE-gf8-h64-LRdefault-rng89-muon"
    )


def test_a_shard_marks_a_copy() -> None:
    result = make_result()

    assert with_shard(result, "2/8").shard == "2/8"
    assert result.shard is None


def test_jsonable_leaves_json_as_it_is() -> None:
    value = {"a": [1, 2.5, None, True, "x"], "b": {"c": []}}

    assert jsonable(value) == value
    assert jsonable({1: (Verdict.DEAD,)}) == {"1": ["dead"]}
    assert type(jsonable(Verdict.DEAD)) is str


# beside what was known


def test_a_baseline_and_a_known_failure_survive_a_record() -> None:
    result = make_result(baseline={"change": "regressed", "bpb": 5.0}, known={"reason": "r"})

    assert CellResult.from_record(result.to_record()) == result
    assert CellResult.from_record({**make_result().to_record(), "known": None}).known is None
    with pytest.raises(ValueError, match=r"^not a result record: baseline is 3$"):
        CellResult.from_record({**result.to_record(), "baseline": 3})


@pytest.mark.parametrize(
    ("baseline", "known", "regressed"),
    [
        (None, None, False),
        ({"change": "same"}, None, False),
        ({"change": "regressed"}, None, True),
        ({"change": "regressed"}, {"reason": "r"}, False),
        ({}, None, False),
    ],
)
def test_what_is_known_to_fail_does_not_regress(
    baseline: dict[str, str] | None, known: dict[str, str] | None, regressed: bool
) -> None:
    assert make_result(baseline=baseline, known=known).regressed is regressed


# what a record does not state


@pytest.mark.parametrize(
    ("changes", "chance"),
    [
        ({}, 7.0),
        ({"kind": "trainer", "corpus": {}, "evidence": {"chance": 15.6}}, 15.6),
        ({"kind": "trainer", "corpus": {}}, None),
        ({"kind": "trainer", "corpus": {}, "evidence": []}, None),
    ],
    ids=["of the gate", "of a trainer", "of a log", "of no use"],
)
def test_an_older_record_has_the_chance_that_it_was_judged_by(
    changes: dict[str, Any], chance: float | None
) -> None:
    record = {**make_result().to_record(), **changes}
    del record["chance"]

    if isinstance(record["evidence"], list):
        with pytest.raises(ValueError, match="not a result record: evidence is"):
            CellResult.from_record(record)
    else:
        assert CellResult.from_record(record).chance == chance


def test_a_seed_that_is_not_known_is_no_part_of_a_name() -> None:
    logged = CellResult.from_record({**make_result().to_record(), "seed": None, "width": None, "steps": None})

    assert (logged.seed, logged.width, logged.steps) == (None, None, None)
    assert (logged.cell.id, str(logged.cell)) == ("mylib_int4-adamw", "mylib_int4 x adamw")
    assert logged.cell != make_cell()
    assert logged.cell.control.id == "fp32-adamw"


def test_a_message_of_another_vocabulary_has_its_chance() -> None:
    assert "(limit 6.50, chance 15.62; control 5.09)." in make_result(chance=15.617).message()
    assert "(limit 6.50; control 5.09)." in make_result(chance=None).message()
