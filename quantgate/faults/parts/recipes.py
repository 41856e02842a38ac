"""A recipe that quantizes the linear layers that it is told to."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from quantgate.faults.parts.quantizers import integers, straight_through
from quantgate.training.fakequant import Quantizer


class _QuantizedWeight(nn.Module):
    """Parametrizes a weight with a quantizer."""

    def __init__(self, quantize: Quantizer) -> None:
        super().__init__()
        self.quantize = quantize

    def forward(self, weight: Tensor) -> Tensor:
        return self.quantize(weight)


def quantize_linears(model: nn.Module, chosen: Callable[[int], bool] = lambda place: True) -> nn.Module:
    """int8 weights in the linear layers that are chosen by their place."""
    int8 = straight_through(integers(127))
    linears = [module for module in model.modules() if isinstance(module, nn.Linear)]
    for place, module in enumerate(linears):
        if chosen(place):
            torch.nn.utils.parametrize.register_parametrization(module, "weight", _QuantizedWeight(int8))
    return model
