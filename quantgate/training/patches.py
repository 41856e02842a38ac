"""What a subject's code put in torch's own place: found, asked whether it does harm, and undone where it does.

A library may wrap torch's functions for good reasons (NNCF does), and needs what it wrapped to stay. So what counts is
whether a float32 model and what quantizers are made of still compute what they did, to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from quantgate.training.model import ModelConfig, build_model

#: Where the functions, the methods and the modules of torch are looked up.
_PLACES: Mapping[str, Any] = {
    "torch": torch,
    "torch.Tensor": torch.Tensor,
    "torch.autograd": torch.autograd,
    "torch.autograd.Function": torch.autograd.Function,
    "torch.nn.functional": torch.nn.functional,
    "torch.nn.init": torch.nn.init,
    "torch.nn.Module": nn.Module,
    "torch.nn.Linear": nn.Linear,
    "torch.nn.Embedding": nn.Embedding,
    "torch.optim.Optimizer": torch.optim.Optimizer,
}


class Patches:
    """What stood in torch's namespaces when this was made."""

    def __init__(self) -> None:
        self._found = {name: dict(vars(place)) for name, place in _PLACES.items()}

    def undo_harmful(self) -> tuple[str, ...]:
        """Put back what was replaced since, if anything computes otherwise with it.

        Returns:
            The names that were put back, `torch.round`; empty where none was replaced, or none does harm.
        """
        changed = self._changed()
        if not changed:
            return ()
        patched = _digest_or_error()
        replaced = {key: vars(_PLACES[key[0]]).get(key[1]) for key in changed}
        self._put({key: self._found[key[0]][key[1]] for key in changed})
        if patched == _digest_or_error():
            self._put(replaced)
            return ()
        return tuple(f"{place}.{name}" for place, name in changed)

    def _changed(self) -> list[tuple[str, str]]:
        return [
            (place, name)
            for place, before in self._found.items()
            for name, value in before.items()
            if vars(_PLACES[place]).get(name) is not value
        ]

    def _put(self, values: Mapping[tuple[str, str], Any]) -> None:
        for (place, name), value in values.items():
            setattr(_PLACES[place], name, value)


def _digest_or_error() -> list[list[float]] | str:
    try:
        return [tensor.double().flatten().tolist() for tensor in _digest()]
    except Exception as error:  # whatever stands in torch's place may raise anything
        return repr(error)


def _digest() -> list[Tensor]:
    """What a step of a float32 model and the functions that quantizers are made of compute."""
    generator = torch.Generator().manual_seed(47)
    model = build_model(ModelConfig(width=16), generator)
    tokens = torch.randint(128, (2, 17), generator=generator)
    loss = torch.nn.functional.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
    torch.autograd.backward(loss)
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    x = torch.linspace(-2, 2, 129).view(3, 43)
    return [
        loss.detach(),
        *gradients,
        *(
            torch.round(x),
            x.round(),
            torch.floor(x),
            x.floor(),
            x.trunc(),
            torch.clamp(x, -1, 1),
            x.clamp(-1, 1),
        ),
        *(
            x.abs(),
            x.amax(),
            x.sign(),
            torch.where(x > 0, x, -x),
            x @ x.T,
            x.to(torch.bfloat16),
            x / 3,
            x * 3,
        ),
        *(torch.frexp(x)[0], torch.ldexp(x, x.round()), x.exp2(), x.abs().log2(), torch.bucketize(x, x[0])),
    ]
