"""Optimizers without what torch loads for `torch.compile`: the same updates, and none of the imports."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adafactor, AdamW, Muon, Optimizer, RMSprop

from quantgate.training.eager import eager
from quantgate.training.lion import Lion

#: A cell of each kind of step, in a process that has imported nothing yet.
CELLS = """
import sys
import quantgate

config = quantgate.Config(width=32, steps=2)
for optimizer in quantgate.list_optimizers():
    quantgate.run_cell("int4", optimizer, storage="master", config=config)
quantgate.run_cell("int8", "adamw", storage="inplace", config=config)
print(*(name for name in ("torch", "torch._dynamo", "sympy") if name in sys.modules))
"""


def trained(optimizer: type[Optimizer], **options: Any) -> list[torch.Tensor]:
    """The weights after three steps, and all that the optimizer keeps."""
    model = nn.Linear(8, 8, bias=False)
    x = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        model.weight.copy_(torch.randn(8, 8, generator=torch.Generator().manual_seed(2)))
    made: Any = optimizer(model.parameters(), **options)
    for _ in range(3):
        made.zero_grad()
        model(x).square().sum().backward()
        made.step()
    state = [v for v in made.state[model.weight].values() if isinstance(v, torch.Tensor)]
    return [model.weight.detach(), *state]


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [
        (AdamW, {"fused": True, "weight_decay": 0.1}),
        (SGD, {"lr": 0.01, "momentum": 0.9}),
        (Muon, {"lr": 0.01}),
        (RMSprop, {}),
        (Adafactor, {}),
        (Lion, {}),
    ],
)
def test_every_update_is_the_originals_to_the_last_bit(
    optimizer: type[Optimizer], options: dict[str, Any]
) -> None:
    own, theirs = trained(eager(optimizer), **options), trained(optimizer, **options)

    assert len(own) == len(theirs) > 1 or optimizer is SGD
    assert all(torch.equal(a, b) for a, b in zip(own, theirs, strict=True))


def test_it_is_the_same_class_by_name_and_by_kind() -> None:
    made = eager(AdamW)

    assert issubclass(made, AdamW)
    assert made.__name__ == "AdamW"
    assert made is eager(AdamW)


def test_a_closure_gives_its_loss() -> None:
    weight = nn.Parameter(torch.ones(2, 2))

    def loss() -> torch.Tensor:
        found = weight.square().sum()
        found.backward()  # type: ignore[no-untyped-call]
        return found

    found: Any = eager(AdamW)([weight]).step(loss)

    assert found.item() == 4.0
    assert weight.grad is not None


def test_a_training_imports_no_compiler() -> None:
    done = subprocess.run([sys.executable, "-c", CELLS], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["torch"]
