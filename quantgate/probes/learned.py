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
    #: Whether it gets a gradient where values are clipped at both ends.
    learns_clipped: bool = True


def roles(quantizer: nn.Module, x: Tensor) -> dict[str, Role]:
    """The role of each learned parameter of a quantizer, asked of copies, for the tensor x that it quantizes.

    Empty where the quantizer cannot be copied or does not take the inputs: its parameters are then not judged.
    """
    try:
        learns = _learns_clipped(quantizer, x.detach())
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            return {
                name: _role(quantizer, name, x.detach(), name in learns)
                for name, p in quantizer.named_parameters()
                if p.requires_grad
            }
    except Exception:  # the user's own code, on inputs that it need not take
        return {}


def is_scale_of_layer(layer: nn.Module, parameter: str, weight: str, x: Tensor) -> bool:
    """Whether a parameter scales the output of a layer where its weight, or else its input, lies beyond any range.

    Asked of copies. False where the layer cannot be copied or called again.

    Args:
        layer: The layer.
        parameter: The name of the parameter in it.
        weight: The name of its weight.
        x: An input of it.
    """

    def output(factor: float, of_weight: float, of_input: float) -> Tensor:
        twin = copy.deepcopy(layer)
        twin.get_parameter(weight).mul_(of_weight)
        twin.get_parameter(parameter).mul_(factor)
        torch.manual_seed(0)
        found: Tensor = twin(x.detach() * of_input)
        return found

    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            return any(
                _doubles(output(1.0, *beyond), output(2.0, *beyond))
                for beyond in ((BEYOND, 1.0), (1.0, BEYOND))
            )
    except Exception:  # a library's own code, called as it need not be
        return False


def is_used_by_layer(layer: nn.Module, parameter: str, x: Tensor) -> bool:
    """Whether the output of a layer depends on a parameter; asked of copies. False where it cannot be asked.

    Args:
        layer: The layer.
        parameter: The name of the parameter in it.
        x: An input of it.
    """

    def output(factor: float) -> Tensor:
        twin = copy.deepcopy(layer)
        twin.get_parameter(parameter).mul_(factor)
        torch.manual_seed(0)
        found: Tensor = twin(x.detach())
        return found

    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            return not torch.equal(output(1.0), output(2.0))
    except Exception:  # a library's own code, called as it need not be
        return False


def _doubles(far: Tensor, far_doubled: Tensor) -> bool:
    """Whether values double, or their distances do: an offset that is learned beside the scale stays."""
    rows, doubled = (each.reshape(-1, each.shape[-1] if each.ndim else 1) for each in (far, far_doubled))
    centred, doubled_centred = (each - each.mean(1, keepdim=True) for each in (rows, doubled))
    return _is_twice(rows, doubled) or _is_twice(centred, doubled_centred)


def _is_twice(far: Tensor, far_doubled: Tensor) -> bool:
    present = far.abs() > NEAR * far.abs().max()
    ratios = far_doubled[present] / far[present]
    return bool(present.any()) and float(((ratios - 2).abs() < NEAR).float().mean()) > 1 - NEAR


def _learns_clipped(quantizer: nn.Module, x: Tensor) -> set[str]:
    """The parameters that get a gradient where the ends of the range are passed, one farther than the other."""
    twin = copy.deepcopy(quantizer).requires_grad_()
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        far = 4 * x + x.abs().mean()
        weighed = twin(far) * torch.randn_like(far)
        if weighed.requires_grad:
            weighed.sum().backward()
    return {name for name, p in twin.named_parameters() if p.grad is not None and bool(p.grad.any())}


def _role(quantizer: nn.Module, name: str, x: Tensor, learns: bool) -> Role:
    near, near_doubled = (_output(quantizer, name, factor, x) for factor in (1.0, 2.0))
    far, far_doubled = (_output(quantizer, name, factor, x * BEYOND) for factor in (1.0, 2.0))
    used = not (torch.equal(near, near_doubled) and torch.equal(far, far_doubled))
    return Role(_doubles(far, far_doubled), used, learns)


def _output(quantizer: nn.Module, name: str, factor: float, x: Tensor) -> Tensor:
    twin = copy.deepcopy(quantizer)
    twin.get_parameter(name).mul_(factor)
    torch.manual_seed(0)
    found: Tensor = twin(x.clone())
    return found
