"""Whether an optimizer keeps what it must: its update beside that of the same algorithm with float32 state.

The optimizer is fed gradients whose elements span three decades, as a model's do. Among torch's own and the
built-in optimizers the one whose update agrees where gradients are large is taken for its algorithm; a state
that loses small values then shows where gradients are small.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from quantgate.optim import OPTIMIZERS, Build

SHAPE = (48, 64)
STEPS = 30
RATE = 1e-3
#: Sizes of the gradient's elements: from 10^-2 down to 10^-5.
LARGEST, DECADES = 1e-2, 3.0
#: The update of the same algorithm agrees so well where gradients are large.
SAME_ALGORITHM = 0.9
_SEED = 2_584


@lru_cache(maxsize=64)
def update_cosine(build: Build) -> float | None:
    """Agreement with the float32-state update where gradients are small, in -1..1; None where no algorithm fits.

    1 is agreement; the cosine is multiplied by the ratio of the norms, the smaller over the larger, so that an
    update that explodes where the state was lost counts as none. 0 where the update is not finite.
    """
    update = _update(build)
    large, small = _masks()
    if not torch.isfinite(update).all():
        return 0.0
    fits = []
    for reference in OPTIMIZERS.values():
        expected = _update(reference.build)
        fits.append((_agreement(update[large], expected[large]), _agreement(update[small], expected[small])))
    best_large, best_small = max(fits)
    return best_small if best_large >= SAME_ALGORITHM else None


def _magnitudes() -> Tensor:
    generator = torch.Generator().manual_seed(_SEED)
    return LARGEST * 10 ** (-DECADES * torch.rand(SHAPE, generator=generator))


def _masks() -> tuple[Tensor, Tensor]:
    magnitudes = _magnitudes()
    return magnitudes >= LARGEST / 2, magnitudes <= LARGEST * 10 ** (-DECADES + 1)


@lru_cache(maxsize=64)
def _update(build: Build) -> Tensor:
    """The sum of `STEPS` updates on gradients that depend on nothing but the seed."""
    generator = torch.Generator().manual_seed(_SEED + 1)
    magnitudes, direction = _magnitudes(), torch.randn(SHAPE, generator=generator).sign()
    model = nn.Linear(SHAPE[1], SHAPE[0], bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.randn(SHAPE, generator=generator) / 8)
    before = model.weight.detach().clone()
    built = build(model, RATE)
    for _ in range(STEPS):
        noise = torch.randn(SHAPE, generator=generator)
        model.weight.grad = magnitudes * (direction + 0.1 * noise)
        for optimizer in built if isinstance(built, list) else [built]:
            optimizer.step()
    return model.weight.detach() - before


def _agreement(update: Tensor, expected: Tensor) -> float:
    norms = float(update.norm()), float(expected.norm())
    if not all(norms):
        return 0.0
    cosine = float(update.flatten().dot(expected.flatten())) / (norms[0] * norms[1])
    return cosine * min(norms) / max(norms)
