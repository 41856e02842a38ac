"""Attempts to turn a run red, or invalid, by what is not its formats' fault."""

from __future__ import annotations

from tests.attacks.attack import FAST, FORMATS, HEALTHY, LEARNS, REPORT, Attack

_SPOILS = """
import torch

KEPT = []


def sets_dtype(w):
    torch.set_default_dtype(torch.float64)
    return fitting(w)


def sets_device(w):
    torch.set_default_device("meta")
    return fitting(w)


def enters_inference(w):
    KEPT.append(torch.inference_mode())
    KEPT[-1].__enter__()
    return fitting(w)


def patches(w):
    torch.nn.functional.cross_entropy = lambda x, y, real=torch.nn.functional.cross_entropy: real(x, y) * 0.5
    return fitting(w)


for each in (sets_dtype, sets_device, enters_inference, patches):
    quantgate.register_format(each.__name__, each, bits=4)
quantgate.register_format("after", fitting, bits=4)
"""

RED: tuple[Attack, ...] = (
    Attack(
        "a shard of nothing",
        {"test_lowbit.py": LEARNS},
        0,
        ("shard 99/99 holds no cell: the matrix has fewer than shards",),
        (*FAST, "--quantgate-formats=int4,nf4", "--quantgate-shard=99/99"),
        modes=("plain", "n2"),
    ),
    Attack(
        "a shard of fewer cells than workers",
        {"test_lowbit.py": LEARNS},
        0,
        ("1 planned / 1 ran / 1 judged / 0 skipped, ...",),
        (*FAST, "--quantgate-formats=int4,nf4", "--quantgate-shard=1/2"),
        modes=("n2",),
    ),
    Attack(
        "known failures nested a thousand deep",
        {"test_lowbit.py": LEARNS, "known.toml": f"a = {'[' * 5000}{']' * 5000}\n"},
        4,
        (
            "ERROR: quantgate: known failures 'known.toml' cannot be read: nested too deep; an entry holds a reason "
            "and a cause",
        ),
        (*FAST, "--quantgate-formats=int4", "--quantgate-known-failures=known.toml"),
    ),
    Attack(
        "a known failure whose test does not assert it",
        {
            "conftest.py": FORMATS + "quantgate.register_format('blocked', blocked, bits=8)\n",
            "test_lowbit.py": "def test_looks(lowbit_cell):\n    assert lowbit_cell.result\n",
            "known.toml": "[blocked-adamw-s47-w32]\nreason = 'issue 12'\ncause = 'gradient-blocked'\n",
        },
        0,
        ("1 planned / 1 ran / 1 judged / 0 skipped, ...",),
        (*FAST, "--quantgate-known-failures=known.toml"),
    ),
    Attack(
        "a hook that raises",
        {"conftest.py": "def pytest_quantgate_register(registry):\n    raise OSError('no \x1b[31mdisk')\n"},
        4,
        (
            r"ERROR: quantgate: the hook pytest_quantgate_register raised OSError: no \x1b[31mdisk (conftest.py:2); "
            "nothing can be judged until it registers what it should",
        ),
        modes=("here", "n1"),
        never=("INTERNALERROR", "\x1b"),
    ),
    Attack(
        "an optimizer of 300 characters",
        {
            "conftest.py": "def pytest_quantgate_register(registry):\n"
            "    registry.register_optimizer('x' * 300, lambda model, lr: None)\n"
        },
        4,
        (
            f"ERROR: quantgate: optimizer '{'x' * 40}'...: a name has at most 128 characters and this one 300, since "
            "it becomes part of file names; register it under a shorter one",
        ),
    ),
    Attack(
        "a name that is a command to a CI service",
        {
            "conftest.py": "def pytest_quantgate_register(registry):\n"
            "    registry.register_format('::error::pwn', lambda x: x)\n"
        },
        4,
        (
            "ERROR: quantgate: subject '::error::pwn': a name begins with a letter, a digit or _, not with ':'",
        ),
    ),
    Attack(
        "digits of another script",
        {"test_lowbit.py": LEARNS},
        4,
        (
            "ERROR: quantgate: invalid --quantgate-seeds from the command line: '４７' is not a seed (a whole number "
            "of at least 0)",
        ),
        ("--quantgate-seeds=４７",),
    ),
    Attack(
        "an exception that drives the terminal",
        {
            "conftest.py": HEALTHY,
            "test_lowbit.py": "def test_codec(lowbit_format):\n"
            "    raise RuntimeError('\x1b[31mred\x1b]0;title\x07')\n",
        },
        1,
        (r"E       RuntimeError: \x1b[31mred\x1b]0;title\x07",),
        never=("INTERNALERROR", "\x1b"),
    ),
    Attack(
        "formats that spoil torch for others",
        {"conftest.py": FORMATS + _SPOILS, "test_lowbit.py": LEARNS},
        1,
        options=(*FAST, REPORT),
        verdicts={
            "sets_dtype": "crashed",
            "sets_device": "crashed",
            "enters_inference": "dead",
            "patches": "rejected",
            "after": "learns",
        },
        modes=("n0",),  # a process of its own: an inference mode that nobody leaves outlives the run
    ),
)
