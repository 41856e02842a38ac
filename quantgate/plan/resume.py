"""What a run that was cut need not train again: cells of which nothing has changed that their result depends on.

A training repeats to the last bit (`training.reproducible`), so a record with the provenance that a cell would have now
is the result that it would have now. Only the long lane asks: elsewhere a cell takes a second.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from dataclasses import asdict, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path

from quantgate.formats import BUILTIN
from quantgate.records.cell import Cell, Config
from quantgate.records.machine import cpu
from quantgate.records.version import __version__
from quantgate.subjects.registry import Registry

#: Variables with which the libraries below torch choose other kernels.
_KERNELS = (
    "ATEN_CPU_CAPABILITY",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
)


def provenance(cell: Cell, config: Config, registry: Registry, corpus_sha256: str) -> str | None:
    """SHA-256 over all that the result of a cell depends on; None where that is not known.

    The code of a user's format, recipe, optimizer or trainer is not: such a cell is always trained, as is one on an
    accelerator, and every one outside the long lane.

    Args:
        cell: A cell, a control or a negative control.
        config: How the run trains its cells.
        registry: Says which optimizers are the user's own.
        corpus_sha256: Of the text that it is trained on.
    """
    own = cell.trainer is not None or (cell.kind in {"format", "recipe"} and cell.subject not in BUILTIN)
    if (
        cell.lane is None
        or own
        or cell.optimizer in registry.registered_optimizers()
        or config.device != "cpu"
    ):
        return None
    given = {
        "cell": asdict(cell),
        "config": asdict(replace(config, width=cell.width, scope=cell.scope)),
        "corpus": corpus_sha256,
        "code": [__version__, _code()],
        "libraries": [platform.python_version(), version("torch"), version("numpy")],
        "machine": [platform.machine(), cpu(), {name: os.environ.get(name) for name in _KERNELS}],
    }
    return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()


@cache
def _code() -> str:
    """SHA-256 over this package's files: a checkout changes while its version stays."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()
