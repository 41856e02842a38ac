"""Reproducible calls of a quantizer: seeded inputs, a seeded torch generator, and gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from quantgate.training.fakequant import Quantizer, called

#: Standard deviations of the inputs that a quantizer is probed on by itself: a model's first weights have
#: 1 / sqrt(width), trained ones up to about 1, a small head 1 / 32.
INPUT_SIGMAS = (1.0, 1 / 8, 1 / 32)
INPUT_SHAPE = (48, 96)
#: Rows and columns of a probe's input; columns are a multiple of 16.
Shape = tuple[int, int]
SEED = 20_827
#: Powers of two as scales leave up to half of the codes unused at one size, and none of them all over an octave.
OCTAVE = (1.0, 1.3, 1.6, 1.95)


def normal(sigma: float, device: str, shape: Shape = INPUT_SHAPE) -> Tensor:
    """A float32 sample of N(0, sigma^2); the same at each call."""
    generator = torch.Generator().manual_seed(SEED)
    return torch.randn(shape, generator=generator).mul_(sigma).to(device)


def upstream(device: torch.device) -> Tensor:
    """A gradient d loss / d q(x), shape `INPUT_SHAPE`, that does not depend on x."""
    return normal(1.0, str(device)).roll(1, dims=0)


def seed_generators(seed: int, device: torch.device) -> None:
    """`torch.manual_seed` for the generators that a quantizer on this device draws from.

    torch's own asks every kind of device that there could be, and formats a stack trace for each: 0.3 ms a call, more
    than most quantizers take.
    """
    if device.type not in {"cpu", "cuda"}:
        torch.manual_seed(seed)
        return
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)


def seeded(quantizer: Quantizer, x: Tensor, seed: int = SEED) -> Tensor:
    """q(x) without a graph, after seeding torch's generator."""
    seed_generators(seed, x.device)
    with torch.no_grad():
        return called(quantizer, x, "a probe")


def gradient(quantizer: Quantizer, x: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor | None]:
    """Backpropagate `upstream`, the gradient of q(x), through the quantizer.

    Returns:
        q(x), and the gradient of x; None if q(x) has no graph or x gets no gradient.
    """
    leaf = x.clone().requires_grad_()
    seed_generators(SEED, x.device)
    with torch.enable_grad():
        q = called(quantizer, leaf, "a probe")
        if not q.requires_grad:
            return q, None
        # The gradient of this sum with respect to q is `upstream`, bit for bit. Handing `upstream` to autograd.grad
        # would import sympy, for 0.45 s.
        (given,) = torch.autograd.grad((q * upstream).sum(), leaf, allow_unused=True)
    return q, given
