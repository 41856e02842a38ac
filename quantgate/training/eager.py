"""torch's optimizers without what they load for `torch.compile`.

An optimizer's first `add_param_group` and each of its steps import `torch._dynamo`, 0.9 s in every worker of a run that
compiles nothing (`python -m tests.benchmarks.startup`). What they wrap with it are graph breaks, which do nothing in
eager mode; here the same functions are called unwrapped.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any, TypeVar, cast

import torch
from torch.optim import Optimizer

_Optimizer = TypeVar("_Optimizer", bound=Optimizer)


def eager(optimizer: type[_Optimizer]) -> type[_Optimizer]:
    """A subclass of the same name, algorithm and state whose construction and steps import no compiler.

    Args:
        optimizer: A class whose `step` runs without gradients, as all of torch's do unless `differentiable` is set.
    """
    return cast("type[_Optimizer]", _made(optimizer))  # type: ignore[arg-type]  # a class is hashable


@cache
def _made(optimizer: type[Any]) -> type[Any]:
    return type(
        optimizer.__name__,
        (optimizer,),
        {
            "__doc__": optimizer.__doc__,
            "__module__": __name__,
            "step": torch.no_grad()(inspect.unwrap(optimizer.step)),
            "add_param_group": inspect.unwrap(optimizer.add_param_group),
        },
    )
