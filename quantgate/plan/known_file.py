"""Write known failures: the cells of a run that fail become entries, and the rest of the file stays as it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from quantgate.plan.known_failures import KnownFailures, KnownFailuresError, parse
from quantgate.records.files import read_file
from quantgate.records.result import CellResult


@dataclass(frozen=True)
class Acceptance:
    """Why failures are accepted, and until when."""

    reason: str
    until: date | None = None
    link: str | None = None


@dataclass(frozen=True)
class Accepted:
    """A file of known failures with a run's failures in it."""

    text: str
    #: Ids of cells, by what became of them.
    added: tuple[str, ...]
    changed: tuple[str, ...]
    #: They had an entry, and learn.
    removed: tuple[str, ...]
    #: A pattern speaks for them already.
    covered: tuple[str, ...]
    #: They learn, though a pattern says that they fail: the pattern is to be narrowed by hand.
    healed: tuple[str, ...]
    #: They were not judged, or no cause is known: nothing can be accepted.
    left_out: tuple[str, ...]


def accept(path: Path, text: str, results: Iterable[CellResult], why: Acceptance) -> Accepted:
    """The file's text after a run's failures were accepted, in TOML that keeps comments, order and layout.

    Args:
        path: The file; named in messages.
        text: What it holds; empty where it is made.
        results: The cells that are accepted as they are.
        why: Goes into every entry that is added or changed.

    Raises:
        KnownFailuresError: The text is no file of known failures, or the result would be none.
    """
    import tomlkit  # which no run needs

    known = parse(path, text)
    document = tomlkit.parse(text)
    became: dict[str, list[str]] = {name: [] for name in Accepted.__dataclass_fields__ if name != "text"}
    for result in results:
        what = _what(known, result)
        if what is None:
            continue
        became[what].append(result.cell.id)
        if what == "removed":
            del document[result.cell.id]
        elif what in {"added", "changed"}:
            _write_entry(document, result, why)
    made = tomlkit.dumps(document)
    parse(path, made)
    return Accepted(made, **{name: tuple(ids) for name, ids in became.items()})


def _what(known: KnownFailures, result: CellResult) -> str | None:
    """What becomes of a cell; None where nothing does."""
    name = result.cell.id
    own, entry = known.entries.get(name), known.get(name)
    if not result.verdict.judged or (result.cause is None and not result.verdict.passes):
        return "left_out"
    if result.verdict.passes:
        if (
            own is not None and len(known.patterns(name)) <= 1
        ):  # without it two patterns would speak for the cell
            return "removed"
        return None if entry is None else "healed"
    if own is not None:
        return "changed"
    return "covered" if entry is not None and entry.excuses(result) else "added"


def _write_entry(document: Any, result: CellResult, why: Acceptance) -> None:
    import tomlkit

    name = result.cell.id
    if name not in document:
        document[name] = tomlkit.table()
    table = document[name]
    table["reason"], table["cause"] = why.reason, result.cause
    for field, value in (("until", why.until), ("link", why.link)):
        if value is not None:
            table[field] = value
        elif field in table:
            del table[field]


def read_text(path: Path) -> str:
    """What a file of known failures holds; empty where there is none yet.

    Raises:
        KnownFailuresError: It cannot be read.
    """
    try:
        return read_file(path).decode()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is no text"
        raise KnownFailuresError(f"known failures {str(path)!r} cannot be read: {said}") from None
