"""What a quantizer's own parameters do: which of them scale its output, whatever they are called."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

#: Far beyond any range: what is quantized there is the largest value of the grid, which is proportional to the scale.
BEYOND = 1e4
#: How near to twice the output must come.
NEAR = 0.02


@dataclass(frozen=True)
class Role:
    """What a parameter does to the output of its quantizer."""

    #: Whether values beyond the range double when the parameter does: true of scales and of symmetric bounds, not of a
    #: lower bound, a zero point or a logarithm.
    is_scale: bool
    #: Whether the output depends on it at all; not so while statistics are still collected, say.
    used: bool


def roles(quantizer: nn.Module, x: Tensor) -> dict[str, Role]:
    """The role of each learned parameter of a quantizer, asked of copies, for the tensor x that it quantizes.

    Empty where the quantizer cannot be copied or does not take the inputs: its parameters are then not judged.
    """
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            return {
                name: _role(quantizer, name, x.detach())
                for name, p in quantizer.named_parameters()
                if p.requires_grad
            }
    except Exception:  # the user's own code, on inputs that it need not take
        return {}


def _role(quantizer: nn.Module, name: str, x: Tensor) -> Role:
    near, near_doubled = (_output(quantizer, name, factor, x) for factor in (1.0, 2.0))
    far, far_doubled = (_output(quantizer, name, factor, x * BEYOND) for factor in (1.0, 2.0))
    present = far != 0
    ratios = far_doubled[present] / far[present]
    doubles = bool(present.any()) and float(((ratios - 2).abs() < NEAR).float().mean()) > 1 - NEAR
    return Role(doubles, not (torch.equal(near, near_doubled) and torch.equal(far, far_doubled)))


def _output(quantizer: nn.Module, name: str, factor: float, x: Tensor) -> Tensor:
    twin = copy.deepcopy(quantizer)
    twin.get_parameter(name).mul_(factor)
    torch.manual_seed(0)
    found: Tensor = twin(x.clone())
    return found
