"""The gate fails when it should: quantizers broken on purpose, registered as a user would, in one real run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from quantgate.diagnosis.causes import CAUSES
from tests.plugin.conftest import Shared
from tests.plugin.project import NARROW, Outcome, Project
from tests.plugin.runs.broken_formats import BROKEN, HEALTHY

TESTS = """
import pytest


def test_learns(lowbit_cell):
    lowbit_cell.assert_learns()


@pytest.mark.lowbit(formats=["gradient_times_scale", "healthy_int4"], optimizers=["sgd"])
def test_under_sgd(lowbit_cell):
    lowbit_cell.assert_learns()


@pytest.mark.lowbit(formats=["healthy_int4", "stochastic_int8"], storage="inplace")
def test_in_place(lowbit_cell):
    lowbit_cell.assert_learns()
"""

#: Cell -> (verdict, cause, what the evidence says, the twin that it is mended by).
JUDGED = {
    "round_without_ste": (
        "dead",
        "gradient-blocked",
        "the gradient is 0 for 7 of 7 weights where the reference straight-through estimator's is not.",
        "round_with_ste",
    ),
    "under_no_grad": (
        "dead",
        "gradient-blocked",
        "the gradient is 0 for 7 of 7 weights where the reference straight-through estimator's is not.",
        "healthy_int4",
    ),
    "negated_gradient": ("diverged", "gradient-wrong", "the gradient is negated (cosine -1.00", "healthy_int4"),
    "gradient_times_scale": ("faulty", "gradient-misscaled", "the gradient of head.weight is 0.0", "healthy_int4"),
    "gradient_times_scale-sgd": (
        "dead",
        "gradient-misscaled",
        "the gradient of head.weight is 0.0",
        "healthy_int4-sgd",
    ),
    "scale_left_out": ("dead", "not-dequantized", "head.weight comes back 3", "healthy_int4"),
    "coarse_grid": ("lags", "range-collapsed", "99.5% of head.weight falls to 0 (at most 90.0%", "fitting_grid"),
    "gf8_without_scale": ("partial", "range-collapsed", "of head.weight falls to 0 (at most 60.0%", "gf8_with_scale"),
    "no_zero_point": ("lags", "sign-lost", "0% of the negative and 100% of the positive elements", "zero_point"),
    "returns_its_input": (
        "no-op",
        "no-op",
        "all 10 tensors came back unchanged, bit for bit.",
        "copies_in_bfloat16",
    ),
    "healthy_int4-inplace": (
        "dead",
        "update-swallowed",
        "of the intended update survives storage (a healthy one keeps ",
        "stochastic_int8-inplace",
    ),
    "infinite_gradient": (
        "diverged",
        "non-finite",
        "is the first tensor that is not finite, at step 0.",
        "healthy_int4",
    ),
    "zero_row_divides": ("rejected", "contract", "non-finite elements for finite N(0, 1).", "zero_row_is_guarded"),
    "overflows": ("rejected", "contract", "non-finite elements for finite N(0, 1).", "copies_in_bfloat16"),
    "wrong_shape": ("rejected", "contract", "returns shape (4608,) for (48, 96).", "healthy_int4"),
    "wrong_dtype": (
        "rejected",
        "contract",
        "returns torch.float16 for torch.float32; dequantize to the input's dtype.",
        "healthy_int4",
    ),
    "returns_nan": ("rejected", "contract", "returns 4608 non-finite elements for finite N(0, 1).", "healthy_int4"),
    "returns_a_tuple": (
        "rejected",
        "contract",
        "returns tuple, not a tensor: return the dequantized values alone, ",
        "healthy_int4",
    ),
    "changes_its_input": ("rejected", "contract", "changes its input in place (100% of N(0, 1)).", "healthy_int4"),
    "nondeterministic": (
        "faulty",
        "rounding-not-random",
        "the noise is the same in all rows.",
        "stochastic",
    ),
}  # fmt: skip

#: Cell -> (verdict, what the evidence says): cells that no curve can be had of.
LOST = {
    "raises": ("crashed", r"ArithmeticError: no codes left\x1b[31m (at conftest.py:"),
    "raises_in_training": ("crashed", "RuntimeError: no room for 128 rows (at conftest.py:"),
    "never_ends": ("timeout", "never_ends x adamw, width 32: Timeout "),
}


@pytest.fixture(scope="module")
def outcome(shared: Shared) -> Outcome:
    def run(project: Project) -> Outcome:
        shutil.copy(Path(__file__).with_name("broken_formats.py"), project.folder / "conftest.py")
        project.write(test_lowbit=TESTS)
        return project.pytest("-n2", *NARROW, "--quantgate-optimizers", "adamw", "--quantgate-report", "out")

    return shared("broken", run)


def test_the_run_fails_and_judges_every_cell_that_ends(outcome: Outcome) -> None:
    assert outcome.exit_status == 1
    assert set(outcome.cells) == {*JUDGED, *LOST, *healthy_cells()}
    planned, lost = len(outcome.cells), len(LOST)
    assert (
        f"{planned} planned / {planned} ran / {planned - lost} judged / 0 skipped, "
        "2 of 2 controls learn, 3 of 3 negative controls fail" in outcome.lines
    )
    ended = [record["verdict"] for record in outcome.cells.values()]
    said = f"{ended.count('crashed')} crashed, {ended.count('timeout')} did not end"
    assert f"quantgate: {planned - lost} of {planned} planned cells were judged ({said})" in outcome.lines


def healthy_cells() -> set[str]:
    return {*HEALTHY, "stochastic_int8", "healthy_int4-sgd", "stochastic_int8-inplace"}


@pytest.mark.parametrize("name", JUDGED)
def test_a_broken_format_is_judged_and_its_cause_named(outcome: Outcome, name: str) -> None:
    verdict, cause, because, twin = JUDGED[name]
    record = outcome.cells[name]
    assert (record["verdict"], record["cause"]) == (verdict, cause)
    assert because in record["evidence"]["because"]
    assert record["hint"] == CAUSES[cause].hint
    assert outcome.cells[twin]["verdict"] == "learns"


@pytest.mark.parametrize("name", JUDGED)
def test_a_broken_format_fails_its_test_with_a_message_of_its_own(outcome: Outcome, name: str) -> None:
    verdict, cause, _, _ = JUDGED[name]
    record = outcome.cells[name]
    cell = f"{record['subject']} x {record['optimizer']}, width 32"
    if record["storage"] == "inplace":
        cell += ", in place"
    said = [line for line in outcome.lines if line.startswith(f"{cell}: ")]
    assert len(said) == 1
    if record["bpb"] is None:
        non_finite = "diverged: non-finite BPB after 100 steps (limit 6.50, chance 7.00; control 5.22)."
        assert said[0].startswith(f"{cell}: {'rejected.' if verdict == 'rejected' else non_finite}")
    else:
        assert f"{record['bpb']:.2f} BPB after 100 steps (limit 6.50, chance 7.00; control " in said[0]
    assert said[0].endswith(f" Cause: {cause}.")


@pytest.mark.parametrize("name", JUDGED)
def test_a_broken_format_stands_in_the_block_of_its_cause_with_evidence_and_hint(
    outcome: Outcome, name: str
) -> None:
    verdict, cause, because, _ = JUDGED[name]
    record = outcome.cells[name]
    score = verdict if record["bpb"] is None else f"{record['bpb']:.2f} {verdict}"
    place = "w32 inplace" if record["storage"] == "inplace" else "w32"
    block = block_of(outcome, cause)
    (said,) = [line for line in block if line.startswith(f"  {record['subject']} x ")]
    assert f"{record['optimizer']} {place} {score}" in said
    assert block[-1] == f"  Hint: {CAUSES[cause].hint} `quantgate explain {cause}`"
    if not name.endswith("-sgd"):
        kinds = [
            re.sub(r"\d+", "#", line) for line in block
        ]  # of those that differ in numbers the first is shown
        assert any(re.sub(r"\d+", "#", because) in kind for kind in kinds)


def block_of(outcome: Outcome, cause: str) -> list[str]:
    """The lines of a cause, from its name to where those of the next begin."""
    (start,) = [
        place for place, line in enumerate(outcome.lines) if re.fullmatch(rf"{cause}  \d+ cells?", line)
    ]
    rest = outcome.lines[start + 1 :]
    return rest[: next(place for place, line in enumerate(rest) if not line.startswith("  "))]


@pytest.mark.parametrize("name", LOST)
def test_a_format_that_raises_or_never_ends_costs_its_own_cell_alone(outcome: Outcome, name: str) -> None:
    verdict, because = LOST[name]
    record = outcome.cells[name]
    assert (record["verdict"], record["cause"]) == (verdict, None)
    assert record["evidence"]["because"].replace("\x1b", r"\x1b").startswith(because)
    block = block_of(outcome, verdict)
    shown = block[block.index(f"  {name} x adamw w32") + 1]
    assert shown.startswith(f"    {because}")


@pytest.mark.parametrize("name", sorted(healthy_cells()))
def test_a_healthy_twin_learns_in_the_same_run(outcome: Outcome, name: str) -> None:
    record = outcome.cells[name]
    assert (record["verdict"], record["cause"], record["hint"]) == ("learns", None, None)
    assert record["bpb"] < 6.5
    assert abs(record["gap"]) < 0.1


def test_no_escape_sequence_of_a_message_reaches_the_terminal(outcome: Outcome) -> None:
    assert "\x1b" not in outcome.stdout
    assert r"no codes left\x1b[31m" in outcome.stdout


def test_every_broken_format_is_in_the_tables_of_this_file() -> None:
    assert {*BROKEN, "gradient_times_scale"} == {
        name for name in (*JUDGED, *LOST) if not name.endswith(("-sgd", "-inplace"))
    }
