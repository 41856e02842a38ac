"""The commands by which somebody accepts what a run found, with the files that the run had."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import PurePath

from quantgate.records.run import RunRecord
from quantgate.reports.results import FILE_NAME

#: Cells that a command names; of more it leaves the names to whoever gives it.
_MOST = 8
_REASON = ("--reason", "TEXT")


@dataclass(frozen=True)
class Files:
    """The files of a run, as a command line names them where it was started; None where it had none."""

    results: str | None = None
    baseline: str | None = None
    known: str | None = None

    @classmethod
    def of(cls, run: RunRecord) -> Files:
        """Those that the record of a run names; of an older one, those that its options do."""
        baseline = run.files.get("baseline") or _given(run, "--quantgate-baseline=")
        known = run.files.get("known_failures") or _given(run, "--quantgate-known-failures=")
        return cls(run.files.get("results"), baseline, known)

    def to_record(self) -> dict[str, str]:
        """Those that there are, as the record of a run names them."""
        named = {"results": self.results, "baseline": self.baseline, "known_failures": self.known}
        return {name: path for name, path in named.items() if path is not None}

    def then(self, command: str) -> str:
        """A command within a sentence; where the run left no file for it, what leaves one."""
        return f"{self.before}`{command}`"

    @property
    def before(self) -> str:
        """What comes before a command that reads the run's results; empty where they are there."""
        return "" if self.results else "run it with --quantgate-report out, then "


def into_baseline(ids: Sequence[str], files: Files) -> str | None:
    """What makes a baseline of cells that are worse than theirs, and learn.

    None where none is known, or where it is a run's own results, which only a run changes.
    """
    if files.baseline is None or PurePath(files.baseline).name == FILE_NAME:
        return None
    which = (*_only(_patterns(ids)), *_REASON)
    return shlex.join(("quantgate", "baseline", "accept", _path(files.baseline), _results(files), *which))


def into_known(ids: Sequence[str], files: Files) -> str:
    """What makes known failures of cells that fail."""
    return accept_known(_patterns(ids), files)


def accept_known(only: Sequence[str], files: Files) -> str:
    """What makes known failures of the cells that one of these patterns matches; without any, of all that fail."""
    into = _path(files.known or "known.toml")
    return shlex.join(("quantgate", "known", "accept", _results(files), *_only(only), *_REASON, "-o", into))


def out_of_known(files: Files) -> str | None:
    """What takes the entries of all cells that learn out of the file of known failures; None where none is known."""
    if files.known is None:
        return None
    return shlex.join(("quantgate", "known", "accept", _results(files), "-o", _path(files.known)))


def _results(files: Files) -> str:
    return _path(files.results or f"out/{FILE_NAME}")


def _path(text: str) -> str:
    """A path that is no option, whatever it begins with."""
    return f"./{text}" if text.startswith("-") else text


def _patterns(ids: Sequence[str]) -> list[str]:
    return [escape(each) for each in ids] if len(ids) <= _MOST else ["GLOB"]


def _only(patterns: Sequence[str]) -> tuple[str, ...]:
    return tuple(word for each in patterns for word in ("--only", each))


def _given(run: RunRecord, flag: str) -> str | None:
    return next((each.removeprefix(flag) for each in run.options if each.startswith(flag)), None)
