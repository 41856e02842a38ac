"""Where the code of a subject stands, as a repository names it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, MethodType
from typing import Any

from quantgate.subjects.codecs import FunctionCodec, PairCodec
from quantgate.subjects.kinds import Recipe, Subject
from quantgate.training.optimizers import OptimizerSpec

_PACKAGE = Path(__file__).parents[2]
#: Folders of installed packages: they may lie in a repository's own virtual environment, and are not its code.
_INSTALLED = frozenset({"site-packages", "dist-packages"})
#: The method of a class whose lines say how it quantizes.
_METHODS = ("forward", "__call__")


def source_of(found: Subject | OptimizerSpec) -> str | None:
    """The file and line of a user's quantizer, recipe or optimizer: `src/mylib/quant.py:12`.

    The file is relative to the repository that holds it, or else to the working folder. None where it is built in,
    installed, or no Python code.
    """
    code = _code(_written(found))
    if code is None:
        return None
    shown = _shown(code.co_filename)
    return None if shown is None else f"{shown}:{code.co_firstlineno}"


def _written(found: Subject | OptimizerSpec) -> Callable[..., Any] | None:
    """What the user wrote of it."""
    if isinstance(found, OptimizerSpec):
        return found.build
    if isinstance(found, Recipe):
        return found.prepare
    if isinstance(found.codec, FunctionCodec):
        return found.codec.function or found.codec.factory
    return found.codec.encoder if isinstance(found.codec, PairCodec) else None


def _code(call: Any) -> CodeType | None:
    """The code behind a function, a method, a partial, a class or an instance of one; None where there is none."""
    if isinstance(call, functools.partial):
        return _code(call.func)
    if isinstance(
        call, MethodType
    ):  # torch's own `apply` of an autograd.Function leads to the class' forward
        is_apply = isinstance(call.__self__, type) and call.__name__ == "apply"
        return _code(call.__self__ if is_apply else call.__func__)
    if isinstance(call, FunctionType):
        inner = inspect.unwrap(call)
        return inner.__code__ if isinstance(inner, FunctionType) else None
    kind = call if isinstance(call, type) else type(call)
    for name in _METHODS:
        method = vars(kind).get(name)
        method = getattr(method, "__func__", method)
        if isinstance(method, FunctionType):
            return method.__code__
    return None


@cache
def _shown(name: str) -> str | None:
    """A file as its repository names it; None where it is none of the user's."""
    try:
        path = Path(name).absolute()
        if not path.is_file() or _PACKAGE in path.parents or _INSTALLED & set(path.parts):
            return None
        roots = [folder for folder in path.parents if (folder / ".git").exists()]
        root = roots[0] if roots else Path.cwd()
    except OSError:
        return None
    return path.relative_to(root).as_posix() if root in path.parents else None
