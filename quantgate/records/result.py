"""The record of one cell: what `results.jsonl` holds, a JSON object a line."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from functools import cache
from types import MappingProxyType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from quantgate.diagnosis.causes import CAUSES
from quantgate.records.cell import DEFAULT_WIDTH, SEEDS, Cell, Config, UnseededCell
from quantgate.records.verdict import CHANCE_BPB, DEFAULT_LIMITS, Limits, Verdict
from quantgate.records.version import __version__

#: The lanes of this package's runs in the fleet's canonical names: what asks for the first tier finds them, and none is
#: taken for a cell of the fleet's own.
LANES: Mapping[str | None, str] = MappingProxyType({None: "TIER1-GATE", "long": "TIER1-GATE-LONG"})


@dataclass(frozen=True)
class CellResult:
    """A cell, its curve and its verdict. Scores are bits per byte; what is absent or not known is None."""

    subject: str
    kind: str
    format: str
    optimizer: str
    #: None, as the width and the steps, where a log does not state it.
    seed: int | None
    width: int | None
    steps: int | None
    lr: float | None
    storage: str
    scope: str
    bpb_initial: float | None
    bpb: float | None
    bpb_control: float | None
    gap: float | None
    verdict: Verdict
    cause: str | None
    hint: str | None
    evidence: Mapping[str, Any]
    curve: tuple[tuple[int, float | None], ...]
    seconds: float
    corpus: Mapping[str, str]
    environment: Mapping[str, Any]
    quantgate: str
    canon_name: str
    shard: str | None = None
    #: The scores of every seed where a close call asked for more: seed -> BPB.
    seeds: Mapping[str, float | None] = field(default_factory=dict)
    #: What the cell was in the baseline and how it changed: `bpb, verdict, cause, curve, change (same | regressed |
    #: improved | new), tolerance, lane (exact | portable | statistical), because`; None where nothing was compared.
    baseline: Mapping[str, Any] | None = None
    #: The entry of the known failures that excuses the cell: `pattern, reason, cause, until, link`; None without one.
    known: Mapping[str, Any] | None = None
    #: The entry that speaks for the cell and does not excuse it, and `why`: learns | over | cause; None without one.
    unexcused: Mapping[str, Any] | None = None
    #: The test that judged it, as a command line names it where the run was started.
    test: str | None = None
    #: Where the code at fault stands, or that of the subject: `src/mylib/quant.py:12`, relative to its repository.
    source: str | None = None
    #: `long`, or None for the lane of 100 steps.
    lane: str | None = None
    #: Bits that a model which knows nothing scores; None where a log leaves it to be assumed.
    chance: float | None = CHANCE_BPB
    #: SHA-256 over all that it depends on, where a run that is cut takes it up again (`plan.resume`).
    provenance: str | None = None

    @property
    def cell(self) -> Cell:
        """The cell that this is the result of."""
        made = Cell if self.seed is not None else UnseededCell
        return made(
            subject=self.subject,
            kind=self.kind,  # type: ignore[arg-type]
            optimizer=self.optimizer,
            seed=SEEDS[0] if self.seed is None else self.seed,
            width=DEFAULT_WIDTH if self.width is None else self.width,
            storage=self.storage,  # type: ignore[arg-type]
            scope=self.scope,  # type: ignore[arg-type]
            lane=self.lane,  # type: ignore[arg-type]
        )

    @property
    def regressed(self) -> bool:
        """Whether it is worse than its baseline, and not known to be."""
        return self.known is None and self.baseline is not None and self.baseline.get("change") == "regressed"

    def to_record(self) -> dict[str, Any]:
        """A dict of JSON's own types: NaN and infinities become None."""
        record: dict[str, Any] = jsonable(asdict(self))
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> CellResult:
        """The result that `to_record` wrote; keys of later versions are left out.

        Raises:
            ValueError: It is no object, a key is missing, or its verdict or curve is none.
        """
        if not isinstance(record, Mapping):
            raise ValueError(f"not a result record: {type(record).__name__}, not an object")
        required = (f.name for f in fields(cls) if f.default is f.default_factory is MISSING)
        if missing := [name for name in required if name not in record]:
            raise ValueError(f"not a result record: {', '.join(missing)} missing; was it cut in mid-line?")
        given = {f.name: record[f.name] for f in fields(cls) if f.name in record}
        given.setdefault("chance", _chance_before(record))
        try:
            given["verdict"] = Verdict(given["verdict"])
            given["curve"] = tuple((step, score) for step, score in given["curve"])
        except (TypeError, ValueError) as error:
            raise ValueError(f"not a result record: {error}") from None
        hints = _hints()
        for name, value in given.items():
            if not _fits(value, hints[name]):
                raise ValueError(f"not a result record: {name} is {value!r}")
        return cls(**given)

    def message(self, limits: Limits = DEFAULT_LIMITS) -> str:
        """What was seen, the limit, the likely cause and the next step."""
        return explain(self, limits)


#: What to do about a subject of this process that was lost.
NEXT = {
    Verdict.CRASHED: "call it alone on such a float32 tensor, or `quantgate doctor` it.",
    Verdict.TIMEOUT: "look for a loop that does not end; a slow machine may raise pytest-timeout's `timeout`.",
}


def _chance_before(record: Mapping[str, Any]) -> Any:
    """The chance of a record that lacks it, being older: a foreign trainer's is in its evidence, no log's is said."""
    evidence, of_log = record["evidence"], not record["corpus"]
    said = evidence.get("chance") if isinstance(evidence, Mapping) else None
    return said if said is not None else None if of_log else CHANCE_BPB


@cache
def _hints() -> dict[str, Any]:
    return get_type_hints(CellResult)


def _fits(value: object, hint: Any) -> bool:
    """Whether a value from outside is what a field's annotation says, as far down as readers rely on it."""
    if hint is Any:
        return True
    kind, arguments = get_origin(hint) or hint, get_args(hint)
    if kind is UnionType:
        return any(_fits(value, each) for each in arguments)
    if kind is Mapping:
        return isinstance(value, Mapping) and all(_fits(each, arguments[1]) for each in value.values())
    if kind is tuple and arguments[-1] is Ellipsis:
        return isinstance(value, tuple) and all(_fits(each, arguments[0]) for each in value)
    if kind is tuple:
        return isinstance(value, tuple) and all(map(_fits, value, arguments))
    if kind in {int, float}:
        return isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
    return isinstance(value, kind)


def canon_name(cell: Cell, lr: float | None) -> str:
    """The fleet's name of a cell: `IGLA-{LANE}-{format}-h{width}-LR{lr}-rng{seed}-{optimizer}`.

    A foreign trainer has a lane of its own, so that its int8 is not taken for the built-in one.
    """
    rate = "default" if lr is None else f"{lr:g}"
    lane, format = LANES[cell.lane], cell.subject
    if cell.trainer is not None:
        lane, format = f"{lane}:{cell.trainer}", cell.subject.partition(":")[2]
    return f"IGLA-{lane}-{format}-h{cell.width}-LR{rate}-rng{cell.seed}-{cell.optimizer}"


def explain(result: CellResult, limits: Limits) -> str:
    """The message of a cell that does not learn."""
    lines = [f"{result.cell}: {_score(result, limits)}"]
    if result.cause:
        because = result.evidence.get("because")
        lines.append(f"Cause: {result.cause}: {because}" if because else f"Cause: {result.cause}.")
        also = result.evidence.get("also")
        if also:
            lines.append(f"Also: {' '.join(also)}")
        known = CAUSES.get(result.cause)
        hint = result.hint or (known.hint if known else "")
        lines.append(f"Hint: {hint} `quantgate explain {result.cause}`".replace("  ", " "))
    if result.cell.trainer is not None:
        return "\n".join((*lines, *_output(result)))
    if (what := NEXT.get(result.verdict)) is not None:
        lines.append(f"Next: {what}")
    if result.seeds:
        scores = ", ".join(f"seed {seed}: {_bpb(score)}" for seed, score in result.seeds.items())
        lines.append(f"A close call, judged by the median of its seeds: {scores}.")
    if result.evidence.get("state"):
        lines.append(f"Note: {result.evidence['state']}")
    return "\n".join(lines)


#: Lines of a foreign trainer's output that a message shows.
_LAST_LINES = 10


def _output(result: CellResult) -> list[str]:
    """The last lines that a foreign trainer printed, and the command that was run."""
    evidence = result.evidence
    lines = [f"Hint: {result.hint}"] if result.hint and result.cause is None else []
    if evidence.get("seen"):
        lines.append(f"Seen: {evidence['seen']}")
    if command := evidence.get("command"):
        lines.append(f"Command: {shlex.join(command)}")
    said = [line for line in str(evidence.get("output", "")).splitlines() if line.strip()]
    if said:
        lines += ["Its last lines:", *(f"  {line[:200]}" for line in said[-_LAST_LINES:])]
    return lines


def _score(result: CellResult, limits: Limits) -> str:
    match result.verdict:
        case Verdict.REJECTED:
            return f"{result.verdict}."
        case Verdict.FAULTY | Verdict.DIVERGED | Verdict.NO_OP if not result.curve:
            return f"{result.verdict}, as the probes of {result.steps} steps say."
        case Verdict.CRASHED | Verdict.TIMEOUT | Verdict.UNJUDGED:
            because = result.evidence.get("because")
            return f"{result.verdict}: {because}" if because else f"{result.verdict}."
    control = "" if result.bpb_control is None else f"; control {result.bpb_control:.2f}"
    tolerance = result.evidence.get("tolerance")
    if result.verdict is Verdict.LAGS and tolerance is not None:
        control += f", tolerance {tolerance:.2f}"
    named = "" if result.verdict in {Verdict.DEAD, Verdict.PARTIAL} else f"{result.verdict}: "
    # A foreign trainer has lines of its own.
    limit = result.evidence.get("limit", limits.fail_bpb)
    chance = "" if result.chance is None else f", chance {result.chance:.2f}"
    lines = f"limit {limit:.2f}{chance}{control}"
    return f"{named}{_bpb(result.bpb)} BPB after {result.steps} steps ({lines})."


def _bpb(score: float | None) -> str:
    return "non-finite" if score is None or not math.isfinite(score) else f"{score:.2f}"


def jsonable(value: Any) -> Any:
    """`value` in JSON's own types: tuples become lists, NaN and infinities None."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return str(value)
    return value


def to_line(result: CellResult) -> str:
    """One line of `results.jsonl`, without its newline."""
    return json.dumps(result.to_record(), allow_nan=False, ensure_ascii=True)


def unmeasured(cell: Cell, verdict: Verdict, because: str, config: Config) -> CellResult:
    """The result of a cell that has no score: it was lost, skipped, or the run was invalid."""
    return CellResult(
        subject=cell.subject,
        kind=cell.kind,
        format=cell.subject.partition(":")[2] if cell.trainer else cell.subject * (cell.kind == "format"),
        optimizer=cell.optimizer,
        seed=cell.seed,
        width=cell.width,
        steps=config.steps,
        lr=config.lr,
        storage=cell.storage,
        scope=cell.scope,
        bpb_initial=None,
        bpb=None,
        bpb_control=None,
        gap=None,
        verdict=verdict,
        cause=None,
        hint=None,
        evidence={"because": because},
        curve=(),
        seconds=0.0,
        corpus={"name": config.corpus},
        environment={},
        quantgate=__version__,
        canon_name=canon_name(cell, config.lr),
        lane=cell.lane,
        chance=CHANCE_BPB if cell.trainer is None else None,
    )


def with_shard(result: CellResult, shard: str | None) -> CellResult:
    """The same result, marked with the shard of the run that it belongs to."""
    return replace(result, shard=shard)
