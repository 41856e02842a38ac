"""A run as the history keeps it, and the rows that it becomes; what is written is plain text and numbers."""

from __future__ import annotations

import hashlib
import json
import math
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from quantgate.records.result import CellResult
from quantgate.records.version import __version__

Row = dict[str, Any]

#: A longer text is cut; PostgreSQL's indexes take 2,700 bytes at the most, and a character is up to four.
MOST_CHARACTERS = 500
#: What of a result has a column of its own: as text, and of an environment.
_TEXTS = ("canon_name", "subject", "kind", "format", "optimizer", "storage", "scope", "cause", "shard")
ENVIRONMENT = ("torch", "numpy", "python", "cpu", "isa", "threads", "device")


@dataclass(frozen=True)
class Run:
    """One run of the gate that has ended."""

    #: What no other run is called; the time comes first, so that names sort as runs ended.
    name: str
    ended: datetime
    #: The commit, with `-dirty` where files were changed since; None outside of a repository.
    sha: str | None
    branch: str | None
    exit_status: int
    results: tuple[CellResult, ...]
    quantgate: str = __version__

    @classmethod
    def now(cls, results: Sequence[CellResult], exit_status: int, sha: str | None, branch: str | None) -> Run:
        """A run that ends now."""
        ended = datetime.now(UTC).replace(microsecond=0)
        name = f"{ended:%Y%m%dT%H%M%SZ}-{secrets.token_hex(6)}"
        return cls(name, ended, sha, branch, exit_status, tuple(results))


def run_row(run: Run) -> Row:
    """The row of `ssot.quantgate_runs`."""
    return {
        "run": run.name,
        "ts": run.ended,
        "sha": storable(run.sha),
        "branch": storable(run.branch),
        "exit_status": run.exit_status,
        "quantgate": storable(run.quantgate),
    }


def sample_rows(run: Run) -> Iterator[Row]:
    """The rows of `ssot.bpb_samples`: the curves, but those of cells that are broken on purpose."""
    for result in run.results:
        if result.kind == "negative-control":  # nobody is to be called at night for them
            continue
        for step, score in result.curve:
            yield {
                "canon_name": storable(result.canon_name),
                "format": storable(result.format or result.subject),
                "algo": storable(result.optimizer),
                "hidden": result.width,
                "seed": result.seed,
                "step": step,
                # PostgreSQL keeps a NaN, above every number; SQLite makes it NULL.
                "bpb": math.nan if score is None or not math.isfinite(score) else score,
                "sha": storable(run.sha),
                "run_id": _run_id(run, result),
                "ts": run.ended,
            }


def verdict_rows(run: Run) -> list[Row]:
    """The rows of `ssot.quantgate_verdicts`, one for each cell; of two results of one cell the last."""
    rows = {}
    for result in run.results:
        rows[_run_id(run, result)] = {
            "run_id": _run_id(run, result),
            "run": run.name,
            "cell": storable(result.cell.id),
            **{
                name: storable(getattr(result, name))
                for name in (
                    "canon_name",
                    "subject",
                    "kind",
                    "format",
                    "optimizer",
                    "storage",
                    "scope",
                    "cause",
                    "shard",
                )
            },
            **{name: getattr(result, name) for name in ("seed", "width", "steps")},
            **{
                name: finite(getattr(result, name))
                for name in ("lr", "bpb_initial", "bpb", "bpb_control", "gap", "seconds")
            },
            "verdict": str(result.verdict),
            "because": storable(_text(result.evidence.get("because"))),
            "corpus": storable(result.corpus.get("name")),
            "corpus_sha256": storable(result.corpus.get("sha256")),
            "environment": _fingerprint(result.environment),
        }
    return list(rows.values())


def environment_rows(run: Run) -> list[Row]:
    """The rows of `ssot.quantgate_environments`, in an order that two writers share."""
    found = {
        _fingerprint(result.environment): result.environment for result in run.results if result.environment
    }
    return [
        {
            "environment": digest,
            **{name: storable(_text(environment.get(name))) for name in ENVIRONMENT},
            "everything": storable(_canonical(environment), most=100_000),
        }
        for digest, environment in sorted(found.items(), key=lambda item: str(item[0]))
    ]


def storable(text: str | None, most: int = MOST_CHARACTERS) -> str | None:
    """`text` as every database takes it: no NUL, no half of a surrogate pair, not too long; different texts differ."""
    if text is None:
        return None
    plain = text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    if len(plain) <= most:
        return plain
    return f"{plain[: most - 17]}~{hashlib.sha256(plain.encode()).hexdigest()[:16]}"


def finite(number: float | None) -> float | None:
    """The number; None where it is not finite."""
    return number if number is not None and math.isfinite(number) else None


def _run_id(run: Run, result: CellResult) -> str | None:
    """The training that a sample is of: what `quantgate judge` and a fleet tell runs of one cell apart by."""
    kind = "" if result.kind in {"format", "recipe", "trainer"} else f"{result.kind}/"
    return f"{run.name}/{storable(kind + result.cell.id)}"


def _fingerprint(environment: Mapping[str, Any]) -> str | None:
    return hashlib.sha256(_canonical(environment).encode()).hexdigest()[:16] if environment else None


def _canonical(environment: Mapping[str, Any]) -> str:
    return json.dumps(environment, sort_keys=True, default=str)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
