"""`quantgate judge`: the curves that other trainers logged, in files or a table."""

from __future__ import annotations

import argparse
import math
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

from quantgate.cli.status import EXIT_FAILED, EXIT_INVALID, EXIT_OK
from quantgate.databases.address import find_address
from quantgate.logs.judging.best import judge_best
from quantgate.logs.judging.fleet import Asked, Judged, judge_fleet
from quantgate.logs.names import parse_columns
from quantgate.logs.reading.files import read_files
from quantgate.logs.reading.patterns import LOGGERS
from quantgate.logs.reading.sources import Reading, Wanted, parse_since
from quantgate.logs.reading.sql import DEFAULT_TABLE, EXTRA, read_sql
from quantgate.records.closing import Closing, Plan
from quantgate.records.result import to_line
from quantgate.records.run import RunRecord
from quantgate.records.verdict import Limits
from quantgate.reports.fleet import fleet_text
from quantgate.reports.results import ResultsFile, write_run


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    judge = commands.add_parser(
        "judge",
        help="the curves that other trainers logged: JSON lines, CSV, Parquet, text, SQL",
        description="Judges logged curves. All that is not given is derived, and said.",
    )
    judge.add_argument(
        "files", metavar="FILE", nargs="*", help="files, globs in quotes, folders; gzipped or not"
    )
    judge.add_argument(
        "--sql",
        metavar="ADDRESS",
        help="a table instead: env:NAME or @FILE holds its SQLAlchemy URL; without a password, the URL itself",
    )
    judge.add_argument("--table", default=DEFAULT_TABLE, help=f"the table ({DEFAULT_TABLE})")
    judge.add_argument(
        "--columns", default="", metavar="ROLE=COLUMN,...", help="such as step=iter,bpb=val_bpb"
    )
    judge.add_argument(
        "--pattern",
        metavar="TEXT",
        help="a line of a text log, such as 'seed={seed} step={step} val_bpb={bpb}', with {loss} for nats, or one of "
        + ", ".join(LOGGERS),
    )
    judge.add_argument("--unit", choices=("bits", "nats"), help="of the scores (by the column's name)")
    judge.add_argument(
        "--chance", type=float, metavar="BITS", help="the score of a model that knows nothing (7)"
    )
    judge.add_argument("--vocabulary", type=int, metavar="SYMBOLS", help="chance is its log2")
    judge.add_argument(
        "--horizon", type=int, metavar="STEP", help="the last step of a whole run (its control's)"
    )
    judge.add_argument(
        "--control",
        metavar="GLOB|COLUMN=VALUE",
        help="the float32 runs, by name or column (fp32, f32, float32)",
    )
    judge.add_argument(
        "--tolerance", type=float, metavar="BITS", help="how far behind its control a run may end"
    )
    judge.add_argument(
        "--fail-bpb",
        type=float,
        metavar="BITS",
        help="from here on a run fails (6.5 of 7; 4.78 from 2,000 steps)",
    )
    judge.add_argument("--dead-bpb", type=float, metavar="BITS", help="from here on it is dead (6.9 of 7)")
    judge.add_argument("--since", metavar="SPAN", help="only samples this young: 24h, 30d")
    judge.add_argument(
        "--like", metavar="PATTERN", help="only runs of such a name, %% for anything: 'nightly-%%'"
    )
    judge.add_argument("--report", type=Path, metavar="FOLDER", help="write results.jsonl there")
    judge.add_argument("--json", action="store_true", help="print the records instead, a JSON object a line")
    judge.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Judge the logs; 70 where the float32 controls do not learn either."""
    asked = _asked(options)
    wanted = Wanted(
        columns=parse_columns(options.columns),
        pattern=options.pattern,
        like=options.like,
        since=None if options.since is None else parse_since(options.since),
    )
    with _source(options, wanted) as reading:
        if reading.best:
            judged = judge_best(reading.best, asked, bits_named=reading.bits_named)
        else:
            judged = judge_fleet(reading.runs, asked, bits_named=reading.bits_named)
    results, controls = judged.results, judged.controls
    status = _status(judged)
    if options.report is not None:
        _write(options.report, judged, status)
    if options.json:
        for result in (*results, *controls):
            print(to_line(result))
    else:
        print(fleet_text(results, controls, (*reading.said, *judged.said), judged.runs, judged.samples))
    return status


def _status(judged: Judged) -> int:
    results, controls = judged.results, judged.controls
    if controls and all(control.verdict.judged and not control.verdict.passes for control in controls):
        return EXIT_INVALID
    return EXIT_OK if results and all(result.verdict.passes for result in results) else EXIT_FAILED


def _source(options: argparse.Namespace, wanted: Wanted) -> AbstractContextManager[Reading]:
    if (options.sql is None) == (not options.files):
        raise ValueError("name files, or a table by --sql; such as quantgate judge 'logs/*.jsonl'")
    if options.sql is None:
        return read_files(options.files, wanted)
    try:
        address = find_address(options.sql, extra=EXTRA)
    except ValueError as error:
        raise ValueError(f"--sql: {error}") from None
    return read_sql(address, wanted, options.table)


def _asked(options: argparse.Namespace) -> Asked:
    chance = options.chance
    if options.vocabulary is not None:
        if chance is not None:
            raise ValueError("--chance and --vocabulary say the same; give one")
        if options.vocabulary < 2:
            raise ValueError(f"--vocabulary {options.vocabulary}: at least two symbols are needed")
        chance = math.log2(options.vocabulary)
    for name in ("chance", "horizon", "tolerance", "fail_bpb", "dead_bpb"):
        value = getattr(options, name)
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"--{name.replace('_', '-')} {value:g}: a positive number is needed")
    return Asked(chance, options.unit, options.horizon, _limits(options), options.tolerance, options.control)


def _limits(options: argparse.Namespace) -> Limits | None:
    if options.fail_bpb is None and options.dead_bpb is None:
        return None
    if options.fail_bpb is None or options.dead_bpb is None:
        raise ValueError("--fail-bpb and --dead-bpb go together")
    if options.fail_bpb > options.dead_bpb:
        raise ValueError(f"--fail-bpb {options.fail_bpb:g} is above --dead-bpb {options.dead_bpb:g}")
    return Limits(options.fail_bpb, options.dead_bpb)


def _write(folder: Path, judged: Judged, status: int) -> None:
    """The report folder of a run: its records, their closing line, and the run's own record."""
    many, decided = len(judged.results), sum(result.verdict.judged for result in judged.results)
    problems = ("the float32 controls do not learn",) if status == EXIT_INVALID else ()
    record = RunRecord(
        state="finished",
        exit_status=status,
        planned=many,
        ran=many,
        judged=decided,
        matrix=many,
        problems=problems,
        fail_bpb=judged.limits.fail_bpb,
        dead_bpb=judged.limits.dead_bpb,
        subjects=tuple(dict.fromkeys(result.subject for result in judged.results)),
        optimizers=tuple(dict.fromkeys(result.optimizer for result in judged.results)),
        finished=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    )
    closing = Closing(
        Plan(tuple(result.cell.id for result in judged.results), {"judged": "logs"}),
        exit_status=status,
        planned=many,
        ran=many,
        judged=decided,
        problems=problems,
    )
    try:
        file = ResultsFile(folder)
        for result in (*judged.results, *judged.controls):
            file.append(result)
        file.write(closing.to_line())
        file.close()
        write_run(folder, record.to_record())
    except OSError as error:
        raise ValueError(
            f"the report folder {str(folder)!r} cannot be written to: {error.strerror}"
        ) from None
