"""quantgate: a gate that fails a build in which a low-precision number format stops learning.

Importing it costs no torch import; names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quantgate.formats import Encoded, Format
    from quantgate.gate.examination import examine
    from quantgate.gate.run import run_cell
    from quantgate.logs.judging.curve import judge
    from quantgate.records.cell import Config
    from quantgate.records.result import CellResult
    from quantgate.records.verdict import Verdict
    from quantgate.records.version import __version__
    from quantgate.subjects.public import (
        get_format,
        list_formats,
        list_optimizers,
        register_format,
        register_optimizer,
        register_recipe,
        register_trainer,
    )

_HOMES = {
    "__version__": "quantgate.records.version",
    "CellResult": "quantgate.records.result",
    "Config": "quantgate.records.cell",
    "Encoded": "quantgate.formats",
    "Format": "quantgate.formats",
    "Verdict": "quantgate.records.verdict",
    "examine": "quantgate.gate.examination",
    "get_format": "quantgate.subjects.public",
    "judge": "quantgate.logs.judging.curve",
    "list_formats": "quantgate.subjects.public",
    "list_optimizers": "quantgate.subjects.public",
    "register_format": "quantgate.subjects.public",
    "register_optimizer": "quantgate.subjects.public",
    "register_recipe": "quantgate.subjects.public",
    "register_trainer": "quantgate.subjects.public",
    "run_cell": "quantgate.gate.run",
}

__all__ = [
    "CellResult",
    "Config",
    "Encoded",
    "Format",
    "Verdict",
    "__version__",
    "examine",
    "get_format",
    "judge",
    "list_formats",
    "list_optimizers",
    "register_format",
    "register_optimizer",
    "register_recipe",
    "register_trainer",
    "run_cell",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'quantgate' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
