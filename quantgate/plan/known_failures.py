"""The file of known failures: cells that fail today, each with its reason and cause.

It is strict, so that it cannot rot: an entry whose cell passes, fails by another cause or does not exist is an error.

```toml
["int4-adamw-s47-inplace"]
reason = "the trainer keeps no master copy yet, see issue 12"
cause = "update-swallowed"
```
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from quantgate.diagnosis.causes import CAUSES
from quantgate.plan.matrix import parse_id
from quantgate.records.cell import Cell
from quantgate.subjects.registry import Registry


class KnownFailuresError(ValueError):
    """An invalid file of known failures."""


@dataclass(frozen=True)
class KnownFailure:
    """The reason for which a cell may fail, and the only cause by which it may."""

    reason: str
    cause: str


def load(path: Path, cells: Sequence[Cell], registry: Registry) -> Mapping[str, KnownFailure]:
    """The known failures by cell id.

    Args:
        path: A TOML file with one table a cell: `reason` and `cause`.
        cells: The run's whole matrix, before sharding.
        registry: Where names are looked up.

    Raises:
        KnownFailuresError: The file cannot be read, an entry is malformed, or an entry matches no cell. Entries
            about formats, optimizers or a lane that this run leaves out are not held against it.
    """
    try:
        with path.open("rb") as file:
            tables = tomllib.load(file)
    except OSError as error:
        raise KnownFailuresError(f"known failures {str(path)!r} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise KnownFailuresError(f"known failures {str(path)!r} is not TOML: {error}") from error
    except RecursionError:
        raise KnownFailuresError(
            f"known failures {str(path)!r} cannot be read: nested too deep; an entry holds a reason and a cause"
        ) from None
    known = {name: _entry(path, name, table) for name, table in tables.items()}
    for name in known:
        _check_matches(path, name, cells, registry)
    return known


def _entry(path: Path, name: str, table: object) -> KnownFailure:
    fields = table if isinstance(table, dict) else {}
    reason, cause = fields.get("reason"), fields.get("cause")
    if set(fields) != {"reason", "cause"} or not (isinstance(reason, str) and reason.strip()):
        raise KnownFailuresError(
            f"known failures {str(path)!r}: {name!r} needs a reason and a cause, and no more"
        )
    if not isinstance(cause, str) or cause not in CAUSES:
        near = difflib.get_close_matches(str(cause), CAUSES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(CAUSES)}"
        raise KnownFailuresError(
            f"known failures {str(path)!r}: {name!r} has the unknown cause {cause!r}; {hint}"
        )
    return KnownFailure(reason, cause)


def _check_matches(path: Path, name: str, cells: Sequence[Cell], registry: Registry) -> None:
    if any(cell.id == name for cell in cells):
        return
    cell = parse_id(name, registry)
    if cell is not None and cell.id == name:
        known = cell.subject in registry.subjects() and cell.optimizer in registry.optimizers()
        in_run = (
            any(c.subject == cell.subject for c in cells)
            and any(c.optimizer == cell.optimizer for c in cells)
            and any(c.lane == cell.lane for c in cells)
        )
        if known and not in_run:
            return
    near = difflib.get_close_matches(name, [cell.id for cell in cells], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise KnownFailuresError(f"known failures {str(path)!r}: {name!r} matches no cell{hint}")
