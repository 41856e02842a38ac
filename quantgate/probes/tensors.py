"""One tensor beside its fake-quantized self, and the gradients of both."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from quantgate.diagnosis.evidence import TensorEvidence

#: Values nearer than this share of the range are one: x + (q(x) - x).detach() leaves q(x) by a rounding of float32.
SAME = 1e-5
#: Elements of a row that are looked at together: no group that shares a scale is smaller.
RUN = 16
#: Of a gradient without a part along its row, in all rows but a few.
ORTHOGONAL, FEW_ROWS = 1e-3, 0.05
#: Two gradients that point the same way.
ALIKE = 0.9
#: Fewer elements of one sign than this are too few for a share.
FEW = 32
#: Noise below this share of the power is float32's own rounding: of x * s / s, or x + (q - x).detach().
FLOAT32_NOISE = 1e-13


def tensor_evidence(
    name: str, step: int, x: Tensor, q: Tensor, gradient: Tensor | None, reference: Tensor | None
) -> TensorEvidence:
    """Measure a tensor beside its fake-quantized self, and the gradients of both.

    Args:
        name: What the tensor is called in messages.
        step: The optimizer step before which it is measured.
        x: The tensor.
        q: q(x), of the same shape.
        gradient: d loss / d x as the quantizer's backward gives it; None if there is none.
        reference: d loss / d q(x) on the same forward, which is what a straight-through estimator gives x.
    """
    lines_kept, line_snr = _lines(x.detach().float(), q.detach().float())
    shape = x.shape
    given = x.detach().float()
    x, q = given.flatten(), q.detach().flatten().float()
    count = max(x.numel(), 1)
    power = float(x.dot(x))
    rms = math.sqrt(power / count)
    error = float((q - x).square().sum())
    negative, positive = x < -rms / 2, x > rms / 2
    if gradient is not None and reference is not None:
        reference = _normed(gradient.detach().float(), given, reference.detach().float())
    norm, reference_norm, cosine, zeros = _compare(gradient, reference)
    if gradient is not None and reference is not None and 0 < cosine < ALIKE:
        inner = _compare(*(_without_extremes(x, each.detach().float()) for each in (gradient, reference)))
        if inner[2] > cosine:
            norm, reference_norm, cosine, _ = inner
    clipped = _clipped(x, q, shape)
    return TensorEvidence(
        tensor=name,
        step=step,
        rms=rms,
        changed=share(q != x, count),
        gain=math.sqrt(float(q.dot(q)) / power) if power else 1.0,
        side_gain=_side_gain(x, q, negative, positive),
        snr=decibels(power, error),
        zeros=share(q == 0, count),
        negatives_kept=_kept(negative, q < 0),
        positives_kept=_kept(positive, q > 0),
        saturated=share(clipped, count),
        reference_gradient=reference_norm,
        gradient=norm,
        gradient_cosine=cosine,
        gradient_zeros=zeros,
        blocked_unclipped=_blocked_unclipped(x, q, gradient, reference) if 0 < zeros < 1 else 0.0,
        lines_kept=lines_kept,
        line_snr=line_snr,
        drift=_drift(q - x),
        shrinks=_shrinks(x, q, ~clipped & (q != 0)),
        peak=peak(x, q),
        clip_noise=float((q - x)[clipped].square().sum()) / error if 0 < error < math.inf else 0.0,
        top=_ratio(q, x.abs().max() if x.numel() else x.sum()),
        span=_ratio(q, q[q != 0].abs().min() if bool((q != 0).any()) else q.sum()),
    )


def clipped_share(x: Tensor, q: Tensor) -> float:
    """Share of elements that came back smaller, at the edge of what their tensor, row or run of 16 came back as."""
    return share(_clipped(x.flatten(), q.flatten(), x.shape), x.numel())


def peak(x: Tensor, q: Tensor) -> float:
    """What is left of the largest element of each run of 16, on average; 0 where it changes its sign."""
    x, q = x.flatten(), q.flatten()
    whole = x.numel() // RUN * RUN
    runs = x[:whole].view(-1, RUN)
    largest, at = runs.abs().max(1)
    came_back = (q[:whole].view(-1, RUN) * runs.sign()).gather(1, at.view(-1, 1)).flatten()
    present = largest > 0
    left = (came_back[present] / largest[present]).clamp(min=0)
    return float(left.mean()) if int(present.sum()) else 1.0


def _clipped(x: Tensor, q: Tensor, shape: torch.Size) -> Tensor:
    return (q.abs() < x.abs() * (1 - SAME)) & _at_the_edge(q, shape)


def _at_the_edge(q: Tensor, shape: torch.Size) -> Tensor:
    """Elements at the largest positive or the least negative value of the tensor, their row or run of 16."""
    width = shape[-1] if shape else 1
    found = torch.zeros_like(q, dtype=torch.bool)
    for length in (q.numel(), width, RUN):
        if length and q.numel() % length == 0:
            lines = q.view(-1, length)
            for side in (lines, -lines):
                largest = side.amax(1, keepdim=True)
                found |= ((side >= (1 - SAME) * largest) & (largest > 0)).flatten()
    return found


def _ratio(q: Tensor, to: Tensor) -> float:
    """The largest |q| over another size; 0 where either is 0."""
    size = float(to)
    return float(q.abs().max()) / size if size else 0.0


def _drift(error: Tensor) -> float:
    size = float(error.abs().mean()) if error.numel() else 0.0
    return float(error.mean()) / size if math.isfinite(size) and size else 0.0


def _side_gain(x: Tensor, q: Tensor, *sides: Tensor) -> float:
    """The rms of q over the rms of x, of the side on which it is nearer to 1."""
    gains = [float(q[side].norm() / x[side].norm()) for side in sides if int(side.sum()) >= FEW]
    return min((gain for gain in gains if math.isfinite(gain)), key=_off, default=1.0)


def _off(gain: float) -> float:
    return abs(math.log(gain)) if gain else math.inf


def _shrinks(x: Tensor, q: Tensor, inside: Tensor) -> float:
    size = float((q - x)[inside].abs().sum())
    return float((q.abs() - x.abs())[inside].sum()) / size if math.isfinite(size) and size else 0.0


def _lines(x: Tensor, q: Tensor) -> tuple[float, float]:
    """Of rows, columns and runs of a matrix that hold anything but 0: the share of those that came back as they were,
    but for a rounding of float32 (the largest of the three), and the best signal over noise of one in decibels.
    """
    if x.ndim != 2:
        return 0.0, -math.inf
    power, noise = x.square(), (q - x).square()
    lines = [(power.sum(axis), noise.sum(axis)) for axis in (0, 1)]
    if x.shape[1] % RUN == 0:
        lines.append((power.reshape(-1, RUN).sum(1), noise.reshape(-1, RUN).sum(1)))
    kept, best = 0.0, math.inf
    for signal, lost in lines:
        present = signal > 0
        kept = max(kept, share(present & (lost <= FLOAT32_NOISE * signal), int(present.sum())))
        best = min(
            best,
            float((lost[present] / signal[present]).nan_to_num(math.inf).min())
            if present.any()
            else math.inf,
        )
    return kept, decibels(1.0, best)


def _blocked_unclipped(x: Tensor, q: Tensor, gradient: Tensor | None, reference: Tensor | None) -> float:
    """Of the elements whose gradient became 0, the share that q did not clip: |q(x)| >= |x|."""
    if gradient is None or reference is None:
        return 0.0
    lost = (reference.flatten() != 0) & (gradient.flatten() == 0)
    return share(lost & (q.abs() >= x.abs() * (1 - SAME)) & (q != 0), int(lost.sum()))


def _normed(gradient: Tensor, x: Tensor, reference: Tensor) -> Tensor:
    """The reference gradient behind a norm of the rows, where there is one.

    A weight that is read as its direction times a learned length has a gradient with no part along its rows.
    """
    if x.ndim != 2:
        return reference
    along = (gradient * x).sum(1).abs() <= ORTHOGONAL * gradient.norm(dim=1) * x.norm(dim=1)
    if share(along, len(along)) < 1 - FEW_ROWS:
        return reference
    size = x.square().sum(1, keepdim=True).clamp(min=1e-30)
    return reference - x * (reference * x).sum(1, keepdim=True) / size


def _without_extremes(x: Tensor, gradient: Tensor) -> Tensor:
    """A gradient without what may come by way of a scale: that of the largest and the least element of each run."""
    whole = x.numel() // RUN * RUN
    runs, kept = x[:whole].view(-1, RUN), gradient.flatten()[:whole].view(-1, RUN).clone()
    for end in (runs.argmax(1, keepdim=True), runs.argmin(1, keepdim=True)):
        kept.scatter_(1, end, 0.0)
    return kept


def _compare(gradient: Tensor | None, reference: Tensor | None) -> tuple[float | None, float, float, float]:
    """(norm, reference norm, cosine, share of zeros where the reference has none)."""
    if reference is None:
        return (None if gradient is None else float(gradient.norm()), 0.0, 0.0, 0.0)
    expected = reference.detach().flatten().float()
    norm = float(expected.norm())
    if gradient is None:
        return None, norm, 0.0, 1.0
    got = gradient.detach().flatten().float()
    got_norm = float(got.norm())
    cosine = float(got.dot(expected)) / (norm * got_norm) if norm and got_norm else 0.0
    present = expected != 0
    return got_norm, norm, cosine, share(present & (got == 0), int(present.sum()))


def _kept(of: Tensor, sign: Tensor) -> float:
    count = int(of.sum())
    return share(of & sign, count) if count >= FEW else 1.0


def share(mask: Tensor, count: int) -> float:
    """Elements of a mask as a share of `count`; 0 of 0 is 0."""
    return float(mask.sum()) / count if count else 0.0


def decibels(signal: float, noise: float) -> float:
    """The ratio of two powers; inf without noise, -inf without a signal or where the noise is not finite."""
    if not math.isfinite(noise):
        return -math.inf
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf
