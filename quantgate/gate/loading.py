"""torch, imported without what Python's garbage collector makes of it.

torch makes half a million objects that live as long as the process. To look for garbage among them takes 0.1 s: twice
while it is imported, and three times where the interpreter ends (`python -m tests.benchmarks.startup`).
"""

from __future__ import annotations

import atexit
import gc
from functools import cache


def load_torch() -> None:
    """Import torch with the garbage collector paused, which takes its objects for old ones afterwards."""
    at_work = gc.isenabled()
    gc.disable()
    try:
        import torch  # noqa: F401  # for its weight alone

        if not gc.get_freeze_count():  # what somebody else has frozen stays so
            gc.freeze()
            gc.unfreeze()  # into the oldest generation, from which a user's objects are collected as ever
    finally:
        if at_work:
            gc.enable()
    end_quickly()


@cache
def end_quickly() -> None:
    """Leave uncollected what lives when the process ends; for one in which a user's code may have imported torch."""
    # The system takes the memory back; files and finalizers have their own handlers, which run all the same.
    atexit.register(gc.freeze)
