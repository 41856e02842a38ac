"""Is a quantizer the one that its name claims? It is compared with built-in formats bit for bit."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from quantgate.diagnosis.evidence import Conformity
from quantgate.formats import BUILTIN, Format
from quantgate.probes.quantizer.calls import normal, seeded
from quantgate.probes.quantizer.ramp import ramp
from quantgate.probes.quantizer.reach import reach
from quantgate.training.fakequant import Quantizer

#: So many of the differences are shown.
SHOWN = 3


def conformity(make_quantizer: Callable[[], Quantizer], like: Format, device: str = "cpu") -> Conformity:
    """How a quantizer differs from a built-in format over its grid, its midpoints, beyond its range, and on noise.

    NaN equals NaN, 0 equals -0, and beyond the range infinity is as good as the largest value. A quantizer that derives
    no scale is compared with the bare format, of scale 1.
    """
    derived = _compared(make_quantizer, like.name, like.fake_quantize, like, device)
    if not derived.differ:
        return derived
    bare = _compared(
        make_quantizer, f"{like.name} of scale 1", lambda x: like.fake_quantize(x, 1.0), like, device
    )
    if not bare.differ:
        return bare
    shares, like_shares = reach(make_quantizer, device), reach(lambda: like.fake_quantize, device)
    return replace(min(derived, bare, key=lambda found: found.differ), shares=shares, like_shares=like_shares)


def _compared(
    make_quantizer: Callable[[], Quantizer], name: str, expect: Quantizer, like: Format, device: str
) -> Conformity:
    differ, of = 0, 0
    shown: list[str] = []
    for x in (*_grid(like, device), *_noise(device)):
        got, expected = seeded(make_quantizer(), x.clone()), expect(x)
        overflows = got.isinf() & (got.sign() == x.sign()) & (expected.abs() < x.abs())
        wrong = (got != expected) & ~(got.isnan() & expected.isnan()) & ~overflows
        differ, of = differ + int(wrong.sum()), of + x.numel()
        for place in wrong.flatten().nonzero().flatten()[: SHOWN - len(shown)].tolist():
            values = (float(each.flatten()[place]) + 0.0 for each in (x, got, expected))
            shown.append("{:.9g} gives {:.9g} instead of {:.9g}".format(*values))
    return Conformity(name, differ, of, tuple(shown))


def fingerprint(make_quantizer: Callable[[], Quantizer], device: str = "cpu") -> str:
    """A digest of what a quantizer makes of the probes' inputs: equal for quantizers that agree in every bit."""
    digest = hashlib.sha256()
    for x in _noise(device):
        y = seeded(make_quantizer(), x.clone()).detach().float() + 0.0  # -0 becomes 0
        digest.update(y.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def builtin_of(
    make_quantizer: Callable[[], Quantizer], bits: float | None, device: str = "cpu"
) -> str | None:
    """The built-in format of so many bits that agrees with a quantizer in every bit of these inputs.

    None where none does; where the bits are unknown, all are asked.

    What these inputs do not change is no format's: float32 and its like, and posit32 near 1.
    """
    inputs = _noise(device)
    outputs = [seeded(make_quantizer(), x.clone()) for x in inputs]
    if torch.equal(outputs[0], inputs[0]):
        return None
    same = (
        name
        for name, format in BUILTIN.items()
        if not format.lossless
        and bits in {None, format.bits}
        and all(torch.equal(format.fake_quantize(x), q) for x, q in zip(inputs, outputs, strict=True))
    )
    return next(same, None)


def _noise(device: str) -> tuple[Tensor, ...]:
    """Of both signs, in two sizes, of one sign, and a ramp."""
    wide, narrow = normal(1.0, device), normal(2.0**-6, device)
    return narrow, wide, wide.abs() + 0.1, ramp(device)


def _grid(like: Format, device: str) -> tuple[Tensor, ...]:
    """Each value, each midpoint between two and the floats beside it; then the same with what is beyond the range."""
    if like.values is None:
        return ()
    values = torch.tensor(like.values, dtype=torch.float32, device=device)
    middle = (values[1:] + values[:-1]) / 2
    up, down = (torch.nextafter(middle, torch.full_like(middle, to)) for to in (math.inf, -math.inf))
    near = torch.cat((values, middle, up, down)).sort().values
    beyond = torch.cat((near, values[[0, -1]] * 1.5, values[[0, -1]] * 1e6))
    return near[near.isfinite()], beyond[beyond.isfinite()]
