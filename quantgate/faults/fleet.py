"""The fleet of the incident: its quantizers rebuilt from what they did, its rates, and the bug report's table.

The bug report (trios-trainer-igla, issue 827) is a table of 16 cells, most of them at 7.0, with three guesses at the
cause: a missing dequantization, a collapsed scale, a wrong straight-through estimator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from quantgate.faults.parts.quantizers import amax_scale, integers, table
from quantgate.formats import BUILTIN, Format
from quantgate.subjects.codecs import FunctionCodec
from quantgate.training.fakequant import Quantizer, straight_through


@dataclass(frozen=True)
class Reported:
    """A row of the bug report's table."""

    format: str
    optimizer: str
    #: Best bits per byte that the cell reached in the fleet.
    bpb: float
    #: `dead`, `partial` or `learns`: the report's own word.
    verdict: str


#: The bug report's table, in its order.
REPORT = (
    Reported("posit8", "adamw", 6.9903, "dead"),
    Reported("posit8", "muon", 4.8115, "partial"),
    Reported("int8", "adamw", 6.9926, "dead"),
    Reported("int8", "muon", 5.4015, "partial"),
    Reported("int4", "adamw", 6.9703, "dead"),
    Reported("int4", "muon", 2.8440, "learns"),
    Reported("uint8", "adamw", 7.0000, "dead"),
    Reported("gf32", "adamw", 6.9610, "dead"),
    Reported("gf8", "adamw", 7.0000, "dead"),
    Reported("gf4", "muon", 7.0124, "dead"),
    Reported("mxfp8", "muon", 6.9780, "dead"),
    Reported("nf4", "adamw", 6.9860, "dead"),
    Reported("nf4", "muon", 7.0552, "dead"),
    Reported("gf256", "adamw", 2.5719, "learns"),
    Reported("posit16", "muon", 2.6251, "learns"),
    Reported("fp16", "adamw", 2.6691, "learns"),
)

#: The fleet's learning rates; it multiplied Muon's 1e-4 by ten.
FLEET_RATES: Mapping[str, float] = MappingProxyType({"adamw": 1e-4, "muon": 1e-3})

#: Steps of the replayed cells. At these rates the control (width 64, seed 47) ends at 5.82 with AdamW after 100 steps;
#: with Muon at 6.49, which is on the line, and after 200 steps at 5.92.
FLEET_STEPS: Mapping[str, int] = MappingProxyType({"adamw": 100, "muon": 200})


def rounded_fraction(bits: int, largest: float = float("inf")) -> Quantizer:
    """float32 with so many bits of fraction left, ties away from 0, clamped to `largest`: no scale, no subnormals."""
    dropped = 23 - bits

    def grid(x: Tensor) -> Tensor:
        magnitude = x.abs().contiguous().view(torch.int32)
        kept = (magnitude + (1 << (dropped - 1))) & -(1 << dropped)
        return kept.view(torch.float32).clamp(max=largest).copysign(x)

    return grid


def flushed_gf8(x: Tensor) -> Tensor:
    """gf8 with neither scale nor subnormals: what is below 1/8 becomes 0, and so does most of a layer."""
    return torch.where(x.abs() < 0.125, 0.0, rounded_fraction(4, 15.5)(x))


def unsigned_bytes(x: Tensor) -> Tensor:
    """uint8 with an amax scale and no zero point: clamp(0, 255) sends every negative weight to 0."""
    scale = amax_scale(x, 255.0)
    return (x / scale).round().clamp(0, 255) * scale


def fallen_back(x: Tensor) -> Tensor:
    """The fallback of an unknown name: float32."""
    return x.clone()


def _format(name: str, grid: Quantizer) -> Format:
    codec = FunctionCodec(straight_through(grid))
    return Format(name=name, codec=codec, bits=BUILTIN[name].bits)


#: The fleet's quantizers by the names of the formats that they stood for.
FLEET: Mapping[str, Format] = MappingProxyType(
    {
        name: _format(name, grid)
        for name, grid in (
            ("posit8", rounded_fraction(4, 64.0)),
            ("int8", integers(127)),
            ("int4", integers(7)),
            ("uint8", unsigned_bytes),
            ("gf32", rounded_fraction(18)),
            ("gf8", flushed_gf8),
            ("gf4", rounded_fraction(2, 3.0)),
            ("mxfp8", rounded_fraction(3, 448.0)),
            ("nf4", table(BUILTIN["nf4"].values or (), scaled=False)),
            ("gf256", fallen_back),
            ("posit16", rounded_fraction(10)),
            ("fp16", rounded_fraction(10, 65504.0)),
        )
    }
)
