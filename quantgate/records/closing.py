"""The closing line of `results.jsonl`: how the run ended, and what was planned, of which this may be one shard.

It is the file's last line and the only one of kind `run`. A file without it was cut: its run was killed, or its disk
was full. It states the whole plan, every cell before sharding, so that any one shard tells what the others should hold.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from quantgate.records.result import jsonable
from quantgate.records.version import __version__

KIND = "run"
#: Raised when a reader of the number before would misread the line.
SCHEMA = 1


@dataclass(frozen=True)
class Plan:
    """What a whole run trains: the ids of its cells, and the settings that all of them share."""

    cells: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """The same for two plans of the same cells and settings, in whatever order."""
        said = json.dumps([sorted(self.cells), dict(self.settings)], sort_keys=True)
        return f"sha256:{hashlib.sha256(said.encode()).hexdigest()}"


@dataclass(frozen=True)
class Closing:
    """How a run ended."""

    plan: Plan
    exit_status: int
    planned: int = 0
    ran: int = 0
    judged: int = 0
    skipped: int = 0
    #: `2/8`; None for a run that is whole.
    shard: str | None = None
    #: What the CI engine calls the run that all shards share, `GitHub 17345`; None where none says.
    run: str | None = None
    problems: tuple[str, ...] = ()
    #: This shard's planned cells that have no record, by id: `deselected` or `skipped`.
    left_out: Mapping[str, str] = field(default_factory=dict)
    #: The cells of this run that may fail, and the cause by which each may.
    known_failures: Mapping[str, str] = field(default_factory=dict)
    #: Options that somebody gave, and optimizers that somebody registered: whose doing is it if float32 does not learn?
    given: tuple[str, ...] = ()
    optimizers: tuple[str, ...] = ()
    #: What a command line needs so that a cell is judged again as it was.
    options: tuple[str, ...] = ()
    quantgate: str = __version__

    def to_line(self) -> str:
        """The line, without its newline."""
        record = {"kind": KIND, "schema": SCHEMA, **jsonable(asdict(self))}
        record["plan"] = {"count": len(self.plan.cells), "digest": self.plan.digest, **record["plan"]}
        return json.dumps(record, allow_nan=False, ensure_ascii=True)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Closing:
        """The closing that `to_line` wrote; keys of later versions are left out.

        Raises:
            ValueError: It is of another schema, or a key is missing or not what it should be.
        """
        if record.get("schema") != SCHEMA:
            raise ValueError(
                f"written by quantgate {record.get('quantgate')!s:.20} in schema {record.get('schema')!s:.20}; this is "
                f"quantgate {__version__}, which reads {SCHEMA}: read it with the version that wrote it"
            )
        try:
            said = record["plan"]
            plan = Plan(_texts(said["cells"]), dict(said["settings"]))
            made = cls(
                plan,
                **{
                    name: _whole(record[name])
                    for name in ("exit_status", "planned", "ran", "judged", "skipped")
                },
                shard=_shard(record["shard"]),
                run=None if record["run"] is None else _text(record["run"]),
                problems=_texts(record["problems"]),
                left_out={_text(name): _text(why) for name, why in record["left_out"].items()},
                known_failures={_text(name): _text(why) for name, why in record["known_failures"].items()},
                given=_texts(record["given"]),
                optimizers=_texts(record["optimizers"]),
                options=_texts(record.get("options", [])),  # which earlier versions did not write
                quantgate=_text(record["quantgate"]),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"no closing line of a run: {type(error).__name__}: {error!s:.80}") from None
        if plan.digest != said.get("digest"):
            raise ValueError("no closing line of a run: the digest is not that of its plan; was it edited?")
        return made


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is no text")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r:.40} is no list")
    return tuple(map(_text, value))


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r:.40} is no whole number")
    return value


def _shard(value: object) -> str | None:
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", _text(value))
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(f"{value!r:.40} is no shard")
    return match[0]
