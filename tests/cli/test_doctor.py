"""`quantgate doctor`."""

from __future__ import annotations

import os
import re

import pytest

from quantgate.diagnosis.causes import CAUSES
from quantgate.faults import FAULTS
from tests.cli.conftest import Command


def probes(out: str) -> dict[str, str]:
    """The probes of `doctor`'s output by their names, each with ok, warn or FAULT."""
    lines = [line for line in out.splitlines() if line.startswith("  ")]
    return {line[9:27].rstrip(): line[2:7].rstrip() for line in lines}


def failed(out: str) -> list[str]:
    return [name for name, state in probes(out).items() if state == "FAULT"]


def test_the_doctor_finds_nothing_in_a_healthy_format(quantgate: Command) -> None:
    said = quantgate("doctor", "int8")

    assert (said.status, said.err) == (0, "")
    assert said.out.startswith(
        "int8 (8 bits)\n  ok     contract            shape, dtype, input and seed respected\n"
    )
    assert said.out.endswith("\nNo probe found a fault.\n")
    assert list(probes(said.out)) == [
        "contract", "all-zero input", "values change", "finite", "gradient reaches", "gradient direction",
        "gradient size", "edge of the range", "output scale", "sign", "zeros", "signal to noise",
        "scale follows", "rounding", "order of values", "number of values", "place of scales", "repeatable",
    ]  # fmt: skip
    assert set(probes(said.out).values()) == {"ok"}


@pytest.mark.parametrize(
    ("name", "cause", "probe"),
    [
        ("int4_round_without_ste", "gradient-blocked", "gradient reaches"),
        ("int4_largest_code_wraps", "overflow-wrapped", "order of values"),
        ("int8_scale_of_the_group_before", "scale-misplaced", "place of scales"),
        ("int4_seventeen_levels", "too-many-levels", "number of values"),
        ("nf4_one_wrong_value", "wrong-table", "table"),
        ("int8_export_rounds_down", "train-deploy-mismatch", "export"),
        ("lsq_detached_scale", "qparams-invalid", "learned scales"),
        ("int8_scale_frozen", "scale-stale", "scale follows"),
        ("int4_floored", "rounding-biased", "rounding"),
        ("recipe_that_forgets", "no-op", "values change"),
        ("recipe_first_linear_only", "partly-applied", "values change"),
        ("optimizer_of_a_copy", "orphaned-parameter", "gradient reaches"),
        ("adam_8_bit_linear_map", "optimizer-state", "optimizer state"),
        ("int8_in_place", "update-swallowed", "stored updates"),
        ("int8_activations_without_ste", "gradient-blocked", "gradient reaches"),
        ("uint8_activations_without_zero_point", "sign-lost", "sign"),
    ],
)
def test_the_doctor_names_a_fault_of_the_library(
    quantgate: Command, name: str, cause: str, probe: str
) -> None:
    said = quantgate("doctor", name)

    assert (said.status, said.err) == (1, "")
    assert said.out.startswith(f"{FAULTS[name].broken.subject.name} (")
    assert re.search(rf"^  FAULT  {probe:<18}  {cause}: .*\.$", said.out, re.MULTILINE)
    assert said.out.endswith(f"\nCause: {cause}\nHint: {CAUSES[cause].hint} `quantgate explain {cause}`\n")


def test_the_doctor_asks_for_a_storage(quantgate: Command) -> None:
    assert failed(quantgate("doctor", "int4").out) == []
    assert failed(quantgate("doctor", "int4", "--storage", "inplace").out) == ["stored updates"]
    assert failed(quantgate("doctor", "int4_in_place", "--storage", "master").out) == []


def test_the_doctor_looks_in_the_current_folder(quantgate: Command, library: str) -> None:
    fine = quantgate("doctor", f"{library}:fine@8")
    blocked = quantgate("doctor", f"{library}:blocked")

    assert (fine.status, blocked.status) == (0, 1)
    assert fine.out.startswith(f"{library}:fine@8 (8 bits)\n")
    assert blocked.out.startswith(f"{library}:blocked (unknown bits)\n")
    assert failed(blocked.out) == ["gradient reaches"]


def test_the_doctor_tells_what_was_raised(quantgate: Command, library: str) -> None:
    said = quantgate("doctor", f"{library}:fails")

    assert said.status == 1
    assert said.out == (
        f"{library}:fails (unknown bits)\n  FAULT  crash               KeyError: 'scale' (at {library}.py:11), "
        "for a probe of shape (48, 96)\n"
    )


def test_an_attribute_that_is_not_there_is_said(quantgate: Command, library: str) -> None:
    assert quantgate("doctor", f"{library}:blokked") == (
        4, "", f"quantgate: unknown attribute of {library} 'blokked'; did you mean 'blocked'?\n",
    )  # fmt: skip


def test_the_doctor_says_only_what_was_asked_of_a_recipe(quantgate: Command) -> None:
    assert not {"contract", "all-zero input"} & set(probes(quantgate("doctor", "recipe_that_forgets").out))


def test_a_fault_nearly_named_is_suggested(quantgate: Command) -> None:
    assert "'int4_round_without_ste'" in quantgate("doctor", "int4_round_without_st").err


def test_a_warning_is_said_and_passes(quantgate: Command) -> None:
    said = quantgate("doctor", "int8_rows_unguarded")

    assert (said.status, said.err) == (0, "")
    assert re.search(
        r"^  warn   all-zero input      scale-zero: an all-zero tensor does", said.out, re.MULTILINE
    )
    assert said.out.endswith("\nNo probe found a fault.\n")


def test_a_quantizer_that_ends_the_process_is_no_silence(quantgate: Command, library: str) -> None:
    assert quantgate("doctor", f"{library}:leaves@4") == (
        1, "", "quantgate: the subject's code ended the process: SystemExit(0)\n",
    )  # fmt: skip


def test_nor_is_one_that_ends_it_without_a_word(
    quantgate: Command, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def before(status: int) -> None:
        raise AssertionError(f"the process would have ended with {status}")

    monkeypatch.setattr(os, "_exit", before)
    said = quantgate("doctor", f"{library}:vanishes@4")

    assert said.status == 1
    assert (
        "crash               RuntimeError: os._exit would end the whole run, and is held back; raise an exception "
        f"instead (at {library}.py:22), for a probe of shape (48, 96)"
    ) in said.out
    assert os._exit is before


def test_what_it_is_like_and_cannot_be_asked_is_no_pass(quantgate: Command, library: str) -> None:
    said = quantgate("doctor", f"{library}:of_matrices@8", "--like", "int8")

    assert (said.status, said.err) == (1, "")
    assert said.out.splitlines()[-1].startswith(
        "Not answered: whether it equals int8, since that could not be measured: ValueError: not enough values to "
        f"unpack (expected 2, got 1) (at {library}.py:"
    )
    assert "No probe found a fault" not in said.out


def test_what_it_is_like_is_answered(quantgate: Command, library: str) -> None:
    unlike = quantgate("doctor", f"{library}:fine@8", "--like", "int8")
    alike = quantgate("doctor", "int8", "--like", "int8")

    assert (unlike.status, alike.status) == (1, 0)
    assert "conforms" in failed(unlike.out)
    assert "  ok     conforms            " in alike.out
    assert "Not answered" not in unlike.out + alike.out


def test_a_line_agrees_with_the_finding(quantgate: Command) -> None:
    """A quantizer without a gradient has neither a direction nor a size of it, whatever other paths leave."""
    found = probes(quantgate("doctor", "int4_round_without_ste").out)
    unscaled = quantgate("doctor", "int8_codes_returned").out

    assert "gradient direction" not in found
    assert "gradient size" not in found
    assert re.search(
        r"^  warn   signal to noise     -\d+\.\d dB at .*: see not-dequantized$", unscaled, re.MULTILINE
    )
