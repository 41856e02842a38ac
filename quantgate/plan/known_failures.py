"""The file of known failures: cells that fail today, each with its reason and cause.

It is strict, so that it cannot rot: an entry that matches no cell is an error; a cell that it matches and that passes,
or fails by another cause, is red. A pattern speaks for every cell that it matches. After `until` nobody is excused.

```toml
["int4-adamw-s47-inplace"]
reason = "the trainer keeps no master copy yet"
cause = "update-swallowed"

["mylib_int4-*"]
reason = "amax scaling"
cause = "resolution"
link = "https://github.com/OWNER/mylib/issues/12"
until = 2026-12-31
```
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from quantgate.diagnosis.causes import CAUSES
from quantgate.plan.matrices import MATRICES
from quantgate.plan.matrix import parse_id
from quantgate.records.cell import Cell
from quantgate.records.files import read_file
from quantgate.records.result import CellResult
from quantgate.records.verdict import Lane
from quantgate.subjects.registry import Registry

_REQUIRED, _OPTIONAL = {"reason", "cause"}, {"until", "link"}
#: What makes a pattern of an entry's name; names of cells hold none of it.
_WILD = frozenset("*?[")


class KnownFailuresError(ValueError):
    """An invalid file of known failures."""


@dataclass(frozen=True)
class KnownFailure:
    """The reason for which cells may fail, and the only cause by which they may."""

    #: The id of a cell, or a pattern of ids (`fnmatch`).
    pattern: str
    reason: str
    cause: str
    #: The last day (UTC) on which it excuses anybody.
    until: date | None = None
    link: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether its last day has passed."""
        return self.until is not None and datetime.now(UTC).date() > self.until

    @property
    def is_pattern(self) -> bool:
        return bool(_WILD & set(self.pattern))

    def excuses(self, result: CellResult) -> bool:
        """Whether a cell that it matches fails as it is known to."""
        return not result.verdict.passes and result.cause == self.cause and not self.is_over

    def unexcused(self, result: CellResult) -> str | None:
        """Why it does not excuse a cell that it matches: that `learns`, it is `over`, another `cause`; None if it does.

        Of what was not judged nothing is said.
        """
        if self.excuses(result) or not result.verdict.judged:
            return None
        return "learns" if result.verdict.passes else "over" if self.is_over else "cause"

    def to_record(self) -> dict[str, Any]:
        """What the record of a cell that it speaks for says."""
        until = None if self.until is None else self.until.isoformat()
        return {
            "pattern": self.pattern,
            "reason": self.reason,
            "cause": self.cause,
            "until": until,
            "link": self.link,
        }

    def __str__(self) -> str:
        return f"{self.reason}, {self.link}" if self.link else self.reason


@dataclass(frozen=True)
class KnownFailures:
    """The entries of a file by their names."""

    entries: Mapping[str, KnownFailure] = field(default_factory=dict)

    def get(self, cell_id: str) -> KnownFailure | None:
        """The entry that speaks for a cell: its own, or the first pattern that matches it; None where none does."""
        if cell_id in self.entries:
            return self.entries[cell_id]
        return next(iter(self.patterns(cell_id)), None)

    def patterns(self, cell_id: str) -> list[KnownFailure]:
        """The entries whose patterns match a cell."""
        return [
            each for each in self.entries.values() if each.is_pattern and fnmatchcase(cell_id, each.pattern)
        ]


def load(path: Path, cells: Sequence[Cell], registry: Registry) -> KnownFailures:
    """The known failures of a run.

    Args:
        path: A TOML file with one table an entry: `reason`, `cause`, and perhaps `until` and `link`.
        cells: The run's whole matrix, before sharding.
        registry: Where names are looked up.

    Raises:
        KnownFailuresError: The file cannot be read, an entry is malformed, two patterns match one cell, or an entry
            matches no cell. Entries about formats, optimizers or a lane that this run leaves out are not held against
            it.
    """
    known = parse(path, _text(path))
    ids = [cell.id for cell in cells]
    for cell_id in ids:
        found = [] if cell_id in known.entries else known.patterns(cell_id)
        if len(found) > 1:
            raise KnownFailuresError(
                f"known failures {str(path)!r}: {cell_id!r} is matched by {found[0].pattern!r} and by "
                f"{found[1].pattern!r}; narrow one of them, or give the cell an entry of its own"
            )
    speaking = {each.pattern for cell_id in ids if (each := known.get(cell_id)) is not None}
    for name in known.entries.keys() - speaking:
        _check_left_out(path, known.entries[name], cells, registry)
    return known


def parse(path: Path, text: str) -> KnownFailures:
    """The entries of a file's text, whatever cells there are.

    Raises:
        KnownFailuresError: It is not TOML, or an entry is malformed; `path` is named.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise KnownFailuresError(f"known failures {str(path)!r} is not TOML: {error}") from error
    except RecursionError:
        raise KnownFailuresError(
            f"known failures {str(path)!r} cannot be read: nested too deep; an entry holds a reason and a cause"
        ) from None
    return KnownFailures({name: _entry(path, name, table) for name, table in tables.items()})


def _text(path: Path) -> str:
    try:
        return read_file(path).decode()
    except OSError as error:
        raise KnownFailuresError(f"known failures {str(path)!r} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise KnownFailuresError(f"known failures {str(path)!r} is not TOML: {error}") from error


def _entry(path: Path, name: str, table: object) -> KnownFailure:
    where = f"known failures {str(path)!r}: {name!r}"
    fields = table if isinstance(table, dict) else {}
    reason, cause = fields.get("reason"), fields.get("cause")
    is_whole = _REQUIRED <= set(fields) <= _REQUIRED | _OPTIONAL
    if not is_whole or not (isinstance(reason, str) and reason.strip()):
        raise KnownFailuresError(
            f"{where} needs a reason and a cause, and takes no more than until (a date) and a link"
        )
    if not isinstance(cause, str) or cause not in CAUSES:
        near = difflib.get_close_matches(str(cause), CAUSES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(CAUSES)}"
        raise KnownFailuresError(f"{where} has the unknown cause {cause!r}; {hint}")
    until, link = fields.get("until"), fields.get("link")
    if until is not None and (not isinstance(until, date) or isinstance(until, datetime)):
        raise KnownFailuresError(f"{where}: until is {str(until)!r}, and no date; write until = 2026-12-31")
    if link is not None and not (isinstance(link, str) and link.startswith(("https://", "http://"))):
        raise KnownFailuresError(f"{where}: the link {str(link)!r} is no https:// address")
    return KnownFailure(name, reason, cause, until, link)


def _is_known(cell: Cell, registry: Registry) -> bool:
    if cell.trainer is not None:
        trainer = registry.trainer(cell)
        return trainer.format_of(cell) in trainer.formats and cell.optimizer in trainer.optimizers
    return cell.subject in registry.subjects() and cell.optimizer in registry.optimizers()


def _check_left_out(path: Path, entry: KnownFailure, cells: Sequence[Cell], registry: Registry) -> None:
    """Raise unless an entry that speaks for no cell is about a format, optimizer or lane that this run leaves out."""
    name = entry.pattern
    subjects, optimizers = ({each.subject for each in cells}, {each.optimizer for each in cells})
    lanes = {each.lane for each in cells}
    if entry.is_pattern:
        left_out = (
            f"{subject}-{optimizer}-{rest}"
            for subject in registry.subjects()
            for optimizer in registry.optimizers()
            for rest, lane in _variants(cells)
            if not (subject in subjects and optimizer in optimizers and lane in lanes)
        )
        if any(fnmatchcase(each, name) for each in left_out):
            return
    cell = parse_id(name, registry)
    if cell is not None and cell.id == name:
        known = _is_known(cell, registry)
        if known and not (cell.subject in subjects and cell.optimizer in optimizers and cell.lane in lanes):
            return
    near = difflib.get_close_matches(name, [cell.id for cell in cells], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    shadowed = any(fnmatchcase(each.id, name) for each in cells)
    what = "matches only cells that have an entry of their own" if shadowed else "matches no cell"
    raise KnownFailuresError(f"known failures {str(path)!r}: {name!r} {what}{'' if shadowed else hint}")


def _variants(cells: Iterable[Cell]) -> list[tuple[str, Lane | None]]:
    """How ids of cells end, after subject and optimizer, and in which lane: those of this run, and of each matrix."""
    others = (
        Cell("x", "format", "y", seed, width, storage, lane=each.config.lane)
        for each in MATRICES.values()
        for seed in each.seeds
        for width in each.widths
        for storage in (("master", "inplace") if each.in_place else ("master",))
    )
    named = (
        (each.id.removeprefix(f"{each.subject}-{each.optimizer}-"), each.lane) for each in (*cells, *others)
    )
    return list(dict.fromkeys(named))
