"""Names: registered, resolved, imported, and every way in which that is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from quantgate.formats import ALIASES, BUILTIN
from quantgate.subjects.names import RegistrationError, UnknownNameError
from quantgate.subjects.registry import Registry
from quantgate.training.optimizers import OPTIMIZERS


def halves(x: Tensor) -> Tensor:
    return (x * 2).round() / 2


def refused(call: Callable[[], object], error: type[Exception] = RegistrationError) -> str:
    with pytest.raises(error) as caught:
        call()
    return str(caught.value)


# registration


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


# resolution


@pytest.mark.parametrize("name", [*BUILTIN])
def test_every_builtin_format_is_found(name: str) -> None:
    assert Registry().subject(name) is BUILTIN[name]


@pytest.mark.parametrize(("alias", "name"), list(ALIASES.items()))
def test_an_alias_is_its_format(alias: str, name: str) -> None:
    assert Registry().subject(alias) is BUILTIN[name]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("int5", "'int4'"),
        ("mxfp9", "'mxfp8'"),
        ("INT4", "'int4'"),
        ("fp8", "'fp8_e4m3'"),
        ("nvf4", "'nvfp4'"),
    ],
)
def test_an_unknown_format_names_the_nearest(name: str, nearest: str) -> None:
    message = refused(lambda: Registry().subject(name), UnknownNameError)

    assert message.startswith(f"unknown format {name!r}; did you mean ")
    assert nearest in message


def test_an_unknown_optimizer_names_the_nearest() -> None:
    message = refused(lambda: Registry().optimizer("adam"), UnknownNameError)

    assert message == "unknown optimizer 'adam'; did you mean 'adamw'?"


def test_registered_names_are_among_the_nearest() -> None:
    registry = Registry()
    registry.register_format("mylib_int4", halves)

    assert "'mylib_int4'" in refused(lambda: registry.subject("mylib_int5"), UnknownNameError)


def test_a_name_near_to_none_lists_all() -> None:
    assert refused(lambda: Registry().optimizer("zzzz"), UnknownNameError) == (
        "unknown optimizer 'zzzz'; known are adamw, muon, sgd, lion, rmsprop, adafactor."
    )


def test_there_is_no_fallback_for_an_empty_name() -> None:
    assert refused(lambda: Registry().subject(""), UnknownNameError).startswith(
        "unknown format ''; known are int4"
    )


# module:attribute


MODULE = """
from quantgate.formats import BUILTIN

def int4(x):
    return (x * 8).round() / 8

class Box:
    inner = int4
    table = [1, 2]

FORMAT = BUILTIN["gf8"]
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The name of a module of its own for each test, since imports are kept."""
    name = "quant_" + re.sub(r"\W", "_", request.node.name)
    (tmp_path / f"{name}.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_a_function_is_imported_by_its_path(module: str) -> None:
    registry = Registry()
    subject = registry.subject(f"{module}:int4")

    assert (subject.name, subject.bits) == (f"{module}:int4", None)
    assert registry.subject(f"{module}:int4") is subject


def test_bits_follow_the_at_sign(module: str) -> None:
    registry = Registry()

    assert registry.subject(f"{module}:int4@4").bits == 4
    assert registry.subject(f"{module}:int4@1.58").bits == 1.58


def test_an_attribute_may_lie_deeper(module: str) -> None:
    assert Registry().subject(f"{module}:Box.inner@4").bits == 4


def test_a_format_is_imported_under_its_path(module: str) -> None:
    registry = Registry()
    plain, given = registry.subject(f"{module}:FORMAT"), registry.subject(f"{module}:FORMAT@6")

    assert (plain.name, plain.bits) == (f"{module}:FORMAT", 8)
    assert (given.name, given.bits) == (f"{module}:FORMAT@6", 6)


@pytest.mark.parametrize("bits", ["four", "-4", "4.", "4@4", "1e3"])
def test_bits_that_are_no_number_are_refused(module: str, bits: str) -> None:
    assert refused(lambda: Registry().subject(f"{module}:int4@{bits}"), UnknownNameError) == (
        f"'{module}:int4@{bits}': {bits!r} after @ is not a number of bits; write {module}:int4@4, say"
    )


def test_bits_of_zero_are_refused(module: str) -> None:
    for attribute in ("int4", "FORMAT"):
        with pytest.raises(ValueError, match=r"bits is 0\.0, not a positive number"):
            Registry().subject(f"{module}:{attribute}@0")


def test_an_imported_formats_name_keeps_the_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "with-dash.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)

    for attribute in ("int4", "FORMAT"):
        name = f"with-dash:{attribute}"
        message = refused(lambda name=name: Registry().subject(name))  # type: ignore[misc]
        assert message.startswith(f"subject '{name}': a name holds letters")


def test_a_missing_module_is_said() -> None:
    assert refused(lambda: Registry().subject("no_such_module:f"), UnknownNameError) == (
        "'no_such_module:f': module 'no_such_module' cannot be imported "
        "(No module named 'no_such_module'); is it on the path?"
    )


@pytest.mark.parametrize("name", [":f", ".x:f"])
def test_a_path_without_a_module_is_said(name: str) -> None:
    assert "cannot be imported" in refused(lambda: Registry().subject(name), UnknownNameError)


def test_a_missing_attribute_names_the_nearest(module: str) -> None:
    assert refused(lambda: Registry().subject(f"{module}:int5"), UnknownNameError) == (
        f"unknown attribute of {module} 'int5'; did you mean 'int4'?"
    )
    assert "unknown attribute of" in refused(lambda: Registry().subject(f"{module}:"), UnknownNameError)
    assert "unknown attribute of" in refused(
        lambda: Registry().subject(f"{module}:int4.deep.x"), UnknownNameError
    )
    assert "unknown attribute of" in refused(
        lambda: Registry().subject(f"{module}:Box.table.x"), UnknownNameError
    )


def test_what_is_no_function_is_refused(module: str) -> None:
    assert refused(lambda: Registry().subject(f"{module}:Box.table"), UnknownNameError) == (
        f"'{module}:Box.table' is a list, neither a function nor a Format"
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("import no_such_library", "No module named 'no_such_library'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def", "SyntaxError: invalid syntax (broken_3.py, line 1)"),
        ("import sys; sys.exit(0)", "SystemExit: 0"),
    ],
)
def test_a_module_that_cannot_be_loaded_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, said: str
) -> None:
    name = f"broken_{len(line)}"
    (tmp_path / f"{name}.py").write_text(line, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)

    message = refused(lambda: Registry().subject(f"{name}:f"), UnknownNameError)

    assert message == f"'{name}:f': module '{name}' cannot be imported ({said}); is it on the path?"
