"""Runs that wait for their database, a file each, in a folder of the user's own.

`XDG_STATE_HOME/quantgate/history`, else `~/.local/state/quantgate/history`, a folder for each database, which is named
by a digest that no address can be read from.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from quantgate.history.run import Run
from quantgate.records.result import CellResult, to_line

#: What the first line of such a file says.
_FORMAT = 1


@dataclass(frozen=True)
class Spool:
    """The runs that wait for one database."""

    folder: Path

    @classmethod
    def of(cls, digest: str) -> Spool:
        """The spool of a database.

        Raises:
            OSError: There is no home folder.
        """
        # A relative path is to be ignored: https://specifications.freedesktop.org/basedir-spec/latest/
        if (state := os.environ.get("XDG_STATE_HOME")) and Path(state).is_absolute():
            return cls(Path(state) / "quantgate" / "history" / digest)
        try:
            return cls(Path.home() / ".local" / "state" / "quantgate" / "history" / digest)
        except RuntimeError as error:
            raise OSError(str(error)) from None

    def keep(self, run: Run) -> Path:
        """Write a run, whole or not at all.

        Raises:
            OSError: It cannot be written.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.folder / f"{run.name}.jsonl"
        part = path.with_suffix(".part")
        head = {
            "history": _FORMAT,
            "run": run.name,
            "ended": run.ended.isoformat(),
            "sha": run.sha,
            "branch": run.branch,
            "exit_status": run.exit_status,
            "quantgate": run.quantgate,
        }
        try:
            private = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(private, "w", encoding="utf-8") as file:
                file.write(f"{json.dumps(head)}\n")
                file.writelines(f"{to_line(result)}\n" for result in run.results)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        return path

    def waiting(self) -> Iterator[Path]:
        """The files of the runs that wait, the oldest first."""
        try:
            found = sorted(self.folder.glob("*.jsonl"))
        except OSError:
            return
        yield from found


def read_run(path: Path) -> Run:
    """The run that `keep` wrote.

    Raises:
        FileNotFoundError: Another process has delivered it.
        ValueError: It is no such file, or of a later version.
    """
    try:
        first, *lines = path.read_text("utf-8").splitlines() or [""]
        head = json.loads(first)
        if head["history"] != _FORMAT:
            raise ValueError(f"it has version {head['history']!r}, and this quantgate knows {_FORMAT}")
        return Run(
            name=str(head["run"]),
            ended=datetime.fromisoformat(head["ended"]),
            sha=head["sha"],
            branch=head["branch"],
            exit_status=int(head["exit_status"]),
            results=tuple(CellResult.from_record(json.loads(line)) for line in lines),
            quantgate=str(head["quantgate"]),
        )
    except FileNotFoundError:
        raise
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{type(error).__name__}: {error}" if isinstance(error, KeyError) else str(error)
        ) from None
