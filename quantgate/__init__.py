"""quantgate: a gate that fails a build in which a low-precision number format stops learning.

Importing it costs no torch import; names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quantgate.gate.cell import run_cell
    from quantgate.records.cell import Config
    from quantgate.formats import Encoded, Format
    from quantgate.public import (
        examine,
        formats,
        get_format,
        optimizers,
        register_format,
        register_optimizer,
        register_recipe,
    )
    from quantgate.records.result import CellResult
    from quantgate.records.verdict import Verdict, judge

__version__ = "0.1.0"

__all__ = [
    "CellResult",
    "Config",
    "Encoded",
    "Format",
    "Verdict",
    "examine",
    "formats",
    "get_format",
    "judge",
    "optimizers",
    "register_format",
    "register_optimizer",
    "register_recipe",
    "run_cell",
]

_HOMES = {
    "CellResult": "quantgate.records.result",
    "Config": "quantgate.records.cell",
    "Encoded": "quantgate.formats",
    "Format": "quantgate.formats",
    "Verdict": "quantgate.records.verdict",
    "judge": "quantgate.records.verdict",
    "run_cell": "quantgate.gate.cell",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'quantgate' has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "quantgate.public")), name)


def __dir__() -> list[str]:
    return sorted((*__all__, "__version__"))
