"""The state of torch that any code of a process may change for all that comes after, and what a cell has of it.

A cell must not depend on the tests beside it, nor they on it: each state is read, set to what a fresh process has, and
set back afterwards.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.modules import module as modules
from torch.optim import optimizer as optimizers
from torch.utils._python_dispatch import _pop_mode as pop_dispatch_mode
from torch.utils._python_dispatch import _push_mode as push_dispatch_mode


@dataclass(frozen=True)
class State:
    """One state: how it is read and written, and what a fresh process has."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]
    fresh: Any


#: Where torch keeps the hooks of every module and optimizer.
_HOOKS: tuple[dict[Any, Any], ...] = tuple(
    found
    for place in (modules, optimizers)
    for name, found in vars(place).items()
    if name.startswith("_global_") and isinstance(found, dict)
)


def _read_hooks() -> tuple[Any, ...]:
    return (modules._global_is_full_backward_hook, *(dict(hooks) for hooks in _HOOKS))


def _write_hooks(found: tuple[Any, ...]) -> None:
    modules._global_is_full_backward_hook = found[0]
    for hooks, kept in zip(_HOOKS, found[1:], strict=True):
        hooks.clear()
        hooks.update(kept)


def _read_modes() -> tuple[Any, ...]:
    """The default device, which is a mode among others, and the other modes that see every call of torch."""
    return (
        getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None),
        tuple(torch.overrides._get_current_function_mode_stack()),  # type: ignore[no-untyped-call]
        tuple(torch.utils._python_dispatch._get_current_dispatch_mode_stack()),
    )


def _write_modes(found: tuple[Any, ...]) -> None:
    device, functions, dispatches = found
    while torch._C._len_torch_function_stack():
        torch.overrides._pop_mode()  # type: ignore[no-untyped-call]
    while torch.utils._python_dispatch._get_current_dispatch_mode_stack():
        pop_dispatch_mode()
    torch._GLOBAL_DEVICE_CONTEXT.device_context = device
    for mode in functions:
        torch.overrides._push_mode(mode)  # type: ignore[no-untyped-call]
    for mode in dispatches:
        push_dispatch_mode(mode)


def _read_autocast() -> tuple[Any, ...]:
    kinds = [(torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in ("cpu", "cuda")]
    return (*kinds, torch.is_autocast_cache_enabled())


def _write_autocast(found: tuple[Any, ...]) -> None:
    for kind, (enabled, dtype) in zip(("cpu", "cuda"), found[:2], strict=True):
        torch.set_autocast_enabled(kind, enabled)
        torch.set_autocast_dtype(kind, dtype)
    torch.set_autocast_cache_enabled(found[2])
    torch.clear_autocast_cache()


def _read_saved_tensors_hooks() -> tuple[Any, ...]:
    found = []
    while (top := torch._C._autograd._top_saved_tensors_default_hooks(True)) is not None:
        found.append(top)
        torch._C._autograd._pop_saved_tensors_default_hooks()
    _write_saved_tensors_hooks(tuple(reversed(found)))
    return tuple(reversed(found))


def _write_saved_tensors_hooks(found: tuple[Any, ...]) -> None:
    while torch._C._autograd._top_saved_tensors_default_hooks(True) is not None:
        torch._C._autograd._pop_saved_tensors_default_hooks()
    for pack, unpack in found:
        torch._C._autograd._push_saved_tensors_default_hooks(pack, unpack)


def _flushes_denormals() -> bool:
    return not bool(torch.tensor([2.0**-130], dtype=torch.float32, device="cpu").mul(1.0).ne(0).item())


#: Where torch keeps how far float32 may be cut short. The getter of old raises where somebody used the new setters.
_BACKENDS = (("generic", "all"), ("cuda", "all"), ("cuda", "matmul"), ("mkldnn", "all"), ("mkldnn", "matmul"))


def _read_precision() -> tuple[str, ...]:
    return tuple(torch._C._get_fp32_precision_getter(*backend) for backend in _BACKENDS)


def _write_precision(found: tuple[str, ...]) -> None:
    for backend, precision in zip(_BACKENDS, found, strict=True):
        torch._C._set_fp32_precision_setter(*backend, precision)


def _read_anomaly() -> tuple[bool, bool]:
    return torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()


#: In the order in which they are set; the modes first, since they see what sets the others.
STATES: tuple[State, ...] = (
    State("default device or function mode", _read_modes, _write_modes, (None, (), ())),
    State("default dtype", torch.get_default_dtype, torch.set_default_dtype, torch.float32),
    State("gradient mode", torch.is_grad_enabled, torch.set_grad_enabled, True),
    State(
        "autocast",
        _read_autocast,
        _write_autocast,
        ((False, torch.bfloat16), (False, torch.float16), True),
    ),
    State("global hooks", _read_hooks, _write_hooks, (None, *({} for _ in _HOOKS))),
    State("saved-tensor hooks", _read_saved_tensors_hooks, _write_saved_tensors_hooks, ()),
    State(
        "anomaly detection",
        _read_anomaly,
        lambda found: torch.autograd.set_detect_anomaly(*found),
        (False, True),
    ),
    State("flushing of denormals", _flushes_denormals, torch.set_flush_denormal, False),
    State("float32 precision", _read_precision, _write_precision, ("none",) * len(_BACKENDS)),
    State("number of threads", torch.get_num_threads, torch.set_num_threads, 1),
)

#: (state) of the generators that are not torch's: a quantizer may draw from them.
Generators = tuple[Any, Any]


def read_generators() -> Generators:
    """The states of Python's and NumPy's global generators."""
    return random.getstate(), np.random.get_state()


def write_generators(found: Generators) -> None:
    """Set them."""
    random.setstate(found[0])
    np.random.set_state(found[1])


def seed_generators(seed: int) -> None:
    """Seed them."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
