"""Where the code of a subject stands, relative to its repository."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from quantgate.formats import BUILTIN
from quantgate.subjects.code.source import source_of
from quantgate.subjects.registry import Registry
from quantgate.training.optimizers import OPTIMIZERS

LIBRARY = """
import functools

def plain(x):
    return x

def outer(f):
    @functools.wraps(f)
    def inner(x):
        return f(x)
    return inner

@outer
def wrapped(x):
    return x

class Module:
    def forward(self, x):
        return x

class Called:
    def __call__(self, x):
        return x

    def method(self, x):
        return x

lam = lambda x: x
"""


class Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A module in `src/` of a repository that is not the working folder."""
    (tmp_path / "repository" / ".git").mkdir(parents=True)
    folder = tmp_path / "repository" / "src"
    folder.mkdir()
    (folder / "library_of_source.py").write_text(LIBRARY, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    yield __import__("library_of_source")
    del sys.modules["library_of_source"]


def at(line: str) -> str:
    return f"src/library_of_source.py:{LIBRARY.splitlines().index(line) + 1}"


def of(quantizer: Callable[..., Any]) -> str | None:
    return source_of(Registry().register_format("mine", quantizer))


def defined_at(path: Path) -> Callable[..., Any]:
    """A function whose code says that it stands in this file."""
    space: dict[str, Any] = {}
    exec(compile("def f(x): return x", str(path), "exec"), space)
    found: Callable[..., Any] = space["f"]
    return found


def test_a_function_is_where_it_is_defined(library: ModuleType) -> None:
    assert of(library.plain) == at("def plain(x):")
    assert of(functools.partial(library.plain)) == at("def plain(x):")


def test_what_wraps_a_function_is_looked_through(library: ModuleType) -> None:
    assert of(library.wrapped) == at("@outer")


def test_a_class_and_its_instances_are_where_they_compute(library: ModuleType) -> None:
    made = Registry().register_format("a", factory=library.Module)

    assert source_of(made) == at("    def forward(self, x):")
    assert of(library.Called()) == at("    def __call__(self, x):")
    assert of(library.Called().method) == at("    def method(self, x):")


def test_a_lambda_is_where_it_is_written(library: ModuleType) -> None:
    assert of(library.lam) == at("lam = lambda x: x")


def test_the_apply_of_an_autograd_function_is_where_its_forward_is() -> None:
    line = inspect.getsourcelines(Round.forward)[1]

    assert of(Round.apply) == f"tests/subjects/test_source.py:{line}"


def test_codecs_recipes_and_optimizers_too(library: ModuleType) -> None:
    registry = Registry()
    made = (
        registry.register_format("a", encode=library.plain, decode=library.lam),
        registry.register_recipe("b", library.plain, bits=8),
        registry.register_optimizer("c", library.plain),
    )

    assert [source_of(each) for each in made] == [at("def plain(x):")] * 3


def test_what_is_built_in_or_no_python_has_none() -> None:
    assert source_of(BUILTIN["int4"]) is None
    assert source_of(OPTIMIZERS["adamw"]) is None
    assert of(abs) is None


def test_what_is_installed_is_not_the_repositorys(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    folder = tmp_path / ".venv" / "lib" / "site-packages"
    folder.mkdir(parents=True)
    (folder / "theirs.py").touch()

    assert of(defined_at(folder / "theirs.py")) is None


def test_code_without_a_file_has_none(tmp_path: Path) -> None:
    assert of(defined_at(Path("<string>"))) is None
    assert of(defined_at(tmp_path / "gone.py")) is None


def test_without_a_repository_it_is_relative_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here.py").touch()
    monkeypatch.chdir(tmp_path)

    assert of(defined_at(tmp_path / "here.py")) == "here.py:1"
