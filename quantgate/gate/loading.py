"""torch, imported without what Python's garbage collector makes of it.

torch makes half a million objects that live as long as the process. To look for garbage among them takes 0.1 s: twice
while it is imported, once or five times where pytest ends, and three times where the interpreter does.
"""

from __future__ import annotations

import atexit
import gc
from functools import cache


def load_torch() -> None:
    """Import torch with the collector paused, and have it pass over what lives now, torch's objects among them."""
    gc.collect()  # what is garbage already is not passed over: pytest tells of files that nobody closed
    at_work = gc.isenabled()
    gc.disable()
    try:
        import torch  # noqa: F401  # for its weight alone

        gc.freeze()
    finally:
        if at_work:
            gc.enable()
    end_quickly()


@cache
def end_quickly() -> None:
    """Leave uncollected what lives when the process ends; for one in which a user's code may have imported torch."""
    # The system takes the memory back; files and finalizers have their own handlers, which run all the same.
    atexit.register(gc.freeze)
