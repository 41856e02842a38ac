"""The functions behind `import quantgate`."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import quantgate
from quantgate.formats import BUILTIN
from quantgate.subjects.names import UnknownNameError
from quantgate.subjects.registry import REGISTRY
from quantgate.training.optimizers import OPTIMIZERS


def halves(x: Tensor) -> Tensor:
    return x + ((x * 2).round() / 2 - x).detach()


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    for held in ("_formats", "_recipes", "_optimizers", "_trainers"):
        monkeypatch.setattr(REGISTRY, held, dict(getattr(REGISTRY, held)))


def test_format_names_are_the_builtin_ones_first() -> None:
    quantgate.register_format("test_public_halves", halves, bits=4)

    assert quantgate.list_formats() == (*BUILTIN, "test_public_halves")
    assert quantgate.list_formats() == (*BUILTIN, "test_public_halves")


def test_optimizer_names_are_the_builtin_ones_first() -> None:
    quantgate.register_optimizer("test_public_sgd", lambda model, lr: torch.optim.SGD(model.parameters(), lr))

    assert quantgate.list_optimizers() == (*OPTIMIZERS, "test_public_sgd")


def test_a_format_is_got_by_name_and_alias() -> None:
    assert quantgate.get_format("int8") is BUILTIN["int8"]
    assert quantgate.get_format("mxfp8_e4m3") is BUILTIN["mxfp8"]


def test_an_unknown_format_is_an_error() -> None:
    with pytest.raises(UnknownNameError, match=r"^unknown format 'int9'; did you mean 'int"):
        quantgate.get_format("int9")


def test_what_is_registered_is_found() -> None:
    made = quantgate.register_format("test_public_halves", halves, bits=4)

    assert quantgate.get_format("test_public_halves") is made


def test_a_recipe_is_no_format() -> None:
    quantgate.register_recipe("test_public_recipe", lambda model: model, bits=8)

    with pytest.raises(TypeError, match=r"^'test_public_recipe' is a recipe, not a format$"):
        quantgate.get_format("test_public_recipe")


def test_a_registered_format_is_run_by_name() -> None:
    quantgate.register_format("test_public_halves", lambda x: halves(x * 32) / 32, bits=8)
    result = quantgate.run_cell("test_public_halves", "adamw", config=quantgate.Config(width=16, steps=2))

    assert result.subject == "test_public_halves"
    assert result.curve[0][0] == 0


@pytest.mark.parametrize("name", ["int4", "mxfp8", "nf4", "uint8", "bf16", "gf8", "fp32"])
def test_builtin_formats_are_healthy(name: str) -> None:
    found = quantgate.examine(name)

    assert (found.subject, found.bits) == (name, BUILTIN[name].bits)
    assert found.findings == ()
    assert found.healthy
    assert found.cause is None


def test_an_examination_names_the_cause() -> None:
    made = quantgate.register_format("test_public_blocked", lambda x: (x * 64).round() / 64, bits=4)

    for subject in (made, "test_public_blocked"):
        found = quantgate.examine(subject)
        assert not found.healthy
        assert found.cause == "gradient-blocked"


def test_a_quantizer_that_raises_is_not_healthy() -> None:
    made = quantgate.register_format("test_public_raises", lambda x: x.no_such_method())  # type: ignore[attr-defined]

    found = quantgate.examine(made)

    assert not found.healthy
    assert found.cause is None
    assert "no_such_method" in (found.evidence.crash or "")
