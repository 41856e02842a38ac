"""Tables kept per device, and the integer dtypes of codes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class Table:
    """A constant tensor, built on first use and copied once to every device that asks for it."""

    def __init__(self, build: Callable[[], Tensor]) -> None:
        self._build = build
        self._copies: dict[torch.device, Tensor] = {}

    def on(self, device: torch.device) -> Tensor:
        """The table on `device`."""
        copy = self._copies.get(device)
        if copy is None:
            copy = self._copies[device] = self._build().to(device)
        return copy


def code_dtype(bits: int) -> torch.dtype:
    """The integer dtype that holds bit patterns of so many bits."""
    for width, dtype in ((8, torch.uint8), (16, torch.int16), (32, torch.int32)):
        if bits <= width:
            return dtype
    return torch.int64
