"""What the relations show of real grids: those that keep them, and those that break one each."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from quantgate.diagnosis.evidence import RelationEvidence
from quantgate.formats import BUILTIN
from quantgate.probes.quantizer.examine import examine_quantizer

Grid = Callable[[Tensor], Tensor]


def measured(grid: Grid, bits: float | None = 4) -> RelationEvidence:
    return examine_quantizer(lambda: grid, name="mine", fresh=False, bits=bits).relations


def int4(x: Tensor) -> Tensor:
    return BUILTIN["int4"].fake_quantize(x)


def rotated(x: Tensor) -> Tensor:
    """int4 in a basis that mixes each run of 16 columns."""
    basis = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(0))).Q
    runs = x.reshape(-1, 16) @ basis
    back: Tensor = int4(runs) @ basis.T
    return back.reshape(x.shape)


def with_noise(draw: Callable[[Tensor], Tensor]) -> Grid:
    def grid(x: Tensor) -> Tensor:
        scale = x.abs().amax() / 7
        return ((x / scale) + draw(x)).floor().clamp(-7, 7) * scale

    return grid


@pytest.mark.parametrize("name", [name for name, f in BUILTIN.items() if (f.bits or 99) <= 8])
def test_the_built_in_formats_keep_every_relation(name: str) -> None:
    found = measured(BUILTIN[name].fake_quantize, BUILTIN[name].bits)

    assert (found.mixes, found.falls, found.misplaced) == (False, 0.0, 0.0)
    assert found.levels is not None
    assert found.levels <= 2 ** (BUILTIN[name].bits or 0)


def test_a_value_that_turns_over_is_seen() -> None:
    found = measured(lambda x: torch.where((x.abs() > 0.4) & (x.abs() < 0.5), -int4(x), int4(x)))

    assert found.falls is not None
    assert found.falls > 0.02
    assert found.largest_fall > 0.2


def test_a_rotation_is_not_asked_for_order() -> None:
    assert measured(rotated) == RelationEvidence(mixes=True)


@pytest.mark.parametrize(("levels", "bits", "counted"), [(7, 4, 15), (8, 4, 17), (31, 6, 63), (127, 8, 255)])
def test_values_are_counted(levels: int, bits: float, counted: int) -> None:
    def grid(x: Tensor) -> Tensor:
        scale = x.abs().amax().clamp(min=1e-30) / levels
        return (x / scale).round() * scale

    assert measured(grid, bits).levels == counted
    assert measured(grid, None).levels is None
    assert measured(grid, 9).levels is None


def test_scales_that_are_repeated_and_not_interleaved_are_seen() -> None:
    def grid(x: Tensor) -> Tensor:
        groups = x.reshape(-1, 32)
        scale = groups.abs().amax(-1).clamp(min=1e-30) / 7
        repeated = scale.repeat(32).view(x.shape)
        return (x / repeated).round().clamp(-7, 7) * repeated

    found = measured(grid)

    assert found.misplaced is not None
    assert found.misplaced > 0.5


@pytest.mark.parametrize(
    ("draw", "shared"),
    [
        (torch.rand_like, None),
        (lambda x: torch.rand(x.shape[-1]).expand(x.shape), "rows"),
        (lambda x: torch.rand(x.shape[0], 1).expand(x.shape), "columns"),
        (lambda x: torch.rand(()).expand(x.shape), "rows"),
    ],
    ids=["each", "columns", "rows", "one"],
)
def test_whose_noise_is_shared(draw: Callable[[Tensor], Tensor], shared: str | None) -> None:
    assert measured(with_noise(draw)).shared_noise == shared


@pytest.mark.parametrize(
    ("rounds", "positive", "negative"),
    [
        (torch.round, 0.0, 0.0),
        (lambda c: torch.floor(c + 0.45), -0.2, -0.2),
        (lambda c: torch.floor(c + 0.4), -0.39, -0.39),
        (torch.floor, -1.0, -1.0),
        (torch.trunc, -1.0, 1.0),
        (lambda c: torch.floor(c + torch.rand_like(c)), 0.0, 0.0),
    ],
    ids=["nearest", "0.55", "0.6", "floor", "truncate", "stochastic"],
)
def test_the_mean_error_shows_a_threshold_off_the_half(
    rounds: Grid, positive: float, negative: float
) -> None:
    def grid(x: Tensor) -> Tensor:
        scale = x.abs().amax() / 7
        return rounds(x / scale).clamp(-7, 7) * scale

    found = examine_quantizer(lambda: grid, name="mine", fresh=False, bits=4).rounding

    assert found is not None
    assert found.bias_positive == pytest.approx(positive, abs=0.06)
    assert found.bias_negative == pytest.approx(negative, abs=0.06)
