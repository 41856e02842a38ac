"""What can be registered, and every way in which it is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from quantgate.formats import BUILTIN
from quantgate.subjects.registry import Registry
from quantgate.training.optimizers import OPTIMIZERS
from tests.subjects.refusal import halves, refused


def test_a_function_is_registered_as_it_is() -> None:
    registry = Registry()
    made = registry.register_format("mine", halves, bits=4, gap_tolerance=0.2, spec="https://example.org")

    assert registry.subject("mine") is made
    assert (made.name, made.bits, made.lossless, made.gap_tolerance, made.spec, made.family) == (
        "mine", 4, False, 0.2, "https://example.org", "user",
    )  # fmt: skip
    assert made.values is None
    assert torch.equal(made.fake_quantize(torch.tensor([0.6])), torch.tensor([0.5]))


def test_a_factory_makes_a_quantizer_at_each_call() -> None:
    made: list[int] = []

    def factory() -> Callable[[Tensor], Tensor]:
        made.append(1)
        return halves

    subject = Registry().register_format("mine", factory=factory, bits=4)
    subject.fake_quantize(torch.zeros(1))
    subject.fake_quantize(torch.zeros(1))

    assert len(made) == 2


def test_encode_and_decode_are_a_codec() -> None:
    made = Registry().register_format(
        "mine", encode=lambda x: (x * 2).round(), decode=lambda c: c / 2, bits=4
    )
    x = torch.tensor([0.6])

    assert torch.equal(made.decode(made.encode(x)), torch.tensor([0.5]))
    assert torch.equal(made.fake_quantize(x), torch.tensor([0.5]))


def test_a_quantizer_with_a_codec_trains_by_the_one_and_exports_by_the_other() -> None:
    made = Registry().register_format(
        "mine", halves, encode=lambda x: (x * 4).round(), decode=lambda codes: codes / 4, bits=4
    )
    x = torch.tensor([0.3])

    assert made.fake_quantize(x).item() == 0.5
    assert made.decode(made.encode(x)).item() == 0.25


def test_a_fake_quantizer_has_no_codes() -> None:
    made = Registry().register_format("mine", halves)
    message = "this format was registered as a fake-quantizer alone: it has no codes"

    assert refused(lambda: made.encode(torch.zeros(1)), TypeError) == message
    assert refused(lambda: made.decode(torch.zeros(1)), TypeError) == message  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [{"fake_quantize": halves}, {"encode": halves, "decode": halves}])
def test_a_registered_quantizer_takes_no_scale(given: dict[str, Any]) -> None:
    made = Registry().register_format("mine", **given)

    assert refused(lambda: made.fake_quantize(torch.zeros(1), 1.0), TypeError) == (
        "a registered quantizer chooses its own scale; call the function itself to give it one"
    )


BAD_FORMATS: list[tuple[dict[str, Any], str]] = [
    ({}, "give one of fake_quantize and factory, or encode with decode; none were given"),
    (
        {"fake_quantize": halves, "factory": lambda: halves},
        "give one of fake_quantize and factory, or encode with decode; both functions were given",
    ),
    (
        {"fake_quantize": halves, "factory": lambda: halves, "encode": halves, "decode": halves},
        "give one of fake_quantize and factory, or encode with decode; both functions were given",
    ),
    ({"encode": halves}, "encode and decode belong together; one is missing"),
    ({"decode": halves}, "encode and decode belong together; one is missing"),
    ({"fake_quantize": 3}, "fake_quantize is a int, not a function"),
    ({"factory": "f"}, "factory is a str, not a function"),
    ({"encode": halves, "decode": 1.5}, "decode is a float, not a function"),
    ({"fake_quantize": halves, "bits": 0}, "bits is 0, not a positive number"),
    ({"fake_quantize": halves, "bits": -4}, "bits is -4, not a positive number"),
    ({"fake_quantize": halves, "bits": "4"}, "bits is '4', not a positive number"),
    ({"fake_quantize": halves, "bits": math.nan}, "bits is nan, not a positive number"),
    ({"fake_quantize": halves, "gap_tolerance": math.inf}, "gap_tolerance is inf, not a positive number"),
]


@pytest.mark.parametrize(("given", "message"), BAD_FORMATS)
def test_a_format_that_cannot_stand_is_refused(given: dict[str, Any], message: str) -> None:
    registry = Registry()

    assert refused(lambda: registry.register_format("mine", **given)) == f"format 'mine': {message}"
    assert registry.registered() == ()


@pytest.mark.parametrize("name", ["", "a b", "a-b", "a/b", "a\n", "naïve", "a[0]", 4])
def test_a_malformed_name_is_refused(name: Any) -> None:
    rule = "a name holds letters, digits and _ . : @ + only, since it becomes part of test ids and file names"
    registry = Registry()

    assert refused(lambda: registry.register_format(name, halves)) == f"subject {name!r}: {rule}"
    assert refused(lambda: registry.register_recipe(name, halves, bits=4)) == (  # type: ignore[arg-type]
        f"subject {name!r}: {rule}"
    )
    assert (
        refused(lambda: registry.register_optimizer(name, lambda m, lr: [])) == f"optimizer {name!r}: {rule}"
    )


@pytest.mark.parametrize("name", ["int8", "mxfp8_e4m3", "taken"])
def test_a_taken_name_is_refused(name: str) -> None:
    registry = Registry()
    registry.register_format("taken", halves)
    message = f"subject {name!r} is already registered; choose another name"

    assert refused(lambda: registry.register_format(name, halves)) == message
    assert refused(lambda: registry.register_recipe(name, lambda m: m, bits=4)) == message


def test_a_taken_optimizer_is_refused() -> None:
    assert "'adamw' is already registered" in refused(
        lambda: Registry().register_optimizer("adamw", lambda model, lr: [])
    )


def test_recipes_and_optimizers_must_be_functions() -> None:
    registry = Registry()

    assert "is a int, not a function" in refused(
        lambda: registry.register_recipe("r", 3, bits=4)  # type: ignore[arg-type]
    )
    assert "is a NoneType, not a function" in refused(
        lambda: registry.register_optimizer("o", None)  # type: ignore[arg-type]
    )
    assert refused(lambda: registry.register_recipe("r", lambda m: m, bits=-1)).endswith(
        "not a positive number"
    )


def test_registered_names_keep_their_order_and_come_last() -> None:
    registry = Registry()
    registry.register_recipe("theirs", lambda model: model, bits=8)
    registry.register_format("z", halves)
    registry.register_format("a", halves)
    registry.register_optimizer("sophia", lambda model, lr: [])

    assert list(registry.formats()) == [*BUILTIN, "z", "a"]
    assert list(registry.optimizers()) == [*OPTIMIZERS, "sophia"]
    assert set(registry.registered()) == {"z", "a", "theirs"}
    assert registry.registered_optimizers() == ("sophia",)


def test_registries_share_nothing() -> None:
    first, second = Registry(), Registry()
    first.register_format("mine", halves)

    assert second.registered() == ()
    assert "mine" not in second.subjects()


def test_a_copy_with_a_subject_leaves_the_registry_as_it_was() -> None:
    registry = Registry()
    other = Registry().register_format("mine", halves)

    assert registry.with_subject(other).subject("mine") is other
    assert registry.registered() == ()
