"""The command line: `quantgate doctor | explain | run | power | incident`."""

from __future__ import annotations

import argparse
import difflib
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from quantgate import __version__
from quantgate.diagnosis.causes import CAUSES
from quantgate.records.cell import DEFAULT_STEPS, DEFAULT_WIDTH, SEEDS, Config
from quantgate.subjects.registry import UnknownNameError
from quantgate.reports.probes import cause_text, probe_lines
from quantgate.reports.terminal import printable

if TYPE_CHECKING:
    from quantgate.faults import Setup
    from quantgate.subjects.registry import Registry

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 4
_BAR = 30


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit status is 0, 1 where a subject fails, or 4 for a usage error."""
    parser = _parser()
    options = parser.parse_args(arguments)
    sys.path.insert(0, str(Path.cwd()))  # module:attribute is looked up from here, as pytest does
    try:
        status: int = options.command(options)
    except ValueError as error:
        print(f"quantgate: {printable(str(error))}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return 130
    return status


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"quantgate: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="quantgate", description="The gate for low-precision training.")
    parser.add_argument("--version", action="version", version=f"quantgate {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    doctor = commands.add_parser("doctor", help="the probes of a format, in seconds, and the cause they name")
    doctor.add_argument(
        "subject", metavar="NAME|module:function", help="a format, a fault of the library, or a path"
    )
    doctor.add_argument(
        "--storage", choices=("master", "inplace"), help="where the weights are kept (master)"
    )
    doctor.set_defaults(command=_doctor)

    explain = commands.add_parser("explain", help="what a cause is, how it looks and how it is mended")
    explain.add_argument("cause", metavar="CAUSE", nargs="?", help="without it, every cause in a line")
    explain.set_defaults(command=_explain)

    run = commands.add_parser("run", help="one cell with its curve")
    run.add_argument("format", metavar="FORMAT")
    run.add_argument("optimizer", metavar="OPTIMIZER")
    run.add_argument("--seed", type=int, default=SEEDS[0])
    run.add_argument("--width", type=int, default=DEFAULT_WIDTH)
    run.add_argument("--steps", type=int, default=DEFAULT_STEPS)
    run.add_argument("--lr", type=float)
    run.add_argument("--storage", choices=("master", "inplace"), default="master")
    run.add_argument("--corpus", default="builtin", metavar="TEXT")
    run.add_argument("--device", default="cpu")
    run.set_defaults(command=_run)

    power = commands.add_parser("power", help="faults caught and false alarms, beside the plain BPB gate")
    power.add_argument("--optimizers", default="adamw,muon,sgd,lion", metavar="NAMES")
    power.add_argument("--seeds", default=str(SEEDS[0]))
    power.add_argument("--widths", default=str(DEFAULT_WIDTH))
    power.add_argument("--corpora", default="builtin", metavar="TEXTS")
    power.add_argument("--only", metavar="NAMES", help="only these faults or formats")
    power.add_argument(
        "--libraries", metavar="PATHS", help="module:attribute of mappings of faults or setups"
    )
    power.add_argument("--jobs", type=int, default=2, help="processes (2)")
    power.add_argument("--json", type=Path, metavar="FILE", help="write the counts there too")
    power.set_defaults(command=_power)

    incident = commands.add_parser("incident", help="the incident's table, replayed and mended")
    incident.add_argument("--jobs", type=int, default=2, help="processes (2)")
    incident.set_defaults(command=_incident)
    return parser


def _doctor(options: argparse.Namespace) -> int:
    from dataclasses import replace

    from quantgate.gate.examination import examine_subject
    from quantgate.training.optimizers import OPTIMIZERS
    from quantgate.subjects.registry import REGISTRY

    setup = _setup(options.subject, REGISTRY)
    examined = examine_subject(
        setup.subject,
        optimizer=setup.optimizer or OPTIMIZERS["adamw"],
        storage=options.storage or setup.storage,
        config=replace(Config(), scope=setup.scope),
    )
    bits = "unknown bits" if examined.bits is None else f"{examined.bits:g} bits"
    print(f"{printable(examined.subject)} ({bits})")
    for probe, said, in_order in probe_lines(examined.evidence, examined.findings):
        print(f"  {'ok  ' if in_order else 'FAIL'}  {probe:<18}  {said}")
    if examined.healthy:
        print("No probe found a fault.")
        return EXIT_OK
    if examined.cause is not None:
        print(
            f"Cause: {examined.cause}\nHint: {CAUSES[examined.cause].hint} `quantgate explain {examined.cause}`"
        )
    return EXIT_FAILED


def _setup(name: str, registry: Registry) -> Setup:
    """A fault of the library by its name, or any subject of the registry."""
    from quantgate.faults import FAULTS, Setup

    if name in FAULTS:
        return FAULTS[name].broken
    try:
        return Setup(registry.subject(name))
    except UnknownNameError:
        if ":" in name or not (near := difflib.get_close_matches(name, FAULTS, n=1)):
            raise
        raise ValueError(f"unknown format {name!r}; did you mean the fault {near[0]!r}?") from None


def _explain(options: argparse.Namespace) -> int:
    if options.cause is None:
        for cause in CAUSES.values():
            print(f"{cause.name:<22}  {cause.summary}")
        return EXIT_OK
    if options.cause not in CAUSES:
        near = difflib.get_close_matches(options.cause, CAUSES, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(CAUSES)}."
        raise ValueError(f"unknown cause {options.cause!r}; {hint}")
    print(cause_text(options.cause))
    return EXIT_OK


class _Bar:
    """A progress bar on a terminal; nothing where output is kept."""

    def __init__(self, steps: int, stream: TextIO) -> None:
        self.steps, self.stream = steps, stream
        self.live = stream.isatty()
        self.score = ""

    def __call__(self, step: int, score: float | None) -> None:
        if score is not None:
            self.score = f"{score:.2f} BPB"
        if self.live:
            done = _BAR * step // self.steps
            self.stream.write(f"\r[{'#' * done}{'.' * (_BAR - done)}] {step}/{self.steps} {self.score:<12}")
            self.stream.flush()

    def close(self) -> None:
        """Erase the bar."""
        if self.live:
            self.stream.write(f"\r{' ' * (_BAR + 40)}\r")


def _run(options: argparse.Namespace) -> int:
    from quantgate.gate.cell import run_cell

    if options.steps < 1 or options.width < 16 or options.width % 16:
        raise ValueError("--steps must be at least 1, and --width 16 or a multiple of 32")
    if options.lr is not None and not 0 < options.lr < math.inf:
        raise ValueError(f"--lr {options.lr}: a learning rate is a positive number")
    _check_device(options.device)
    config = Config(
        width=options.width, steps=options.steps, lr=options.lr, corpus=options.corpus, device=options.device
    )
    bar = _Bar(options.steps, sys.stderr)
    result = run_cell(
        options.format,
        options.optimizer,
        seed=options.seed,
        storage=options.storage,
        config=config,
        watch=bar,
    )
    bar.close()
    scores = [score for _, score in result.curve if score is not None]
    top = max(scores, default=1.0)
    for step, score in result.curve:
        text = (
            "non-finite"
            if score is None or score != score
            else f"{score:6.3f} {'#' * round(40 * score / top)}"
        )
        print(f"{step:>6}  {text}")
    if result.verdict.passes:
        control = "" if result.bpb_control is None else f" (control {result.bpb_control:.3f})"
        print(f"{result.cell}: {result.verdict}, {result.bpb:.3f} BPB{control}, {result.seconds:.1f} s")
        return EXIT_OK
    print(printable_lines(result.message()))
    return EXIT_FAILED


def _check_device(name: str) -> None:
    import torch

    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {name!r}: {str(error).splitlines()[0]}") from None


def printable_lines(text: str) -> str:
    """`text` with its lines kept and every other control character escaped."""
    return "\n".join(map(printable, text.splitlines()))


def _power(options: argparse.Namespace) -> int:
    from quantgate.faults import power

    libraries = options.libraries.split(",") if options.libraries else power.LIBRARIES
    only = options.only.split(",") if options.only else ()
    known = [name for library in libraries for name in power.load_library(library)]
    if unknown := sorted(set(only) - set(known)):
        near = difflib.get_close_matches(unknown[0], known, n=3)
        raise ValueError(f"unknown fault {unknown[0]!r}; the nearest are {', '.join(near) or 'none'}")
    chosen = power.trials(
        libraries=libraries,
        only=only,
        optimizers=options.optimizers.split(","),
        seeds=[int(seed) for seed in options.seeds.split(",")],
        widths=[int(width) for width in options.widths.split(",")],
        corpora=options.corpora.split(","),
    )
    started, outcomes = time.monotonic(), []
    for outcome in power.run(chosen, options.jobs):
        outcomes.append(outcome)
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{len(outcomes)} of {len(chosen)} cells, {time.monotonic() - started:.0f} s")
    if sys.stderr.isatty():
        sys.stderr.write("\n")
    counted = power.tabulate(outcomes)
    print(counted.to_markdown())
    if options.json is not None:
        options.json.write_text(counted.to_json() + "\n", encoding="utf-8")
    return EXIT_FAILED if any(row.missed for row in (*counted.faults, *counted.healthy)) else EXIT_OK


def _incident(options: argparse.Namespace) -> int:
    from quantgate.faults import incident

    print(incident.to_text(incident.replay(jobs=options.jobs)))
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
