"""Which values share a scale is seen from what an outlier changes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from quantgate import examine
from quantgate.faults.parts.quantizers import blocks, columns, integers, rows_reversed, straight_through
from quantgate.formats import BUILTIN
from quantgate.probes.quantizer.reach import reach, shares_as_declared
from quantgate.subjects.names import RegistrationError
from quantgate.subjects.registry import Registry

int8, int8_rows = integers(127), integers(127, rows=True)


def tiles(x: Tensor) -> Tensor:
    """A scale for each tile of 16 by 16."""
    parts = x.reshape(x.shape[0] // 16, 16, x.shape[1] // 16, 16)
    scale = parts.abs().amax((1, 3), keepdim=True) / 127
    return ((parts / scale).round() * scale).reshape(x.shape)


@pytest.mark.parametrize(
    ("quantize", "found"),
    [
        (int8, "tensor"),
        (int8_rows, "row"),
        (columns, "column"),
        (blocks(32, int8_rows), "group:32"),
        (tiles, "block"),
        (rows_reversed, "elsewhere"),
        (lambda x: x.half().float(), None),
    ],
    ids=["tensor", "row", "column", "group", "tile", "reversed", "fixed"],
)
def test_an_outlier_reaches_what_shares_its_scale(
    quantize: Callable[[Tensor], Tensor], found: str | None
) -> None:
    assert reach(lambda: quantize, "cpu") == found


@pytest.mark.parametrize(
    ("name", "holds"),
    [
        ("int8", ["tensor"]),
        ("nf4", ["group:64"]),
        ("mxfp4", ["group:32"]),
        ("nvfp4", ["tensor", "group:16"]),  # scales of groups, and one of the tensor above them
        ("posit8", ["tensor"]),
        ("fp16", []),
    ],
)
def test_a_declaration_holds_for_no_finer_and_no_coarser_unit(name: str, holds: list[str]) -> None:
    declared = ("tensor", "row", "group:16", "group:32", "group:64", "group:128")
    found = {each: shares_as_declared(lambda: BUILTIN[name].fake_quantize, each, "cpu") for each in declared}

    assert [each for each, is_shared in found.items() if is_shared] == holds
    assert set(found.values()) == ({None} if name == "fp16" else {True, False})


def test_what_is_declared_otherwise_is_named() -> None:
    made = Registry().register_format("mine", straight_through(columns), bits=8, granularity="row")
    (finding,) = examine(made).findings

    assert finding.cause == "wrong-axis"
    assert finding.because == "the scale is declared to be shared by a row; an outlier changes its column."
    assert examine(
        Registry().register_format("mine", straight_through(int8_rows), bits=8, granularity="row")
    ).healthy


def test_a_scale_at_another_place_is_named_without_a_declaration() -> None:
    (finding, *_) = examine(
        Registry().register_format("mine", straight_through(rows_reversed), bits=8)
    ).findings

    assert finding.cause == "scale-misplaced"


@pytest.mark.parametrize("given", ["rows", "group", "group:1", "group:0", "group:12345", 32])
def test_a_granularity_is_one_of_three(given: object) -> None:
    with pytest.raises(RegistrationError) as error:
        Registry().register_format("mine", torch.round, granularity=given)  # type: ignore[arg-type]

    assert str(error.value).startswith(
        f"format 'mine': granularity is {given!r}; it must be 'tensor', 'row' or 'group:N' with N from 2 to 9999, "
        "such as 'group:32'"
    )
