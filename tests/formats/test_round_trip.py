"""The nine formats of the incident: dequantized, a tensor is within half a step of what it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from quantgate.formats import BUILTIN

from . import reference

#: Room for the roundings of the scale, of x / scale and of the product, 2**-24 each, relative to x.
ROUNDINGS = 3 * 2.0**-24


def half_steps(name: str, v: NDArray[np.float64]) -> NDArray[np.float64]:
    """For scaled magnitudes: half the distance of the two grid values around each.

    Beyond the largest value, which only MX scales let happen, the excess counts: it saturates. Posits below
    2**-16 or above 2**16 have no fraction bit left; there, the grid is geometric, and a whole step counts.
    """
    if name == "gf32":
        return np.asarray(np.exp2(np.floor(np.log2(np.abs(v))) - 19 - 1))
    values = reference.grid(name).values
    if name == "uint8":
        values = np.arange(-255.0, 256.0)
    upper = np.clip(np.searchsorted(values, v, side="left"), 1, len(values) - 1)
    half = (values[upper] - values[upper - 1]) / 2
    if name == "posit8":
        half = np.where((np.abs(v) < 2.0**-16) | (np.abs(v) > 2.0**16), 2 * half, half)
    excess = np.abs(v) - np.where(v > 0, values[-1], -values[0])
    return np.asarray(np.maximum(half, excess))


@pytest.mark.parametrize("name", ["int4", "int8", "uint8", "posit8", "nf4", "mxfp8", "gf4", "gf8", "gf32"])
@pytest.mark.parametrize("std", [1e-20, 0.02, 1.0, 1e20])
def test_the_incidents_formats_return_what_they_were_given(name: str, std: float) -> None:
    x = torch.randn(64, 96, generator=torch.Generator().manual_seed(827)) * std
    x[7, 11], x[8, :] = 0.0, 3 * std
    encoded = BUILTIN[name].encode(x)
    returned = BUILTIN[name].decode(encoded).double()
    scale = torch.ones(()) if encoded.scale is None else encoded.scale.float()
    if scale.ndim:
        block = 64 if name == "nf4" else 32
        scale = scale.repeat_interleave(block, dim=-1)[..., : x.shape[-1]]
    scaled = (x.double() / scale.double()).numpy()
    with np.errstate(divide="ignore"):
        bound = half_steps(name, scaled) * scale.double().numpy()
    error = (returned - x.double()).abs().numpy()
    assert (error <= bound + ROUNDINGS * x.abs().double().numpy()).all()
    # Not by returning x: at these sizes each of them changes most elements.
    assert (error > 0).mean() > 0.5
