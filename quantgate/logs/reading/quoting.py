"""Texts in DuckDB's SQL: names, values and paths from outside are quoted, so that each is but what it says."""

from __future__ import annotations

import glob
from collections.abc import Sequence


def listed(paths: Sequence[str]) -> str:
    """SQL of a list of paths, in which nothing is a wildcard."""
    return f"[{', '.join(literal(glob.escape(path)) for path in paths)}]"


def literal(text: str) -> str:
    """SQL of a text."""
    return "'" + text.replace("'", "''") + "'"


def quoted(text: str) -> str:
    """SQL of a name."""
    return '"' + text.replace('"', '""') + '"'
