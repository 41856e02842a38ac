"""Torch is left as it was found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from quantgate.formats import BUILTIN
from quantgate.training.fakequant import Quantizer
from tests.training.cells import (
    CELL,
    SHAPES,
    grid,
    subject,
    train,
)


@pytest.fixture(params=["healthy", "raises", "spoils"])
def guest(request: pytest.FixtureRequest) -> Iterator[Callable[[Tensor], Tensor]]:
    """A quantizer that behaves, one that raises in mid-training, and one that leaves torch's state changed."""
    calls = 0

    def raises(x: Tensor) -> Tensor:
        nonlocal calls
        calls += tuple(x.shape) in SHAPES
        if calls > 40:
            raise RuntimeError("out of range")
        return grid(x)

    def spoils(x: Tensor) -> Tensor:
        torch.manual_seed(1)
        torch.set_num_threads(1)
        return grid(x)

    yield {"healthy": grid, "raises": raises, "spoils": spoils}[request.param]
    assert calls in {0, 41}


@pytest.mark.parametrize("storage", ["master", "inplace"])
def test_torch_is_left_as_it_was(guest: Quantizer, storage: Any) -> None:
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    try:
        torch.set_num_threads(2)
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.manual_seed(5)
        state = torch.get_rng_state()
        with torch.no_grad():
            run = train(subject(guest), replace(CELL, storage=storage))
            assert not torch.is_grad_enabled()

        assert torch.is_grad_enabled()
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.get_num_threads() == 2
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
        assert len(run.curve) >= 1
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)


def test_a_caller_without_gradients_trains_all_the_same() -> None:
    with torch.no_grad():
        inside = train(BUILTIN["int8"]).curve

    assert inside == train(BUILTIN["int8"]).curve
