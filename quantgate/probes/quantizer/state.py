"""State that a plain function keeps: parameters, buffers, and mutable variables that it closes over."""

from __future__ import annotations

import inspect

from torch import Tensor, nn

from quantgate.training.fakequant import Quantizer


def state_of(quantizer: Quantizer) -> str | None:
    """What state all parameters and cells that use this function would share, in a sentence; None if there is none."""
    if isinstance(quantizer, nn.Module):
        held = [name for name, _ in (*quantizer.named_parameters(), *quantizer.named_buffers())]
        return _state_message(held)
    owner = getattr(quantizer, "__self__", None)
    if isinstance(owner, nn.Module):
        return state_of(owner)
    if inspect.isfunction(quantizer) and quantizer.__closure__:
        names = quantizer.__code__.co_freevars
        cells = zip(names, quantizer.__closure__, strict=True)
        return _state_message([name for name, cell in cells if _is_mutable(cell)])
    return None


def _is_mutable(cell: object) -> bool:
    try:
        content = cell.cell_contents  # type: ignore[attr-defined]
    except ValueError:  # an empty cell
        return False
    return isinstance(content, Tensor | nn.Module | list | dict | set)


def _state_message(held: list[str]) -> str | None:
    if not held:
        return None
    return (
        f"it keeps state ({', '.join(held[:4])}) that all parameters and cells share; "
        "register it with factory= to give each its own."
    )
