"""`quantgate merge`: the reports of shards as one, with the exit status of the whole."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from quantgate.merging.reading import read_part
from quantgate.merging.turned import Turn, issue, turned
from quantgate.merging.whole import Merged, merge
from quantgate.merging.words import of_agreement, of_difference
from quantgate.records.result import CellResult
from quantgate.records.run import RunRecord
from quantgate.records.verdict import Limits
from quantgate.reports.results import FILE_NAME
from quantgate.reports.story import learns_now, tell
from quantgate.reports.text import printable

#: The issue's body, where cells turned.
TURNED = "turned.md"
_MOST_LINES = 20


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "merge", help="the reports of shards as one, and the exit status of the whole"
    )
    command.add_argument(
        "parts", nargs="+", type=Path, metavar="REPORT", help="a shard's report folder, or its results.jsonl"
    )
    command.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="the whole's report folder"
    )
    command.add_argument(
        "--before",
        type=Path,
        metavar="REPORT",
        help=f"an earlier whole: say which cells turned since, in DIR/{TURNED} too",
    )
    command.add_argument("--json", action="store_true", help="say it as JSON")
    command.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Merge, write, and say what is missing, twice or different."""
    parts = [read_part(path) for path in dict.fromkeys(options.parts)]
    before = None if options.before is None else read_part(options.before)
    taken = {_folder(path) for path in (*options.parts, *([options.before] if options.before else []))}
    if options.output.resolve() in taken:
        raise ValueError(
            f"-o {str(options.output)!r} is one of the reports that are read; name another folder"
        )
    merged = merge(parts)
    turns = [] if before is None else turned(before.results, merged.results)
    _write(options.output, merged, turns)
    if options.json:
        print(json.dumps(_described(merged, turns), indent=1))
    else:
        print("\n".join(map(printable, _for_people(merged, turns, options.output, len(parts)))))
    return merged.closing.exit_status


def _folder(path: Path) -> Path:
    return (path if path.is_dir() else path.parent).resolve()


def _write(folder: Path, merged: Merged, turns: list[Turn]) -> None:
    from quantgate.plugin.published.report import Report

    report = Report(folder)
    for result in (*merged.results, *merged.controls):
        report.append(result)
    run = replace(_run_of(merged), files={"results": str(folder / FILE_NAME)})
    report.draw(tell(merged.results, merged.controls, run))
    report.end(merged.closing)
    report.close(run)
    if report.problem is not None:
        raise ValueError(report.problem)
    path = folder / TURNED
    path.unlink(missing_ok=True)
    if turns:
        path.write_text(issue(turns), encoding="utf-8")


def _run_of(merged: Merged) -> RunRecord:
    closing = merged.closing
    return RunRecord(
        state="finished",
        exit_status=closing.exit_status,
        planned=closing.planned,
        ran=closing.ran,
        judged=closing.judged,
        skipped=closing.skipped,
        matrix=len(closing.plan.cells),
        problems=closing.problems,
        fail_bpb=closing.plan.settings.get("fail_bpb", Limits.fail_bpb),
        dead_bpb=closing.plan.settings.get("dead_bpb", Limits.dead_bpb),
        subjects=tuple(dict.fromkeys(each.subject for each in merged.results)),
        optimizers=tuple(dict.fromkeys(each.optimizer for each in merged.results)),
        left_out=tuple(sorted(closing.left_out)),
        options=closing.options,
    )


def _for_people(merged: Merged, turns: list[Turn], folder: Path, parts: int) -> list[str]:
    closing = merged.closing
    lines = [_failing_line(result) for result in merged.failing]
    agreeing = [each for each in merged.twice if each.agree]
    if agreeing:
        lines.append(of_agreement(agreeing))
    lines += [of_difference(name, said) for name, said in merged.differ.items() if name != "corpus"]
    lines += [_turned_line(turn) for turn in turns]
    if len(lines) > _MOST_LINES:
        lines[_MOST_LINES:] = [f"and {len(lines) - _MOST_LINES} more, in the report"]
    lines.append(
        f"{closing.planned} planned / {closing.ran} ran / {closing.judged} judged / {closing.skipped} skipped, "
        f"{parts} reports, exit status {closing.exit_status}"
    )
    lines += [f"quantgate: {problem}" for problem in closing.problems]
    return [*lines, f"results: {folder / 'results.jsonl'}"]


def _turned_line(turn: Turn) -> str:
    before = "not there" if turn.before == "new" else turn.before
    return f"{turn.id} turned: before {before}, now {turn.now.verdict}"


def _failing_line(result: CellResult) -> str:
    score = "" if result.bpb is None else f" {result.bpb:.2f} BPB"
    said = [result.cause] if result.cause else []
    said += ["regressed against the baseline"] if result.regressed else []
    said += ["a known failure that learns now"] if learns_now(result) else []
    return ", ".join((f"{result.cell}: {result.verdict}{score}", *said))


def _described(merged: Merged, turns: list[Turn]) -> dict[str, Any]:
    closing = merged.closing
    return {
        "exit_status": closing.exit_status,
        "planned": closing.planned,
        "ran": closing.ran,
        "judged": closing.judged,
        "skipped": closing.skipped,
        "failing": [result.cell.id for result in merged.failing],
        "missing": list(merged.missing),
        "twice": [{"id": each.id, "agree": each.agree, "said": dict(each.said)} for each in merged.twice],
        "differ": {
            name: {value: list(names) for value, names in said.items()}
            for name, said in merged.differ.items()
        },
        "turned": [{"id": turn.id, "before": turn.before, "now": str(turn.now.verdict)} for turn in turns],
        "problems": list(closing.problems),
    }
