"""What replaces torch's functions: put back where float32 computes otherwise with it, left where it does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from quantgate.training.patches import Patches


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for place, name in (
            (torch, "round"),
            (torch.nn.functional, "cross_entropy"),
            (torch.Tensor, "clamp"),
        ):
            patch.setattr(place, name, getattr(place, name))
        yield


def test_nothing_is_said_where_nothing_was_replaced() -> None:
    assert Patches().undo_harmful() == ()


def test_a_function_that_computes_otherwise_is_put_back_and_named() -> None:
    before, patches = torch.round, Patches()
    torch.round = lambda x, **_: x  # type: ignore[assignment]

    assert patches.undo_harmful() == ("torch.round",)
    assert torch.round is before


def test_one_that_raises_too() -> None:
    before, patches = torch.nn.functional.cross_entropy, Patches()
    torch.nn.functional.cross_entropy = None  # type: ignore[assignment]

    assert patches.undo_harmful() == ("torch.nn.functional.cross_entropy",)
    assert torch.nn.functional.cross_entropy is before


def test_a_wrapper_that_computes_the_same_stays() -> None:
    patches, real = Patches(), torch.Tensor.clamp

    def wrapper(self: Any, *given: Any, **named: Any) -> Any:
        return real(self, *given, **named)

    torch.Tensor.clamp = wrapper  # type: ignore[method-assign]

    assert patches.undo_harmful() == ()
    assert torch.Tensor.clamp is wrapper
