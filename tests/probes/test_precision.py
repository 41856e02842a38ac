"""Precision: what outliers, unused codes and the rate of a code show of real grids."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from quantgate import examine
from quantgate.faults.parts.quantizers import blocks, integers, straight_through
from quantgate.formats import BUILTIN
from quantgate.probes.quantizer.calls import INPUT_SHAPE
from quantgate.probes.quantizer.precision import codes_used, outliers_kept
from quantgate.subjects.registry import Registry

Grid = Callable[[Tensor], Tensor]

int4, int8, int8_rows = integers(7), integers(127), integers(127, rows=True)


def outliers_in_float32(x: Tensor) -> Tensor:
    """The hundredth that is largest stays as it is."""
    largest = x.abs() >= x.abs().flatten().kthvalue(int(0.99 * x.numel())).values
    return torch.where(largest, x, int4(torch.where(largest, 0.0, x)))


def rounded_by_float32(x: Tensor) -> Tensor:
    scale = x.abs().amax() / 7
    return x / scale * scale


def first_row_in_half(x: Tensor) -> Tensor:
    return torch.cat([x[:1].half().float(), int4(x[1:])])


def range_of_five_sigma(x: Tensor) -> Tensor:
    scale = 5 * x.std() / 7
    return (x / scale).round().clamp(-7, 7) * scale


def half_the_codes(x: Tensor) -> Tensor:
    """The largest value becomes 63 of 127."""
    scale = x.abs().amax() / 63
    return (x / scale).round().clamp(-127, 127) * scale


def cause(grid: Grid, bits: float) -> str | None:
    return examine(Registry().register_format("mine", straight_through(grid), bits=bits)).cause


@pytest.mark.parametrize("grid", [int4, int8_rows, blocks(32, int8_rows), blocks(16, int8_rows)])
def test_a_grid_keeps_no_outliers(grid: Grid) -> None:
    assert outliers_kept(lambda: grid, "cpu", INPUT_SHAPE) == 0


@pytest.mark.parametrize("name", [name for name, each in BUILTIN.items() if (each.bits or 99) <= 8])
def test_no_built_in_format_keeps_outliers(name: str) -> None:
    assert outliers_kept(lambda: BUILTIN[name].fake_quantize, "cpu", INPUT_SHAPE) == 0


def test_outliers_that_stay_are_seen() -> None:
    assert outliers_kept(lambda: outliers_in_float32, "cpu", INPUT_SHAPE) > 0.3


@pytest.mark.parametrize(
    ("grid", "codes"),
    [(int4, 15), (int8, 255), (BUILTIN["mxint8"].fake_quantize, 255), (half_the_codes, 127)],
)
def test_the_codes_of_an_even_grid_are_counted(grid: Grid, codes: int) -> None:
    assert codes_used(lambda: grid, "cpu") == pytest.approx(codes, abs=4)


@pytest.mark.slow
def test_outliers_in_float32_are_a_warning() -> None:
    found = examine(Registry().register_format("mine", straight_through(outliers_in_float32), bits=4))

    assert found.healthy
    assert [(each.cause, each.severity) for each in found.findings] == [("partly-applied", "warning")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("grid", "bits", "named"),
    [
        (int4, 4, None),
        (range_of_five_sigma, 4, None),
        (rounded_by_float32, 4, "no-op"),
        (lambda x: x.half().float(), 4, "too-many-levels"),
        (int8, 4, "too-many-levels"),
        (first_row_in_half, 4, "partly-applied"),
        (half_the_codes, 8, "range-collapsed"),
    ],
    ids=["int4", "five sigma", "x / s * s", "fp16", "int8", "one row", "half the codes"],
)
def test_more_precision_than_the_bits_hold_is_named(grid: Grid, bits: float, named: str | None) -> None:
    assert cause(grid, bits) == named
