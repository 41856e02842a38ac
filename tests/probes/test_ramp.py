"""What the ramp shows of real ways to round, and what is named."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from quantgate.diagnosis.diagnose import diagnose
from quantgate.diagnosis.evidence import Evidence, RoundingEvidence
from quantgate.probes.quantizer.ramp import ROLL, ramp, rounding_evidence


def causes(evidence: Evidence, bits: float | None = 8) -> list[str]:
    return [finding.cause for finding in diagnose(evidence, bits=bits)]


def measured(grid: Callable[[Tensor], Tensor]) -> RoundingEvidence:
    """What is measured of a quantizer on the ramp, as `examine_quantizer` asks for it."""

    def seeded(x: Tensor, seed: int) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return grid(x)

    x = ramp()
    return rounding_evidence(x, seeded(x, 1), seeded(x, 2), seeded(x.roll(ROLL, 0), 1).roll(-ROLL, 0))


def whole(rounds: Callable[[Tensor], Tensor], levels: int = 7) -> Callable[[Tensor], Tensor]:
    return lambda x: rounds(x * levels) / levels


def up(x: Tensor) -> Tensor:
    return torch.where(x < 0, x.floor(), x.ceil())


def same_noise(x: Tensor) -> Tensor:
    return torch.floor(x + torch.rand(x.shape, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("levels", [5, 7, 127, 32_767])
@pytest.mark.parametrize(
    ("rounds", "positive", "negative"),
    [
        (torch.round, 0.5, 0.5),
        (torch.trunc, 1.0, 0.0),
        (torch.floor, 1.0, 1.0),
        (torch.ceil, 0.0, 0.0),
        (up, 0.0, 1.0),
    ],
    ids=["nearest", "truncate", "floor", "ceil", "away from 0"],
)
def test_where_the_threshold_lies(
    rounds: Callable[[Tensor], Tensor], positive: float, negative: float, levels: int
) -> None:
    found = measured(whole(rounds, levels))

    assert found.threshold_positive == pytest.approx(positive, abs=0.1)
    assert found.threshold_negative == pytest.approx(negative, abs=0.1)
    assert (found.by_place, found.varies) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("rounds", "cause"),
    [
        (torch.round, []),
        (torch.trunc, ["rounding-biased"]),
        (torch.floor, ["rounding-biased"]),
        (torch.ceil, ["rounding-biased"]),
        (up, []),  # what a grid of more than x's range looks like
        (lambda x: torch.floor(x + torch.rand_like(x)), []),
        (same_noise, ["rounding-not-random"]),
        (torch.zeros_like, []),
    ],
    ids=["nearest", "truncate", "floor", "ceil", "away from 0", "random", "the same noise", "nothing"],
)
def test_how_it_rounds_is_named(rounds: Callable[[Tensor], Tensor], cause: list[str]) -> None:
    assert causes(Evidence(rounding=measured(whole(rounds)))) == cause


def test_noise_of_the_seed_varies_and_noise_of_the_place_does_not() -> None:
    drawn = measured(whole(lambda x: torch.floor(x + torch.rand_like(x))))
    fixed = measured(whole(same_noise))

    assert min(drawn.varies, drawn.by_place, fixed.by_place) > 0.1
    assert fixed.varies == 0.0
    assert Evidence(rounding=drawn).stochastic
    assert not Evidence(rounding=fixed).stochastic
    assert not Evidence().stochastic


def test_scales_of_rows_and_blocks_depend_on_no_place() -> None:
    for size in (16, 32, 192):

        def rows(x: Tensor, size: int = size) -> Tensor:
            parts = x.reshape(-1, size)
            scale = parts.abs().amax(-1, keepdim=True) / 7
            return ((parts / scale).round() * scale).reshape(x.shape)

        assert measured(rows).by_place == 0.0
