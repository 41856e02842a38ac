"""torch is imported once, with the garbage collector as it was before and nothing left for it at the end."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import atexit, gc, weakref

from quantgate.gate.loading import load_torch

{before}


class Node:
    pass


node = Node()
node.itself = node
seen = weakref.ref(node)
del node
atexit.register(lambda: print("left at the end:", len(gc.get_objects()) > 1000))  # the last handler to be called
load_torch()
import torch

later = [[] for _ in range(5000)]
print(gc.isenabled(), seen() is None, gc.get_freeze_count() > 100_000)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("before", "enabled"), [("", True), ("gc.disable()", False)], ids=["on", "off"])
def test_collector(before: str, enabled: bool) -> None:
    """What was garbage before is collected, and what lives then, or at the end, is not looked at again."""
    program = PROGRAM.format(before=before)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{enabled} True True", "left at the end: False"], done.stderr
