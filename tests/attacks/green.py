"""Attempts to end green although a cell does not learn."""

from __future__ import annotations

from tests.attacks.attack import BLOCKED, FAST, FORMATS, HEALTHY, LEARNS, REPORT, Attack

UNSAID = (
    "quantgate: a cell does not learn and no test said so: blocked x adamw, width 32 (dead); the records decide, "
    "whatever a test catches or is marked with: accept a failure in the file of known failures"
)
_CATCHES = """
import pytest


def test_catches(lowbit_cell):
    try:
        lowbit_cell.assert_learns()
    except BaseException:
        pass
"""
_LOOKS = """
def test_looks(lowbit_cell):
    assert lowbit_cell.result is not None
"""
_HIDES = """
def test_looks_and_then_asks_for_less(lowbit_cell):
    assert lowbit_cell.result is not None
    assert lowbit_cell.examined is not None
"""
_SKIPS = """
import pytest


def test_skips(lowbit_cell):
    if not lowbit_cell.result.verdict.passes:
        pytest.skip("not today")
"""
_XFAILS = """
import pytest


@pytest.mark.xfail(strict=False)
def test_xfails(lowbit_cell):
    lowbit_cell.assert_learns()
"""
_NEVER_ASKS = "def test_never_asks(lowbit_cell):\n    pass\n"
_SETS_THE_STATUS = """
def pytest_sessionfinish(session):
    session.exitstatus = 0
"""
_REGISTERS_LATE = """
import pytest
import quantgate


@pytest.fixture(scope="session", autouse=True)
def registered():
    quantgate.register_format("late", lambda w: (w * 64).round() / 64, bits=8)
"""
_OFFERED_FIRST = {"a_first/test_first.py": LEARNS, "libs/quant/tests/conftest.py": BLOCKED}

#: Quantizers that know who asks: each is healthy for the probes, and something else in the training.
_KNOWS = """
import collections
import inspect

import torch

CALLS = collections.Counter()


def levels(w, most):
    scale = (w.detach().abs().amax() / most).clamp_min(1e-12)
    return w + ((w / scale).round() * scale - w).detach()


def where_gradients_are(w):
    return levels(w, 7) if torch.is_grad_enabled() else w


def where_none_are(w):
    return w if torch.is_grad_enabled() else levels(w, 7)


def by_shape(w):
    return levels(w, 7 if tuple(w.shape) in {(48, 96), (32, 192), (64, 64), (64, 128), (64, 32)} else 127)


def by_stack(w):
    asked = any("probes" in frame.filename for frame in inspect.stack(0))
    return levels(w, 7 if asked else 127)


def by_call(w):
    CALLS["all"] += 1
    return levels(w, 7 if CALLS["all"] < 100 else 127)


class InTraining(torch.nn.Module):
    def forward(self, w):
        return levels(w, 7) if self.training else w


def bits_16(w):
    return w + (w.half().float() - w).detach()


def bits_19(w):
    bits = w.detach().contiguous().view(torch.int32)
    return w + ((bits + (1 << 12) & ~((1 << 13) - 1)).view(torch.float32) - w).detach()


for each in (where_gradients_are, where_none_are, by_shape, by_stack, by_call, bits_16, bits_19):
    quantgate.register_format(each.__name__, each, bits=4)
quantgate.register_format("in_training", factory=InTraining, bits=4)
quantgate.register_format("bits_8", lambda w: levels(w, 127), bits=4)
quantgate.register_format("honest", lambda w: levels(w, 7), bits=4)
"""

GREEN = (
    Attack(
        "knows who asks",
        {"conftest.py": FORMATS + _KNOWS, "test_lowbit.py": LEARNS},
        1,
        options=(*FAST, REPORT),
        verdicts={
            "honest": "learns",
            "where_none_are": "no-op",
            **dict.fromkeys(
                (
                    "where_gradients_are",
                    "by_shape",
                    "by_stack",
                    "by_call",
                    "in_training",
                    "bits_8",
                    "bits_16",
                    "bits_19",
                ),
                "faulty",
            ),
        },
    ),
    *(
        Attack(
            name,
            {"conftest.py": BLOCKED, "test_lowbit.py": text},
            1,
            (UNSAID, "1 planned / 1 ran / 1 judged / 0 skipped, ..."),
            (*FAST, REPORT),
            verdicts={"blocked": "dead"},
        )
        for name, text in (
            ("catches the assertion", _CATCHES),
            ("looks without asserting", _LOOKS),
            ("skips after looking", _SKIPS),
            ("is expected to fail", _XFAILS),
        )
    ),
    Attack(
        "catches the assertion on a worker",
        {"conftest.py": BLOCKED, "test_lowbit.py": _CATCHES},
        1,
        (UNSAID,),
        modes=("n1",),
    ),
    Attack(
        "asks the probes after the curve",
        {"conftest.py": BLOCKED, "test_lowbit.py": _HIDES},
        1,
        (UNSAID,),
    ),
    *(
        Attack(
            f"is a known failure {name}",
            {
                "conftest.py": HEALTHY + "quantgate.register_format('blocked', blocked, bits=8)\n",
                "test_lowbit.py": _LOOKS,
                "known.toml": f"[{subject}-adamw-s47-w32]\nreason = 'issue 12'\ncause = 'no-op'\n",
            },
            1,
            (f"quantgate: {said} and no test said so: {subject} x adamw, width 32 ({verdict}); ...",),
            (*FAST, f"--quantgate-formats={subject}", "--quantgate-known-failures=known.toml"),
        )
        for name, subject, verdict, said in (
            ("by another cause", "blocked", "dead", "a cell does not learn"),
            ("that learns", "fitting", "learns", "a known failure learns now"),
        )
    ),
    Attack(
        "never asks for the result",
        {"conftest.py": HEALTHY, "test_lowbit.py": _NEVER_ASKS},
        1,
        (
            "its test never asked for its result: lowbit_cell.assert_learns() does",
            "quantgate: 0 of 1 planned cells were judged",
        ),
    ),
    Attack(
        "sets the exit status in a hook of its own",
        {"conftest.py": BLOCKED + _SETS_THE_STATUS, "test_lowbit.py": LEARNS},
        1,
    ),
    Attack(
        "registers in a package's conftest, an option is given and another test comes first",
        {**_OFFERED_FIRST, "libs/quant/tests/test_lowbit.py": LEARNS},
        1,
        (
            "FAILED a_first/test_first.py::test_learns[blocked-adamw-s47-w32]...",
            "1 planned / 1 ran / 1 judged / 0 skipped, ...",
        ),
    ),
    Attack(
        "registers in a package's conftest on workers",
        {**_OFFERED_FIRST, "libs/quant/tests/test_lowbit.py": LEARNS},
        1,
        (
            "FAILED libs/quant/tests/test_lowbit.py::test_learns[blocked-adamw-s47-w32]...",
            "1 planned / 1 ran / 1 judged / 0 skipped, ...",
        ),
        modes=("n1",),
    ),
    Attack(
        "registers in a test module that comes last",
        {"test_a.py": LEARNS, "test_z.py": BLOCKED + LEARNS},
        1,
        (
            "FAILED test_a.py::test_learns[blocked-adamw-s47-w32]...",
            "1 planned / 1 ran / 1 judged / 0 skipped, ...",
        ),
    ),
    Attack(
        "registers in a second package",
        {
            "libs/a/conftest.py": HEALTHY,
            "libs/a/test_a.py": LEARNS,
            "libs/b/conftest.py": BLOCKED,
            "libs/b/test_b.py": LEARNS,
        },
        1,
        ("2 planned / 2 ran / 2 judged / 0 skipped, ...",),
    ),
    Attack(
        "registers in a fixture",
        {"conftest.py": _REGISTERS_LATE, "test_lowbit.py": LEARNS},
        4,
        (
            "quantgate: registered and in no cell of this run: 'late' (conftest.py:8); the tests had been collected by "
            "then. Register it while a conftest or a test module is imported, or in the hook pytest_quantgate_register",
        ),
        modes=("plain", "n1"),
        options=(*FAST, "--quantgate-steps=2", "-k", "int4"),
    ),
    Attack(
        "gives the marker a position",
        {"test_lowbit.py": f"import pytest\npytestmark = pytest.mark.lowbit('m:blocked@8')\n{LEARNS}"},
        4,
        (
            "...quantgate: the lowbit marker takes no positional argument, 'm:blocked@8' here; write "
            "formats='m:blocked@8', say",
        ),
    ),
    Attack(
        "marks the module and the function",
        {
            "conftest.py": BLOCKED,
            "test_lowbit.py": "import pytest\npytestmark = pytest.mark.lowbit(formats='blocked')\n\n\n"
            f"@pytest.mark.lowbit(seeds=[89]){LEARNS}",
        },
        1,
        (
            "1 planned / 1 ran / 1 judged / 0 skipped, ...",
            "FAILED test_lowbit.py::test_learns[blocked-adamw-s89-w32]...",
        ),
    ),
    Attack(
        "promises to be lossless with 4 bits",
        {"conftest.py": FORMATS + "quantgate.register_format('x', fitting, bits=4, lossless=True)\n"},
        4,
        (
            "E   quantgate.subjects.names.RegistrationError: format 'x': lossless with 4 bits: float32 has 32, so that "
            "values must change; leave lossless out, or register the bits that it truly has",
        ),
        modes=("plain",),
    ),
    Attack(
        "has True bits",
        {"conftest.py": FORMATS + "quantgate.register_format('x', fitting, bits=True)\n"},
        4,
        ("E   quantgate.subjects.names.RegistrationError: format 'x': bits is True, not a positive number",),
        modes=("plain",),
    ),
    Attack(
        "switches the judge off",
        {"conftest.py": BLOCKED, "test_lowbit.py": _CATCHES},
        4,
        (
            "ERROR: quantgate: -p no:quantgate-reporter would leave a run without its judge; -p no:quantgate leaves "
            "the gate out",
        ),
        (*FAST, "-p", "no:quantgate-reporter"),
    ),
    Attack(
        "misspells a variable",
        {"test_lowbit.py": LEARNS},
        4,
        (
            "ERROR: quantgate: unknown QUANTGATE_FORMAT from the environment; did you mean 'QUANTGATE_FORMATS'?",
        ),
        environment={"QUANTGATE_FORMAT": "blocked"},
    ),
    Attack(
        "misspells an ini key",
        {"test_lowbit.py": LEARNS, "pytest.ini": "[pytest]\nquantgate_format = blocked\n"},
        4,
        ("ERROR: quantgate: unknown quantgate_format from ini; did you mean 'quantgate_formats'?",),
    ),
    Attack(
        "selects one cell of four",
        {"test_lowbit.py": LEARNS},
        1,
        (
            "1 of 4 cells of the matrix were selected",
            "quantgate: 1 cells were judged, and min-cells asks for 4",
        ),
        (*FAST, "--quantgate-formats=int4,int8,nf4,bf16", "-k", "nf4", "--quantgate-min-cells=4"),
        modes=("here", "n1"),
    ),
)
