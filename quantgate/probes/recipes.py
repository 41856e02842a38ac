"""Coverage of a recipe: which linear layers of the prepared model compute with quantized weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class _WeightWatch(TorchFunctionMode):
    """Records the weight that each call of `F.linear` reads."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[Tensor] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.linear:
            self.read.append(args[1] if len(args) > 1 else kwargs["weight"])
        return func(*args, **kwargs)


def uncovered_linears(model: nn.Module, tokens: Tensor, *, body: int) -> tuple[int, int] | None:
    """How many linear layers of the body read a float32 parameter, of how many; None if none was seen.

    Args:
        model: The prepared model.
        tokens: An input, (batch, time).
        body: The number of linear layers in the body. Later ones, the head, may stay in float32.
    """
    with _WeightWatch() as watch:
        model(tokens)
    plain = {id(p) for p in model.parameters()}
    seen = watch.read[:body]
    if not seen:
        return None
    return sum(id(weight) in plain for weight in seen), len(seen)
