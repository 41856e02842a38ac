"""The report of a run as the controller keeps it: one run at a time, and a full disk loses records, not the run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from quantgate.plan.engines import run_of
from quantgate.plan.settings import shared_settings
from quantgate.plugin.session import GateSession
from quantgate.records.closing import Closing, Plan
from quantgate.records.result import CellResult
from quantgate.reports.results import ResultsFile, why_no_report, write_run
from quantgate.reports.text import printable

#: Records that are named where they could not be written; the others are counted.
_NAMED = 3


class ReportError(ValueError):
    """A report folder that cannot be used."""


class Report:
    """An open report: `results.jsonl` and, until it is closed, a `run.json` that says `unfinished`.

    Args:
        folder: Where it is written; made if it is not there.

    Raises:
        ReportError: It cannot be written there, or another run is writing there.
    """

    def __init__(self, folder: Path) -> None:
        from filelock import FileLock, Timeout

        if reason := why_no_report(folder):
            raise ReportError(reason)
        self.folder = folder
        self._lost: list[str] = []
        self._why = ""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(folder / ".lock")
            self._lock.acquire(timeout=0)
            self._file = ResultsFile(folder)
            write_run(folder, {"state": "unfinished"})
        except Timeout:
            raise ReportError(
                f"another run is writing into the report folder {str(folder)!r}; give each run its own"
            ) from None
        except OSError as error:
            raise ReportError(
                f"the report folder {str(folder)!r} cannot be written to: {error.strerror}"
            ) from None

    @property
    def path(self) -> Path:
        """The file of records."""
        return self._file.path

    @property
    def problem(self) -> str | None:
        """Which records could not be written, and why; None where all were."""
        if not self._why:
            return None
        more = f" and {len(self._lost) - _NAMED} more" if len(self._lost) > _NAMED else ""
        lost = f"{', '.join(self._lost[:_NAMED])}{more}" or "how the run ended"
        return f"not written to {printable(str(self.path))}: {lost} ({self._why}); make room and run again"

    def append(self, result: CellResult) -> None:
        """Write a record, or remember that it could not be."""
        try:
            self._file.append(result)
        except OSError as error:
            self._lost.append(str(result.cell))
            self._why = error.strerror or str(error)

    def running(self, cell: str) -> None:
        """Say which cell the only process of a run is in: should it never return, nobody else can."""
        self._say({"state": "unfinished", "running": cell})

    def close(self, said: Mapping[str, Any], closing: Closing) -> None:
        """End the report: it is finished, and this is how."""
        try:
            self._file.write(closing.to_line())
        except OSError as error:
            self._why = error.strerror or str(error)
        self._say({"state": "finished", **said})
        self._file.close()
        self._lock.release()

    def _say(self, said: Mapping[str, Any]) -> None:
        try:
            write_run(self.folder, said)
        except OSError as error:
            self._why = error.strerror or str(error)


def closing(session: GateSession, said: Mapping[str, Any], left_out: Mapping[str, str]) -> Closing:
    """The closing line of a run.

    Args:
        session: Its session.
        said: Its exit status, counts and problems.
        left_out: The cells of this shard without a record, and why.
    """
    whole = session.folder.whole()
    names = ("exit_status", "planned", "ran", "judged", "skipped")
    return Closing(
        plan=Plan(whole, shared_settings(session.settings)),
        **{name: said[name] for name in names},
        shard=session.shard,
        run=run_of(os.environ),
        problems=tuple(map(str, said["problems"])),
        left_out=left_out,
        known_failures=_known(session, whole),
        given=tuple(sorted(session.settings.given)),
        optimizers=tuple(sorted(session.registry.registered_optimizers())),
    )


def _known(session: GateSession, ids: Iterable[str]) -> dict[str, str]:
    """The cause by which each of these cells is known to fail, where one is."""
    found = {name: session.known_failures.get(name) for name in ids}
    return {name: entry.cause for name, entry in found.items() if entry is not None and not entry.is_over}
