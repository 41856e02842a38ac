"""The JSON Schema of the lines of `results.jsonl` and of `run.json`, which this package publishes as a file."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any


def schema_text() -> str:
    """The schema as it is published: `quantgate/records/results.schema.json`."""
    return files("quantgate.records").joinpath("results.schema.json").read_text("utf-8")


def schema() -> dict[str, Any]:
    """The schema (draft 2020-12); `$defs` holds `cell` and `run`, and a record is either."""
    found: dict[str, Any] = json.loads(schema_text())
    return found
