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
_INTERRUPTS = """
def interrupts(w):
    raise KeyboardInterrupt("mine")
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

#: What each says of itself, by name.
_SAID = {
    **dict.fromkeys(
        _ENDLESS, "no end, and no answer to what else would end it; its worker was ended (at conftest.py:..."
    ),
    "forks": "crashed: forks x adamw, width 32: it forked, and the child came back: a child must end in os._exit or "
    "exec; it was ended",
    **{
        name: f"crashed: RuntimeError: os.{function} would end the whole run, and is held back; raise an exception "
        "instead (at conftest.py:..."
        for name, function in {"exits": "_exit", "executes": "execv"}.items()
    },
    "interrupts": "crashed: interrupts x adamw, width 32: KeyboardInterrupt: mine, raised by its own code",
}


def _said(*names: str) -> tuple[str, ...]:
    return tuple(f"{name} x adamw, width 32: {_SAID[name]}" for name in names)


_ON_WORKERS = {
    **_ENDLESS,
    "forks": _FORKS,
    "exits": _EXITS,
    "executes": _EXECUTES,
    "interrupts": _INTERRUPTS,
    "thread": _THREAD,
}

LOST: tuple[Attack, ...] = (
    Attack(
        "quantizers beside each other on workers, of which most never come back",
        _beside(_ON_WORKERS),
        1,
        _said(*_SAID),
        (*FAST, REPORT, "--timeout=3"),
        modes=("n2",),
        verdicts={
            "fitting": "learns",
            **dict.fromkeys(_ON_WORKERS, "crashed"),
            **dict.fromkeys(_ENDLESS, "timeout"),
            "thread": "learns",
        },
    ),
    *(
        Attack(
            f"a quantizer that {name}",
            _beside({name: text}),
            1,
            _said(name),
            (*FAST, REPORT),
            modes=(mode,),
            verdicts={"fitting": "learns", name: "crashed"},
        )
        for name, text, mode in (
            ("forks", _FORKS, "plain"),
            ("exits", _EXITS, "here"),
            ("executes", _EXECUTES, "here"),
            ("interrupts", _INTERRUPTS, "here"),
        )
    ),
    Attack(
        "a quantizer whose children end as they wish",
        _beside({"children": _CHILDREN}),
        0,
        options=(*FAST, REPORT),
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
        modes=("plain",),
    ),
)
