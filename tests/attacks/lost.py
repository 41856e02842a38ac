"""Attempts to make a run hang, or to lose what it found."""

from __future__ import annotations

from collections.abc import Mapping

from tests.attacks.attack import FAST, HEALTHY, LEARNS, REPORT, Attack


def _beside(texts: Mapping[str, str]) -> dict[str, str]:
    """A project with a healthy format and these, name -> source."""
    register = (
        f"{text}\n\nquantgate.register_format({name!r}, {name}, bits=4)\n" for name, text in texts.items()
    )
    return {"conftest.py": HEALTHY + "".join(register), "test_lowbit.py": LEARNS}


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
_EXITS = """
def exits(w):
    import os

    os._exit(0)
"""
_EXECUTES = """
def executes(w):
    import os

    os.execlp("true", "true")
"""
_CHILDREN = """
def children(w):
    import multiprocessing
    import os

    if not children.ended:
        child = multiprocessing.get_context("fork").Process(target=int)
        child.start()
        child.join()
        forked = os.fork()
        if forked == 0:
            os._exit(7)
        children.ended.append((child.exitcode, os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1])))
    assert children.ended == [(0, 7)], children.ended
    return fitting(w)


children.ended = []
"""
_LEAVES = """
def leaves(w):
    import os
    import threading

    thread = threading.Thread(target=os._exit, args=(0,))
    thread.start()
    thread.join()
"""
_THREAD = """
def thread(w):
    import threading
    import time

    if threading.active_count() < 5:
        threading.Thread(target=time.sleep, args=(1000,)).start()
    return fitting(w)
"""

_ENDLESS = {"spins": _SPINS, "swallows": _SWALLOWS, "blocks": _BLOCKS}

LOST: tuple[Attack, ...] = (
    Attack(
        "endless quantizers that spin, swallow and block",
        _beside(_ENDLESS),
        1,
        tuple(
            f"{name} x adamw, width 32: no end, and no answer to what else would end it; its worker was ended (at "
            "conftest.py:..."
            for name in _ENDLESS
        ),
        (*FAST, REPORT, "--timeout=2"),
        modes=("n2",),
        verdicts={"fitting": "learns", **dict.fromkeys(_ENDLESS, "timeout")},
    ),
    Attack(
        "a quantizer that forks",
        _beside({"forks": _FORKS}),
        1,
        (
            "forks x adamw, width 32: crashed: forks x adamw, width 32: it forked, and the child came back: a child "
            "must end in os._exit or exec; it was ended",
        ),
        (*FAST, REPORT),
        modes=("plain", "n2"),
        verdicts={"fitting": "learns", "forks": "crashed"},
    ),
    *(
        Attack(
            f"a quantizer that {name} the process",
            _beside({name: text}),
            1,
            (
                f"{name} x adamw, width 32: crashed: RuntimeError: os.{function} would end the whole run, and is held "
                "back; raise an exception instead (at conftest.py:...",
            ),
            (*FAST, REPORT),
            modes=modes,
            verdicts={"fitting": "learns", name: "crashed"},
        )
        for name, text, function, modes in (
            ("exits", _EXITS, "_exit", ("plain", "n0", "n2")),
            ("executes", _EXECUTES, "execv", ("plain",)),
        )
    ),
    Attack(
        "a quantizer whose children end as they wish",
        _beside({"children": _CHILDREN}),
        0,
        options=(*FAST, REPORT),
        modes=("plain",),
        verdicts={"fitting": "learns", "children": "learns"},
    ),
    Attack(
        "a thread that ends the process",
        _beside({"leaves": _LEAVES}),
        70,
        ("...quantgate: a thread called os._exit, which ends the run: status 70",),
        (*FAST, REPORT),
        modes=("n0",),
    ),
    Attack(
        "a thread that never ends",
        _beside({"thread": _THREAD}),
        0,
        options=(*FAST, REPORT),
        modes=("plain", "n2"),
    ),
)
