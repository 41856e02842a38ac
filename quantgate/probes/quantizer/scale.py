"""The scale of a quantizer: does it follow its input, and does it survive an input of zeros?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from quantgate.probes.quantizer.calls import INPUT_SHAPE, SEED, normal, seeded
from quantgate.probes.tensors import FEW, SAME, clipped_share, peak, share
from quantgate.records.cell import DEFAULT_STEPS
from quantgate.training.fakequant import Quantizer

#: Calls that every quantizer is given to follow an input that grew.
PATIENCE = 4
#: It has followed, and more calls would show nothing else.
FOLLOWED = 2.0
#: What is smaller than this share of the range is not clipped to it.
INSIDE = 0.9
#: Of values of one sign, the least share that a zero point that does nothing clips: with the rule's 0.65, 0.35 of them.
AT_THE_EDGE = 0.25
#: Of so many elements two, one of each sign, are 16 times as large as the others may be; and what is left of them
#: where the range is theirs.
EXTREME_EVERY = 128
KEPT = 0.9


def zero_input(make_quantizer: Callable[[], Quantizer], device: str) -> str | None:
    """Quantize an all-zero tensor and a tensor with an all-zero row.

    Returns:
        The one whose output is not finite; None if both are.
    """
    row = normal(1.0, device)
    row[3] = 0.0
    for label, x in (("an all-zero tensor", torch.zeros_like(row)), ("an all-zero row", row)):
        if not torch.isfinite(seeded(make_quantizer(), x)).all():
            return label
    return None


@dataclass(frozen=True)
class Scaling:
    """How a quantizer reacts to an input four times as large."""

    #: max |q(4 x)| / max |q(x)| after some calls; None for a learned scale or an output of zeros.
    follows: float | None = None
    #: rms of q(4 x) over rms of 4 x at the first call, of elements inside the range of x; None where not asked.
    late_gain: float | None = None
    #: Share of elements with q(4 x) != 4 q(x).
    fixed_grid: float = 0.0


def scaling(quantizer: Quantizer, x: Tensor, *, keeps_state: bool) -> Scaling:
    """How one instance of the quantizer reacts to an input four times as large.

    A delayed scale (a maximum over past calls) is given four calls to follow, and a quantizer with state as many as a
    training has steps: a moving average with PyTorch's constant of 0.01 grows 1.1-fold in four and 2.9-fold in 100.
    An observer that stops within a training has stopped by then.
    """
    before = seeded(quantizer, x.clone())
    if isinstance(quantizer, nn.Module) and any(True for _ in quantizer.parameters()):
        return Scaling()  # asked after the first call, which may have made them
    for _ in range(DEFAULT_STEPS if keeps_state else 0):
        before = seeded(quantizer, x.clone())
    largest = float(before.abs().max())
    if not largest:
        return Scaling()
    first = after = seeded(quantizer, 4 * x)
    for call in range(1, DEFAULT_STEPS if keeps_state else PATIENCE):
        after = seeded(quantizer, 4 * x)
        if call >= PATIENCE - 1 and float(after.abs().max()) >= FOLLOWED * largest:
            break
    inside = (4 * x.abs() < INSIDE * largest) & (before != 0)
    late = float(first[inside].norm() / (4 * before[inside]).norm()) if int(inside.sum()) >= FEW else None
    return Scaling(float(after.abs().max()) / largest, late, differs(4 * before, after))


def one_sided_peak(make_quantizer: Callable[[], Quantizer], device: str) -> float:
    """What is left of the largest elements of values of one sign, over what is left of those of both signs.

    The zero point of an affine grid moves there by half of the range; one that does nothing clips half of it. Values
    are uniform, so that every run of 16 reaches nearly as far as the tensor. Two others come back smaller without a
    zero point: a quantizer that takes the mean away clips less than `AT_THE_EDGE` of them, and a range of so many
    standard deviations clips rare extremes of both signs as well.
    """
    generator = torch.Generator().manual_seed(SEED)
    uniform = torch.rand(INPUT_SHAPE, generator=generator).to(device)
    two_sided = 2 * uniform - 1

    def left(x: Tensor) -> tuple[float, float]:
        q = seeded(make_quantizer(), x.clone())
        return peak(x, q), clipped_share(x, q)

    rare = two_sided / 16
    rare.view(-1, EXTREME_EVERY)[:, :2] = torch.tensor([1.0, -1.0])
    extremes = seeded(make_quantizer(), rare.clone()).reshape(-1, EXTREME_EVERY)[:, :2]
    if float(extremes.abs().mean()) < KEPT:
        return 1.0
    both, _ = left(two_sided)
    sides = (left(uniform + 0.1), left(-uniform - 0.1))
    kept = [found if clipped >= AT_THE_EDGE else both for found, clipped in sides]
    return max(kept) / both if both else 1.0


def changes_wide(quantizer: Quantizer, device: str) -> bool:
    """Whether the quantizer changes any of a sample of values between 2^-60 and 2^60."""
    x = normal(1.0, device) * 2.0 ** torch.linspace(-60, 60, INPUT_SHAPE[1], device=device)
    return not torch.equal(seeded(quantizer, x.clone()), x)


def differs(q: Tensor, other: Tensor) -> float:
    """The share of elements that differ by more than the float32 rounding of x + (q(x) - x).detach()."""
    return share((q - other).abs() > SAME * float(q.abs().max()), q.numel())
