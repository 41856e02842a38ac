"""Does an optimizer's state lose small values? Compare its update with the same algorithm's with float32 state.

The optimizer is given gradients whose elements span three decades, as a model's do, for matrices of 4,096 elements and
more: libraries quantize no smaller state. It is held against the algorithm that it claims to be, or the built-in one
whose update agrees best where gradients are large; a state that loses small values then shows as disagreement where
gradients are small. Two relations hold for every algorithm: what has a gradient moves, and a tensor's update goes
where it goes whatever the gradients of other tensors are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor, nn

from quantgate.probes.crash import describe
from quantgate.training.model import ModelConfig, build_model
from quantgate.training.optimizers import OPTIMIZERS, Build

WIDTH = 64
STEPS = 30
RATE = 1e-3
#: Sizes of the gradient's elements: from 10^-2 down to 10^-5.
LARGEST, DECADES = 1e-2, 3.0
#: The update of the same algorithm agrees so well where gradients are large.
SAME_ALGORITHM = 0.98
#: The parameter whose gradients are changed, to see whether others follow: two others have its shape.
CHANGED = 4
#: So many elements in a row have gradients of one size where regions are asked: more than a block of a state.
REGION = 2_048
#: An eps that the square root of a second moment of 10^-5 feels.
FELT = 1e-6
#: The step of one algorithm is not that of another at so much smaller a rate.
LEAST_RATE, MOST_RATE = 20.0, 1.5
_SEED = 2_584


@dataclass(frozen=True)
class Agreement:
    """How an optimizer's update agrees with the float32 algorithm's, in -1..1: the cosine, times the ratio of the norms
    where the update is the larger one, so that an update which explodes where state was lost counts as disagreement.
    Where gradients are large or of one size, a smaller update counts as well; elsewhere it is what a second moment that
    several elements share makes of it, or one that is rounded up.
    """

    #: The built-in optimizer that it was held against.
    algorithm: str
    #: Where gradients are large and small; 0 if the update is not finite.
    large: float
    small: float
    #: Where gradients are small, and a smaller update counts as well.
    small_both_ways: float
    #: The least of the regions of `REGION` elements, whose gradients have one size each; None where not asked.
    regions: float | None
    #: Of all gradients: the cosine of the two updates, and the norm of this one over the algorithm's.
    cosine: float = 1.0
    size: float = 1.0


@dataclass(frozen=True)
class Independence:
    """What an optimizer's update shows without another one beside it."""

    #: Share of the elements with a gradient that no step moved.
    still: float
    #: The least cosine between two updates of a tensor under the same gradients, while those of another tensor differ;
    #: and that tensor.
    alone: float
    tensor: str


@lru_cache(maxsize=64)
def agreement(build: Build, reference: str | None = None) -> Agreement | str:
    """Hold an optimizer against the float32 algorithm that it claims to be, or else against the nearest built-in.

    Args:
        build: Makes the optimizer.
        reference: The built-in optimizer that it claims to be; None for the one that agrees best where gradients are
            large.

    Returns:
        The agreement, or why there is none.
    """
    try:
        update, held = _update(build, undecayed=True)
    except Exception as error:  # a build that fits another model only; its own cell says what it raises
        return describe(error)
    if not bool(held.any()):
        return "it holds no parameter of the model"
    magnitudes = _magnitudes(len(update))
    large, small = held & (magnitudes >= LARGEST / 2), held & (magnitudes <= LARGEST * 10 ** (1 - DECADES))
    finite = bool(torch.isfinite(update[held]).all())
    fits = []
    for name in OPTIMIZERS if reference is None else (reference,):
        expected, _ = _update(OPTIMIZERS[name].build, undecayed=True)
        sized = update * _rates(update, expected, large)
        alike = _agreement(sized[large], expected[large], both_ways=True) if finite else 0.0
        lost = _agreement(sized[small], expected[small]) if finite else 0.0
        both = _agreement(sized[small], expected[small], both_ways=True) if finite else 0.0
        cosine, size = _compared(update[held], expected[held]) if finite else (0.0, math.inf)
        fits.append(Agreement(name, alike, lost, both, regions=1.0, cosine=cosine, size=size))
    best = max(fits, key=lambda fit: fit.large)
    if reference is None and best.large < SAME_ALGORITHM and finite:
        return "no built-in optimizer has its algorithm; name one with register_optimizer(..., reference=...)"
    return replace(best, regions=_least_region(build, best.algorithm))


def _rates(update: Tensor, expected: Tensor, large: Tensor) -> Tensor:
    """What each parameter's update is multiplied by, for the rates that an author gives them: groups, warm-up, clips.

    A smaller step than the reference's is a rate; one that is larger by more than a half is not.
    """
    factors, start = torch.ones_like(update), 0
    for p in _Trainee().parameters():
        part, start = slice(start, start + p.numel()), start + p.numel()
        one, other = update[part][large[part]], expected[part][large[part]]
        power = float(one.square().sum())
        if power and math.isfinite(power):
            factor = float(one.dot(other)) / power
            factors[part] = min(factor, LEAST_RATE) if factor > 1 / MOST_RATE else 1.0
    return factors


def _least_region(build: Build, algorithm: str) -> float | None:
    """The least agreement of a region of the model whose gradients have one size, between 10^-5 and 10^-2.

    None where the optimizer adds an eps that gradients of that size feel.
    """
    if _eps(build) > FELT:
        return None
    update, held = _update(build, by_region=True, undecayed=True)
    expected, _ = _update(OPTIMIZERS[algorithm].build, by_region=True, undecayed=True)
    update = update * _rates(update, expected, torch.ones_like(held))
    found, start = [], 0
    for p in _Trainee().parameters():
        for first in range(start, start + p.numel() // REGION * REGION, REGION):
            part = slice(first, first + REGION)
            if bool(held[part].all()):
                found.append(_agreement(update[part], expected[part], both_ways=True))
        start += p.numel()
    return min(found, default=1.0)


@lru_cache(maxsize=64)
def independence(build: Build) -> Independence | None:
    """What of an optimizer's update needs no other algorithm to compare with; None where it cannot be asked."""
    try:
        update, held = _update(build)
        changed, _ = _update(build, CHANGED)
    except Exception:  # a build that fits another model only; its own cell says what it raises
        return None
    if not bool(update[held].any()) or not bool(torch.isfinite(update[held]).all()):
        return None  # a step that is taken while gradients are computed takes none for those that are given
    named = [(name, p.numel()) for name, p in _Trainee().named_parameters()]
    least, tensor, start = 1.0, "", 0
    for place, (name, count) in enumerate(named):
        part, start = slice(start, start + count), start + count
        if place != CHANGED and bool(held[part].all()) and bool(update[part].any()):
            cosine = float(torch.cosine_similarity(update[part], changed[part], dim=0))
            if cosine < least:
                least, tensor = cosine, name.removeprefix("model.")
    return Independence(float((update[held] == 0).float().mean()), least, tensor)


def _eps(build: Build) -> float:
    """The largest eps of an optimizer's groups."""
    built = build(_Trainee(), RATE)
    groups = [
        group
        for each in (built if isinstance(built, list | tuple) else [built])
        for group in each.param_groups
    ]
    return max((eps for group in groups if isinstance(eps := group.get("eps"), float)), default=0.0)


class _Trainee(nn.Module):
    """The tiny model under the names that a cell's trainee gives it."""

    def __init__(self) -> None:
        super().__init__()
        # Layers draw weights of their own before they are given these.
        with torch.random.fork_rng(devices=[]):
            self.model = build_model(ModelConfig(width=WIDTH), torch.Generator().manual_seed(_SEED))


def _magnitudes(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(_SEED)
    return LARGEST * 10 ** (-DECADES * torch.rand(count, generator=generator))


def _of_regions(sizes: Sequence[int]) -> Tensor:
    """One size of the gradient for each region of a parameter."""
    generator = torch.Generator().manual_seed(_SEED)
    parts = [
        torch.rand(-(-size // REGION), generator=generator).repeat_interleave(REGION)[:size] for size in sizes
    ]
    return LARGEST * 10 ** (-DECADES * torch.cat(parts))


@lru_cache(maxsize=64)
def _update(
    build: Build, negated: int | None = None, *, by_region: bool = False, undecayed: bool = False
) -> tuple[Tensor, Tensor]:
    """(the sum of `STEPS` updates on gradients that depend on nothing but the seed, elements that are held).

    Args:
        build: Makes the optimizer.
        negated: The parameter whose gradients are turned around.
        by_region: Whether the gradients' sizes differ by region, and not by element.
        undecayed: Whether no weight decays: they start at 0, and the groups' decay is 0.
    """
    trainee = _Trainee()
    if undecayed:
        with torch.no_grad():
            for p in trainee.parameters():
                p.zero_()
    parameters = list(trainee.parameters())
    sizes = [p.numel() for p in parameters]
    generator = torch.Generator().manual_seed(_SEED + 1)
    magnitudes = _of_regions(sizes) if by_region else _magnitudes(sum(sizes))
    direction = torch.randn(sum(sizes), generator=generator).sign()
    before = torch.cat([p.detach().flatten().clone() for p in parameters])
    built = build(trainee, RATE)
    optimizers = list(built) if isinstance(built, list | tuple) else [built]
    for group in (group for each in optimizers for group in each.param_groups if undecayed):
        group["weight_decay"] = 0.0
    owned = {id(p) for each in optimizers for group in each.param_groups for p in group["params"]}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)  # of what rounds stochastically
        for _ in range(STEPS):
            gradient = magnitudes * (direction + 0.1 * torch.randn(sum(sizes), generator=generator))
            for place, (p, part) in enumerate(zip(parameters, torch.split(gradient, sizes), strict=True)):
                p.grad = part.view_as(p) * (-1.0 if place == negated else 1.0)
            for optimizer in optimizers:
                optimizer.step()
    after = torch.cat([p.detach().flatten() for p in parameters])
    held = torch.cat([torch.full((p.numel(),), id(p) in owned) for p in parameters])
    return after - before, held


def _compared(update: Tensor, expected: Tensor) -> tuple[float, float]:
    """(the cosine of two updates, the norm of the first over the second's)."""
    cosine = float(torch.cosine_similarity(update.double(), expected.double(), dim=0))
    return cosine, float(update.double().norm()) / (float(expected.double().norm()) or 1.0)


def _agreement(update: Tensor, expected: Tensor, *, both_ways: bool = False) -> float:
    norms = float(update.norm()), float(expected.norm())
    if not all(norms) or not all(map(math.isfinite, norms)):
        return 0.0
    cosine = float(update.dot(expected)) / (norms[0] * norms[1])
    return cosine * (min(norms) / max(norms) if both_ways or norms[0] > norms[1] else 1.0)
