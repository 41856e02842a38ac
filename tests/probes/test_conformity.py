"""Quantizers beside the built-in formats that they are declared to be."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from quantgate.diagnosis.diagnose import diagnose
from quantgate.diagnosis.evidence import Evidence
from quantgate.formats import BUILTIN
from quantgate.probes.conformity import builtin_of, conformity, fingerprint


def int8(x: Tensor) -> Tensor:
    scale = (x.abs().amax() / 127).clamp_min(1e-30)
    return (x / scale).round().clamp(-127, 127) * scale


def int8_away_from_zero_at_ties(x: Tensor) -> Tensor:
    scale = (x.abs().amax() / 127).clamp_min(1e-30)
    return (x / scale).abs().add(0.5).floor().clamp(max=127) * x.sign() * scale


def int4_of_rows(x: Tensor) -> Tensor:
    scale = (x.abs().amax(-1, keepdim=True) / 7).clamp_min(1e-30)
    return (x / scale).round().clamp(-8, 7) * scale


def test_what_shares_a_scale_is_said_first_where_it_is_not_the_formats() -> None:
    found = conformity(lambda: int4_of_rows, BUILTIN["int4"])
    same = conformity(lambda: int8_away_from_zero_at_ties, BUILTIN["int8"])

    assert (found.shares, found.like_shares, same.shares, same.like_shares) == (
        "row",
        "tensor",
        "tensor",
        "tensor",
    )
    (said,) = diagnose(Evidence(conformity=found), bits=4)
    assert said.because.startswith(
        f"its scale is shared by a row, that of int4 by a tensor; {found.differ:,} of {found.of:,} values are not int4"
    )
    (said,) = diagnose(Evidence(conformity=same), bits=8)
    assert said.because.startswith(f"{same.differ:,} of {same.of:,} values are not int8's: ")


def bare_e4m3(x: Tensor) -> Tensor:
    return x.clamp(-448, 448).to(torch.float8_e4m3fn).to(x.dtype)


def bfloat16(x: Tensor) -> Tensor:
    return x.bfloat16().to(x.dtype)


@pytest.mark.parametrize("name", ["int4", "fp8_e4m3", "posit8", "nf4", "mxfp4", "uint4", "posit16", "fp16"])
def test_a_builtin_format_is_itself(name: str) -> None:
    found = conformity(lambda: BUILTIN[name].fake_quantize, BUILTIN[name])

    assert (found.like, found.differ, found.shown) == (name, 0, ())
    assert found.of > 20_000


@pytest.mark.parametrize(
    ("quantizer", "name", "like"),
    [(int8, "int8", "int8"), (bare_e4m3, "fp8_e4m3", "fp8_e4m3 of scale 1"), (bfloat16, "bf16", "bf16")],
)
def test_another_implementation_differs_in_nothing(quantizer: object, name: str, like: str) -> None:
    found = conformity(lambda: quantizer, BUILTIN[name])  # type: ignore[arg-type, return-value]

    assert (found.like, found.differ) == (like, 0)


def test_ties_that_go_away_from_zero_are_shown_with_both_values() -> None:
    found = conformity(lambda: int8_away_from_zero_at_ties, BUILTIN["int8"])

    assert 0 < found.differ < 0.01 * found.of
    assert found.shown == (
        "-126.5 gives -127 instead of -126",
        "-124.5 gives -125 instead of -124",
        "-122.5 gives -123 instead of -122",
    )


def test_one_quantizer_has_one_fingerprint_and_the_name_of_its_builtin_format() -> None:
    digest = fingerprint(lambda: int8)

    assert digest == fingerprint(lambda: BUILTIN["int8"].fake_quantize)
    assert builtin_of(lambda: int8, None) == "int8"
    assert builtin_of(lambda: bare_e4m3, 8) is None
    assert builtin_of(lambda: lambda x: x, None) is None


@pytest.mark.parametrize(
    "name", [name for name, format in BUILTIN.items() if not format.lossless and name != "posit32"]
)
def test_no_builtin_format_is_another(name: str) -> None:
    assert builtin_of(lambda: BUILTIN[name].fake_quantize, BUILTIN[name].bits) == name
