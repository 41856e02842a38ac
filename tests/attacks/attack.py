"""An attack as data: the files of a project, pytest's options, and what the run must come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: One AdamW control and its three negative controls; a cell learns in a tenth of a second.
FAST = (
    "--quantgate-widths=32",
    "--quantgate-optimizers=adamw",
    "--quantgate-steps=20",
    "--quantgate-lr=0.003",
)
REPORT = "--quantgate-report=out"

LEARNS = """
def test_learns(lowbit_cell):
    lowbit_cell.assert_learns()
"""
#: A healthy format, and one that does not learn: round() has no gradient.
FORMATS = """
import quantgate


def fitting(w):
    scale = (w.detach().abs().amax() / 7).clamp_min(1e-12)
    return w + ((w / scale).round() * scale - w).detach()


def blocked(w):
    return (w * 64).round() / 64
"""
HEALTHY = FORMATS + "\n\nquantgate.register_format('fitting', fitting, bits=4)\n"
BLOCKED = FORMATS + "\n\nquantgate.register_format('blocked', blocked, bits=8)\n"


@dataclass(frozen=True)
class Attack:
    """What is tried, and what must come of it."""

    name: str
    #: The project's files, path -> text.
    files: Mapping[str, str]
    #: The exit status.
    status: int
    #: Lines of the output, each whole; `...` at an end stands for the rest of it.
    says: tuple[str, ...] = ()
    options: tuple[str, ...] = FAST
    #: `plain` (no pytest-xdist), `n0`, `n1`, `n2`; `here` runs in this process, which has paid for torch.
    modes: tuple[str, ...] = ("here",)
    #: The verdicts in the report by subject, where it is read.
    verdicts: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    #: What must not be said anywhere.
    never: tuple[str, ...] = ("INTERNALERROR", "Traceback (most recent call last)")
