"""Rounding that is biased, or not random."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from quantgate.faults import Fault
from quantgate.formats import BUILTIN
from tests.heldout.faults.entries import pair
from tests.heldout.faults.grids import NF4, lookup, stochastic
from tests.heldout.parts import Grid, amax, element, groups, ste


def _int6(rounding: Grid) -> Grid:
    def grid(x: Tensor) -> Tensor:
        scale = amax(x, -1) / 31
        return rounding(x / scale).clamp(-31, 31) * scale

    return grid


def _posit8_toward_zero(x: Tensor) -> Tensor:
    """The next posit8 towards 0: bits of the fraction are cut, as shifting the pattern does it."""
    values = torch.tensor([v for v in BUILTIN["posit8"].values or () if v >= 0], device=x.device)
    place = torch.bucketize(x.abs().contiguous(), values, right=True) - 1
    least = (x.abs() > 0) & (place == 0)  # posits never round a number to 0
    return values[torch.where(least, 1, place)] * x.sign()


def _nf4_upper(x: Tensor) -> Tensor:
    """The first entry that is not below the value: searchsorted without midpoints."""
    scale = amax(x, -1)
    table = NF4.to(x.device)
    return table[torch.searchsorted(table, (x / scale).contiguous()).clamp(max=15)] * scale


def _numpy_noise(codes: Tensor) -> Tensor:
    drawn = np.random.default_rng(1234).random(codes.shape, dtype=np.float32)
    return torch.from_numpy(drawn).to(codes.device)


def _weyl_noise(codes: Tensor) -> Tensor:
    """A low-discrepancy sequence by position, which is the same at every step."""
    places = torch.arange(codes.numel(), device=codes.device, dtype=torch.float64)
    return (places * 0.6180339887498949).remainder(1).to(codes.dtype).view(codes.shape)


def _row_noise(codes: Tensor) -> Tensor:
    """One draw for each column, shared by all rows."""
    return torch.rand(codes.shape[-1], device=codes.device).expand_as(codes)


def _one_draw(codes: Tensor) -> Tensor:
    return torch.rand((), device=codes.device).expand_as(codes)


def faults() -> Iterator[Fault]:
    """The faults of this class."""
    cause = "rounding-biased"
    yield pair(
        cause,
        "int6_half_added_then_truncated",
        ste(_int6(lambda codes: torch.trunc(codes + 0.5))),
        ste(_int6(torch.round)),
        6,
    )
    yield pair(cause, "posit8_fraction_cut", ste(_posit8_toward_zero), ste(element("posit8")), 8)
    yield pair(
        cause,
        "nf4_searchsorted_without_midpoints",
        ste(groups(64, _nf4_upper)),
        ste(groups(64, lambda x: lookup(NF4, x))),
        4,
    )
    yield pair(
        cause,
        "int8_half_of_the_noise",
        ste(stochastic(127, lambda codes: torch.rand_like(codes) / 2)),
        ste(stochastic(127, torch.rand_like)),
        8,
    )

    cause = "rounding-not-random"
    yield pair(
        cause,
        "int6_noise_shared_by_rows",
        ste(stochastic(31, _row_noise)),
        ste(stochastic(31, torch.rand_like)),
        6,
    )
    yield pair(
        cause,
        "int8_numpy_seed",
        ste(stochastic(127, _numpy_noise, -1)),
        ste(stochastic(127, torch.rand_like, -1)),
        8,
    )
    yield pair(
        cause,
        "int5_noise_by_position",
        ste(stochastic(15, _weyl_noise)),
        ste(stochastic(15, torch.rand_like)),
        5,
    )
    yield pair(
        cause,
        "int8_one_draw_for_all",
        ste(stochastic(127, _one_draw)),
        ste(stochastic(127, torch.rand_like)),
        8,
    )
