"""Attempts to make a run hang, or to lose what it found."""

from __future__ import annotations

from tests.attacks.attack import FAST, HEALTHY, LEARNS, REPORT, Attack


def _beside(name: str, text: str) -> dict[str, str]:
    """A project with a healthy format and one more."""
    register = f"\n\nquantgate.register_format({name!r}, {name}, bits=4)\n"
    return {"conftest.py": HEALTHY + text + register, "test_lowbit.py": LEARNS}


_SPINS = """
def spins(w):
    import collections
    import itertools

    collections.deque(itertools.repeat(0), maxlen=0)
"""
_SWALLOWS = """
def swallows(w):
    import time

    while True:
        try:
            time.sleep(0.05)
        except BaseException:
            pass
"""
_BLOCKS = """
def blocks(w):
    import signal
    import time

    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    while True:
        time.sleep(0.05)
"""
_FORKS = """
FORKED = []


def forks(w):
    import os

    if len(FORKED) < 3:  # each time that it is called would take long
        FORKED.append(os.fork())
    return fitting(w)
"""
_THREAD = """
def thread(w):
    import threading
    import time

    if threading.active_count() < 5:
        threading.Thread(target=time.sleep, args=(1000,)).start()
    return fitting(w)
"""

LOST: tuple[Attack, ...] = (
    *(
        Attack(
            f"an endless quantizer that {name}",
            _beside(name, text),
            1,
            (
                f"{name} x adamw, width 32: no end, and no answer to what else would end it; its worker was ended (at "
                "conftest.py:...",
            ),
            (*FAST, REPORT, "--timeout=2"),
            modes=("n2",),
            verdicts={"fitting": "learns", name: "timeout"},
        )
        for name, text in (("spins", _SPINS), ("swallows", _SWALLOWS), ("blocks", _BLOCKS))
    ),
    Attack(
        "a quantizer that forks",
        _beside("forks", _FORKS),
        1,
        (
            "forks x adamw, width 32: crashed: forks x adamw, width 32: it forked, and the child came back: a child "
            "must end in os._exit or exec; it was ended",
        ),
        (*FAST, REPORT),
        modes=("plain", "n2"),
        verdicts={"fitting": "learns", "forks": "crashed"},
    ),
    Attack(
        "a thread that never ends",
        _beside("thread", _THREAD),
        0,
        options=(*FAST, REPORT),
        modes=("plain", "n2"),
    ),
)
