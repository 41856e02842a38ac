"""The recording of a run: it is kept in a file first, brought to its database, and the file then removed.

Whatever happens in between (no database, a full disk, Ctrl-C, a kill), the file is there for the next run, and a run
that was written already is not written again: it arrives once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from quantgate.databases.address import Address
from quantgate.history.run import Run
from quantgate.history.schema import SchemaError
from quantgate.history.spool import Spool, read_run
from quantgate.history.store import MOST_SECONDS, RefusedError, Store, UnreachableError, open_store


@dataclass(frozen=True)
class Said:
    """What became of a run, a sentence each."""

    recorded: bool
    lines: tuple[str, ...]


def deliver(run: Run, address: Address) -> Said:
    """Bring a run and those that wait to their database; nothing is raised but what ends the process.

    Args:
        run: The run that has ended.
        address: Its database.
    """
    kept, no_file = _keep(run, address)
    said: list[str] = []
    try:
        with open_store(address) as store:
            store.write(run)
            many = len(run.results)
            said.append(f"{many} result{'s' * (many != 1)} recorded")
            if kept is not None:
                kept.unlink(missing_ok=True)
            said += _bring_waiting(store, address)
        return Said(True, tuple(said))
    except (SchemaError, UnreachableError, RefusedError) as error:
        reason = str(error)
    except KeyboardInterrupt:
        reason = "it was interrupted"
    except Exception as error:  # the run is judged, whatever a driver does
        reason = f"{type(error).__name__}; what it says is not shown, as it may hold the address"
    if said:
        return Said(True, (*said, f"earlier runs still wait: {reason}"))
    if kept is None:
        return Said(False, (f"not recorded: {reason}", f"nor kept for the next run: {no_file}"))
    return Said(False, (f"not recorded: {reason}", f"kept for the next run with this database: {kept}"))


def _keep(run: Run, address: Address) -> tuple[Path | None, str]:
    """The file of a run, or why there is none; a database may be written to all the same."""
    try:
        return Spool.of(address.digest).keep(run), ""
    except OSError as error:
        return None, error.strerror or str(error)


def _bring_waiting(store: Store, address: Address) -> list[str]:
    """Bring earlier runs, and say what became of them."""
    brought, said, begun = 0, [], time.monotonic()
    try:
        waiting = list(Spool.of(address.digest).waiting())
    except OSError:
        return []
    for path in waiting:
        if time.monotonic() - begun > MOST_SECONDS:
            said.append(f"earlier runs still wait, for the next run: it took too long ({path.parent})")
            break
        try:
            brought += store.write(read_run(path))  # or another run did
            path.unlink(missing_ok=True)
        except FileNotFoundError:  # another run has brought it
            continue
        except RefusedError as error:
            said.append(f"an earlier run still waits: {error} ({path})")
        except UnreachableError as error:
            said.append(f"earlier runs still wait: {error} ({path.parent})")
            break
        except (OSError, ValueError) as error:
            said.append(f"not a run that waits: {path}: {error}; remove it")
    if brought:
        said.insert(0, f"{brought} earlier run{'s' * (brought != 1)} that waited recorded")
    return said
