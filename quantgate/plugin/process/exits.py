"""A subject that ends the process would end pytest with its status, 0 perhaps: a green CI that has judged nothing.

While a subject's code runs, `os._exit` and what replaces the process by another program are held back in this process;
children of it, as multiprocessing forks them, end as they wish. Code in C that calls `exit` cannot be held back.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any, NoReturn

#: As for an invalid run: what was planned was not judged.
_STATUS = 70
#: All other ways to execute a program go by way of the last two.
_ENDS = ("_exit", "execv", "execve")
#: Where they are found.
_MODULES = tuple(sys.modules[name] for name in ("os", "posix", "nt") if name in sys.modules)


@contextmanager
def no_exit(said_to: int | None) -> Iterator[None]:
    """Hold back what ends this process.

    The thread of this block is told by an exception, at the line that asked for it. Another thread has nobody who would
    see one: it ends the process, as pytest-timeout's does on purpose, but not with status 0.

    Args:
        said_to: The number of the file that is told of an end by another thread; None says nothing.
    """
    found = {
        (module, name): getattr(module, name)
        for module in _MODULES
        for name in _ENDS
        if hasattr(module, name)
    }
    place = (os.getpid(), threading.get_ident())
    leave = found[os, "_exit"]
    held = {key: partial(_held, key[1], end, place, said_to, leave) for key, end in found.items()}
    _put(held)
    try:
        yield
    finally:
        _put({key: end for key, end in found.items() if getattr(*key) is held[key]})


def _put(functions: Mapping[tuple[ModuleType, str], Callable[..., Any]]) -> None:
    for (module, name), function in functions.items():
        setattr(module, name, function)


def _held(
    name: str,
    end: Callable[..., NoReturn],
    place: tuple[int, int],
    said_to: int | None,
    leave: Callable[[int], NoReturn],
    *given: Any,
) -> NoReturn:
    process, thread = place
    if os.getpid() != process:
        end(*given)
    if threading.get_ident() == thread:
        raise RuntimeError(f"os.{name} would end the whole run, and is held back; raise an exception instead")
    if name == "_exit" and given != (0,):
        end(*given)
    if said_to is not None:
        os.write(
            said_to, f"quantgate: a thread called os.{name}, which ends the run: status {_STATUS}\n".encode()
        )
    leave(_STATUS)
