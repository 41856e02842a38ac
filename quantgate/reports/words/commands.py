"""The commands by which somebody accepts what a run found, with the files that the run had."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from quantgate.records.run import RunRecord

_BASELINE, _KNOWN = "--quantgate-baseline=", "--quantgate-known-failures="


@dataclass(frozen=True)
class Files:
    """The files of a run, as a command line names them where it was started; None where it had none."""

    results: str | None = None
    baseline: str | None = None
    known: str | None = None

    @classmethod
    def of(cls, run: RunRecord) -> Files:
        """Those that the record of a run names."""
        return cls(run.results, _given(run, _BASELINE), _given(run, _KNOWN))

    def then(self, command: str) -> str:
        """A command within a sentence; where the run left no file for it, what leaves one."""
        return f"`{command}`" if self.results else f"run it with --quantgate-report out, then `{command}`"


def into_baseline(ids: Sequence[str], files: Files) -> str:
    """What makes a baseline of cells that are worse than theirs, and learn."""
    words = [
        "quantgate",
        "baseline",
        "accept",
        files.baseline or "base.jsonl",
        _results(files),
        *_only(ids),
        *_REASON,
    ]
    return shlex.join(words)


def into_known(ids: Sequence[str], files: Files) -> str:
    """What makes known failures of cells that fail."""
    words = [
        "quantgate",
        "known",
        "accept",
        _results(files),
        *_only(ids),
        *_REASON,
        "-o",
        files.known or "known.toml",
    ]
    return shlex.join(words)


def out_of_known(files: Files) -> str:
    """What takes the entries of all cells that learn out of the file of known failures."""
    return shlex.join(["quantgate", "known", "accept", _results(files), "-o", files.known or "known.toml"])


_REASON = ("--reason", "TEXT")


def _results(files: Files) -> str:
    return files.results or "out/results.jsonl"


def _only(ids: Sequence[str]) -> tuple[str, ...]:
    if len(ids) == 1:
        return "--only", ids[0]
    begin = "".join(each[0] for each in takewhile(lambda each: len(set(each)) == 1, zip(*ids, strict=False)))
    return ("--only", f"{begin}*") if begin else ()


def _given(run: RunRecord, flag: str) -> str | None:
    return next((each.removeprefix(flag) for each in run.options if each.startswith(flag)), None)
