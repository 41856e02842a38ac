"""Subjects that are imported by `module:attribute`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from quantgate.formats import Format
from quantgate.subjects.kinds import Recipe
from quantgate.subjects.names import UnknownNameError
from quantgate.subjects.registry import Registry
from tests.subjects.refusal import refused

MODULE = """
from quantgate.formats import BUILTIN

def int4(x):
    return (x * 8).round() / 8

class Box:
    inner = int4
    table = [1, 2]

FORMAT = BUILTIN["gf8"]

class Step:
    def __call__(self, x):
        return x

def with_scale(x, scale, *, zero_point):
    return x

def nothing():
    return Step()
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


def test_a_module_of_the_current_folder_is_said_to_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unseen_here").mkdir()
    monkeypatch.chdir(tmp_path)

    assert refused(lambda: Registry().subject("unseen_here.quant:f"), UnknownNameError) == (
        "'unseen_here.quant:f': module 'unseen_here.quant' cannot be imported (No module named 'unseen_here'); it lies "
        "in this folder, where `python -m pytest` looks and `pytest` does not: use that, or install it"
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

    assert message == f"'{name}:f': module '{name}' cannot be imported ({said})"


def test_a_factory_and_a_recipe_are_imported_by_their_prefix(module: str) -> None:
    registry = Registry()
    made = registry.subject(f"factory:{module}:Step@4")
    assert isinstance(made, Format)
    assert (made.name, made.bits) == (f"factory:{module}:Step@4", 4)
    assert type(made.codec.make()).__name__ == "Step"  # type: ignore[union-attr]
    recipe = registry.subject(f"recipe:{module}:int4@4")
    assert isinstance(recipe, Recipe)
    assert (recipe.bits, recipe.prepare.__name__) == (4, "int4")
    assert registry.registered() == (made.name, recipe.name)


@pytest.mark.parametrize(
    ("attribute", "said"),
    [
        ("Step", "is a class, not a function of a tensor; factory:{}:Step makes one for each parameter"),
        ("nothing", "takes no tensor; factory:{}:nothing makes one for each parameter"),
        ("with_scale", "needs scale, zero_point beside the tensor: bind them with functools.partial"),
    ],
)
def test_what_is_no_function_of_a_tensor_is_told_what_to_write(
    module: str, attribute: str, said: str
) -> None:
    path = f"{module}:{attribute}"
    assert refused(lambda: Registry().subject(path), UnknownNameError) == f"{path!r} {said.format(module)}"


def test_a_prefix_needs_a_module_and_a_name(module: str) -> None:
    said = refused(lambda: Registry().subject(f"factory:{module}"), UnknownNameError)
    assert said == f"'factory:{module}': no attribute after the module; write factory:module:name"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (
            "fctory:mylib:LSQ@4",
            "unknown prefix 'fctory'; known are factory:, recipe:; did you mean factory:mylib:LSQ@4?",
        ),
        (
            "Recipes:mylib:f",
            "unknown prefix 'Recipes'; known are factory:, recipe:; did you mean recipe:mylib:f?",
        ),
        ("zzz:mylib:f", "unknown prefix 'zzz'; known are factory:, recipe:"),
    ],
)
def test_a_prefix_that_is_none_is_told_which_there_are(path: str, said: str) -> None:
    assert refused(lambda: Registry().subject(path), UnknownNameError) == f"{path!r}: {said}"
