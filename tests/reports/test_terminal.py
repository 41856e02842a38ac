"""The table and what stands below it, compared as whole texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from textwrap import dedent

import pytest

from quantgate.diagnosis.causes import CAUSES
from quantgate.records.cell import Cell
from quantgate.records.result import CellResult
from quantgate.records.verdict import DEFAULT_LIMITS, Limits, Verdict
from quantgate.reports.blocks.failing import failures
from quantgate.reports.blocks.line import Line, colour, fold
from quantgate.reports.blocks.table import table
from quantgate.reports.terminal import Counts, close_calls, control_line
from quantgate.reports.text import printable
from tests.examples import learning, make_result


def cell(subject: str = "int4", optimizer: str = "adamw", seed: int = 47, width: int = 64) -> Cell:
    return Cell(subject, "format", optimizer, seed, width)


def control(optimizer: str, seed: int = 47, width: int = 64) -> CellResult:
    return learning(cell("fp32", optimizer, seed, width).control, bpb=5.0)


def lagging(where: Cell, **changes: object) -> CellResult:
    return make_result(
        where,
        bpb=5.6,
        verdict=Verdict.LAGS,
        cause="sign-lost",
        hint=CAUSES["sign-lost"].hint,
        **{"evidence": {"because": "0% of the negatives keep their sign."}, **changes},
    )


def text(lines: Sequence[Line]) -> str:
    return "\n".join("".join(piece for piece, _ in line) for line in lines)


def block(lines: str) -> str:
    return dedent(lines).strip("\n")


# the table


def test_formats_go_down_and_optimizers_across() -> None:
    results = [
        learning(cell("int4", "adamw"), bpb=5.1),
        lagging(cell("int4", "muon")),
        make_result(cell("mylib.quant:int4@4", "adamw"), bpb=61.2, verdict=Verdict.DIVERGED),
        make_result(cell("mylib.quant:int4@4", "muon"), bpb=None, verdict=Verdict.CRASHED),
    ]

    assert text(table(results, [control("adamw"), control("muon")], DEFAULT_LIMITS)) == block("""
        BPB after 100 steps on builtin: below 6.50 passes, 6.90 is dead, 7.00 is chance
                            adamw           muon
        (float32 control)   5.00 learns     5.00 learns
        int4                5.10 learns     5.60 lags
        mylib.quant:int4@4  61.20 diverged  crashed
    """)


def test_what_is_not_the_default_has_rows_of_its_own() -> None:
    results = [
        learning(cell(seed=89)),
        learning(cell(width=128)),
        learning(replace(cell(optimizer="sgd"), storage="inplace")),
        learning(replace(cell(optimizer="sgd"), scope="weights+activations")),
    ]
    controls = [control("adamw", 89), control("adamw", width=128), control("sgd")]

    assert text(table(results, controls, Limits(6.0, 6.2))) == block("""
        BPB after 100 steps on builtin: below 6.00 passes, 6.20 is dead, 7.00 is chance
                                adamw        sgd
        (float32 control) s89   5.00 learns
        (float32 control) w128  5.00 learns
        (float32 control)                    5.00 learns
        int4 s89                5.10 learns
        int4 w128               5.10 learns
        int4 inplace                         5.10 learns
        int4 wa                              5.10 learns
    """)


OPTIMIZERS = ("adamw", "muon", "sgd", "lion", "rmsprop", "adafactor")
LONG = "mylib.quantizers.experimental:fake_quantize_int4_group128@4"


def test_many_optimizers_stand_in_groups_that_fit_the_width() -> None:
    results = [learning(cell(LONG, name)) for name in OPTIMIZERS] + [learning(cell("int8", "lion"))]
    results[0] = replace(results[0], evidence={"warnings": {"scale-zero": "NaN for zeros"}})
    lines = text(table(results, [control(name) for name in OPTIMIZERS], DEFAULT_LIMITS))

    assert max(map(len, lines.splitlines())) <= 80
    assert lines == block("""
        BPB after 100 steps on builtin: below 6.50 passes, 6.90 is dead, 7.00 is chance
                           adamw          muon         sgd          lion
        (float32 control)  5.00 learns    5.00 learns  5.00 learns  5.00 learns
        mylib.quantizers.experimental:fake_quantize_int4_group128@4
                           5.10 learns !  5.10 learns  5.10 learns  5.10 learns
        int8                                                        5.10 learns

                           rmsprop      adafactor
        (float32 control)  5.00 learns  5.00 learns
        mylib.quantizers.experimental:fake_quantize_int4_group128@4
                           5.10 learns  5.10 learns
        ! passes with a warning, which stands below
    """)


def test_a_wide_screen_has_one_group() -> None:
    results = [learning(cell("int4", name)) for name in OPTIMIZERS]

    assert len(table(results, [], DEFAULT_LIMITS, width=120)) == 3
    assert len(table(results, [], DEFAULT_LIMITS, width=10)) == 3 * len(OPTIMIZERS)


def test_sentences_are_folded_for_a_screen_and_commands_stay_whole() -> None:
    line: Line = [("  Hint: ", {"red": True}), ("use x + (q(x) - x). `quantgate explain dead`", {})]

    assert fold(line, 80) == [line]
    assert text(fold(line, 40)) == block("""
        .  Hint: use x + (q(x) - x).
        .    `quantgate explain dead`
    """).replace(".  ", "  ")
    assert fold(line, 40)[0][0] == ("  Hint: ", {"red": True})
    assert fold([("a " * 30, {"red": True})], 30)[-1][0][1] == {"red": True}


def test_negative_controls_have_no_row() -> None:
    negative = make_result(replace(cell("dead-body").control, subject="dead-body", kind="negative-control"))

    assert "dead-body" not in text(table([learning(cell())], [negative], DEFAULT_LIMITS))


def test_without_results_there_is_no_table() -> None:
    assert table([], [], DEFAULT_LIMITS) == []


def test_without_a_measured_cell_there_is_no_corpus() -> None:
    result = make_result(cell(), bpb=None, verdict=Verdict.UNJUDGED, corpus={})

    assert text(table([result], [], DEFAULT_LIMITS)) == block("""
        BPB after 100 steps: below 6.50 passes, 6.90 is dead, 7.00 is chance
              adamw
        int4  unjudged
    """)


@pytest.mark.parametrize(
    ("verdict", "markup"),
    [
        (Verdict.LEARNS, "green"),
        (Verdict.LAGS, "yellow"),
        (Verdict.NO_OP, "purple"),
        (Verdict.UNJUDGED, "cyan"),
        (Verdict.PARTIAL, "red"),
        (Verdict.DEAD, "red"),
        (Verdict.DIVERGED, "red"),
        (Verdict.REJECTED, "red"),
        (Verdict.CRASHED, "red"),
        (Verdict.TIMEOUT, "red"),
    ],
)
def test_each_verdict_has_its_colour(verdict: Verdict, markup: str) -> None:
    result = make_result(cell(), verdict=verdict)

    assert colour(result) == {markup: True}
    assert table([result], [], DEFAULT_LIMITS)[-1][-1][1] == {markup: True}


# failures


def lost(subject: str, verdict: Verdict, because: str = "") -> CellResult:
    evidence = {"because": because} if because else {}
    return make_result(
        cell(subject, "sgd"), bpb=None, verdict=verdict, cause=None, hint=None, evidence=evidence
    )


def test_failures_are_a_block_a_cause_the_gravest_first() -> None:
    results = [
        lagging(cell("uint8x", "adamw")),
        learning(cell("uint8x", "muon")),
        lagging(cell("uint8x", "sgd", 89), evidence={"because": "none", "also": ["no-op: 1 of 7."]}),
        lagging(cell("uint4x", "sgd"), evidence={"because": "7.5% of the negatives keep their sign."}),
        lost("slow", Verdict.TIMEOUT, "60 s"),
        lost("mute", Verdict.CRASHED),
        lost("loud", Verdict.CRASHED, "KeyError: 'scale'"),
    ]

    assert text(failures(results)) == block("""
        crashed  2 cells
          mute x sgd
          loud x sgd
            KeyError: 'scale'
          Hint: call it alone on such a float32 tensor, or `quantgate doctor` it.
        timeout  1 cell
          slow x sgd
            60 s
          Hint: look for a loop that does not end; a slow machine may raise pytest-timeout's `timeout`.
        sign-lost  3 cells
          uint8x x adamw 5.60 lags, sgd s89 5.60 lags
          uint4x x sgd 5.60 lags
            0% of the negatives keep their sign.
          Hint: an unsigned grid needs a zero point: q = round(x / s) + z, and (q - z) * s back. `quantgate explain sign-lost`
    """)  # noqa: E501


def test_what_else_was_found_is_said_with_the_evidence() -> None:
    evidence = {"because": "none", "also": ["no-op: 1 of 7."], "state": "it keeps state (s)."}

    assert text(failures([lagging(cell(), evidence=evidence)])).splitlines()[2:5] == [
        "    none",
        "    Also: no-op: 1 of 7.",
        "    Note: it keeps state (s).",
    ]


def test_long_groups_are_cut() -> None:
    seeds = [lagging(cell(seed=seed)) for seed in range(8)]
    subjects = [lagging(cell(f"f{each}")) for each in range(8)]
    kinds = [lost(f"f{each}", Verdict.CRASHED, "because " + "x" * each) for each in range(8)]

    assert text(failures(seeds)).splitlines()[1] == (
        "  int4 x adamw s0 5.60 lags, adamw s1 5.60 lags, adamw s2 5.60 lags, adamw s3 5.60 lags, "
        "adamw s4 5.60 lags, adamw s5 5.60 lags and 2 more"
    )
    assert text(failures(subjects)).splitlines()[6:8] == ["  f5 x adamw 5.60 lags", "  and 2 more"]
    assert text(failures(kinds)).splitlines()[-2] == "  and 2 cells more, for other reasons"


def test_known_failures_are_marked_and_stand_apart() -> None:
    entry = {"pattern": "int4-*", "reason": "amax", "link": "https://example.org/12", "until": "2026-12-31"}
    results = [lagging(cell(), known=entry), lagging(cell(optimizer="muon"))]
    lines = failures(results)

    (row,) = table(results, [], DEFAULT_LIMITS)[2:]
    assert text([row]) == "int4  5.60 lags (known)  5.60 lags"
    assert row[1][1] == {"yellow": True} == colour(replace(results[0], verdict=Verdict.DEAD))
    assert text(lines).splitlines()[:2] + text(lines).splitlines()[4:7] == [
        "sign-lost  1 cell",
        "  int4 x muon 5.60 lags",
        "sign-lost  1 cell",
        "  A known failure: amax, https://example.org/12, until 2026-12-31",
        "  int4 x adamw 5.60 lags",
    ]
    assert [line[0][1] for line in (lines[0], lines[4])] == [{"red": True}, {"yellow": True}]


def test_what_learns_is_no_failure() -> None:
    assert failures([learning(cell())]) == []


# lines


def test_the_line_of_controls() -> None:
    broken = replace(cell().control, subject="dead-body", kind="negative-control")
    controls = [
        control("adamw"),
        make_result(cell("fp32", "sgd").control),
        make_result(broken),
        learning(broken),
    ]

    assert control_line(controls) == "1 of 2 controls learn, 1 of 2 negative controls fail"
    assert control_line([]) == "no controls"


def test_the_line_of_counts() -> None:
    assert str(Counts(54, 53, 52, 1)) == "54 planned / 53 ran / 52 judged / 1 skipped"


def test_close_calls_show_every_seed() -> None:
    results = [learning(cell()), learning(cell("gf8"), seeds={"47": 6.4512, "89": None, "123": 6.3})]

    assert text(close_calls(results)) == (
        "close call  gf8 x adamw: s47 6.451, s89 non-finite, s123 6.300; the median judges"
    )


# text from outside


HOSTILE = "a\x1b[31mb\x9b\u202ec\n::error::\x07"
SHOWN = r"a\x1b[31mb\x9b\u202ec\n::error::\x07"


def test_control_characters_are_spelled_out() -> None:
    assert printable(HOSTILE) == SHOWN
    assert printable("é 4×4 ✓") == "é 4×4 ✓"


def test_nothing_from_outside_drives_the_terminal() -> None:
    result = make_result(
        cell(HOSTILE, HOSTILE),
        cause=HOSTILE,
        evidence={"because": HOSTILE},
        corpus={"name": HOSTILE},
        seeds={"47": 5.0},
    )
    lines = [*table([result], [], DEFAULT_LIMITS), *failures([result]), *close_calls([result])]

    assert len(lines) == 9
    assert all(piece.isprintable() for line in lines for piece, _ in line)
    assert text(lines).count(SHOWN) == 9
