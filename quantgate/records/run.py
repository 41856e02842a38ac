"""The record of one run: what `run.json` holds, beside the records of its cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from quantgate.records.verdict import Limits

State = Literal["unfinished", "finished"]


@dataclass(frozen=True)
class RunRecord:
    """How a run ended, and what its cells' records do not say: written when it starts and again when it ends."""

    state: State = "unfinished"
    #: pytest's, once it has ended.
    exit_status: int | None = None
    #: Cells that were planned, ran, were judged, were skipped; and those of the matrix that it selected from.
    planned: int = 0
    ran: int = 0
    judged: int = 0
    skipped: int = 0
    matrix: int = 0
    #: Why the run fails beside its cells, or is invalid.
    problems: tuple[str, ...] = ()
    #: The lines that scores were held against.
    fail_bpb: float = Limits.fail_bpb
    dead_bpb: float = Limits.dead_bpb
    #: Subjects and optimizers in the order of the matrix.
    subjects: tuple[str, ...] = ()
    optimizers: tuple[str, ...] = ()
    #: The ids of the cells that were skipped.
    left_out: tuple[str, ...] = ()
    #: Cells that may fail: id -> {`reason`, `cause`}.
    known: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: The options that a command needs to judge one of these cells again.
    options: tuple[str, ...] = ()
    #: `results`, `baseline` and `known_failures`: those that it had, as a command line names them where it was started.
    files: Mapping[str, str] = field(default_factory=dict)
    #: When it ended, in UTC: `2026-11-25T12:00:00Z`.
    finished: str | None = None

    @property
    def limits(self) -> Limits:
        return Limits(self.fail_bpb, self.dead_bpb)

    def to_record(self) -> dict[str, Any]:
        """A dict of JSON's own types; `state` and `exit_status` come first, where shell scripts look for them."""
        record = asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in record.items()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> RunRecord:
        """The record that `to_record` wrote; keys of other versions are left out.

        Raises:
            ValueError: It is no object, or a value is not of its kind.
        """
        if not isinstance(record, Mapping) or record.get("state") not in {"unfinished", "finished"}:
            raise ValueError("not a run's record: its state is neither 'unfinished' nor 'finished'")
        given: dict[str, Any] = {}
        for each in fields(cls):
            if each.name in record:
                value = record[each.name]
                if not _KINDS[each.name](value):
                    raise ValueError(f"not a run's record: {each.name} is {value!r:.80}")
                given[each.name] = tuple(value) if isinstance(value, list) else value
        return cls(**given)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_line(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_texts(value: object) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_text, value))


def _are_known(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(each, Mapping) and all(map(_is_text, each.values())) for each in value.values()
    )


_KINDS: Mapping[str, Callable[[object], bool]] = {
    "state": _is_text,
    "exit_status": lambda value: value is None or _is_count(value),
    **dict.fromkeys(("planned", "ran", "judged", "skipped", "matrix"), _is_count),
    **dict.fromkeys(("problems", "subjects", "optimizers", "left_out", "options"), _are_texts),
    **dict.fromkeys(("fail_bpb", "dead_bpb"), _is_line),
    "known": _are_known,
    "files": lambda value: isinstance(value, Mapping) and all(map(_is_text, value.values())),
    "finished": lambda value: value is None or _is_text(value),
}
