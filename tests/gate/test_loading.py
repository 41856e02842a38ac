"""torch is imported once, with the garbage collector as it was before and nothing left for it at the end."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import atexit, gc, weakref

from quantgate.gate.loading import load_torch

{before}
frozen = gc.get_freeze_count()


class Node:
    pass


node = Node()
node.itself = node
seen = weakref.ref(node)
atexit.register(lambda: print("left at the end:", len(gc.get_objects()) > 1000))  # the last handler to be called
load_torch()
import torch

young, old = (len(gc.get_objects(generation)) for generation in (0, 2))
del node
gc.collect()
left = gc.get_freeze_count()
print(gc.isenabled(), seen() is None, left <= frozen and bool(left) == bool(frozen), young < old)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("", "True True True True"),
        ("gc.disable()", "False True True True"),
        ("gc.freeze()", "True True True False"),
    ],
    ids=["on", "off", "frozen"],
)
def test_collector(before: str, said: str) -> None:
    """What lived before is collected as ever, torch's objects are old, and none is looked at when the process ends."""
    program = PROGRAM.format(before=before)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [said, "left at the end: False"], done.stderr
