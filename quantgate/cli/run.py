"""`quantgate run`: one cell with its curve."""

from __future__ import annotations

import argparse
import math

from quantgate.cli.live.progress import Progress
from quantgate.cli.registered import look_up
from quantgate.cli.status import EXIT_FAILED, EXIT_OK
from quantgate.gate.loading import load_torch
from quantgate.records.cell import DEFAULT_STEPS, DEFAULT_WIDTH, SEEDS, Config
from quantgate.reports.text import printable_lines
from quantgate.subjects.registry import REGISTRY


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser("run", help="one cell with its curve")
    command.add_argument("format", metavar="FORMAT")
    command.add_argument("optimizer", metavar="OPTIMIZER")
    command.add_argument("--seed", type=int, default=SEEDS[0])
    command.add_argument("--width", type=int, default=DEFAULT_WIDTH)
    command.add_argument("--steps", type=int, default=DEFAULT_STEPS)
    command.add_argument("--lr", type=float)
    command.add_argument("--storage", choices=("master", "inplace"), default="master")
    command.add_argument("--corpus", default="builtin", metavar="TEXT")
    command.add_argument("--device", default="cpu")
    command.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Train a cell, draw its curve and say the verdict."""
    load_torch()
    from quantgate.gate.run import run_cell

    if options.steps < 1 or options.width < 16 or options.width % 16:
        raise ValueError("--steps must be at least 1, and --width 16 or a multiple of 32")
    if options.lr is not None and not 0 < options.lr < math.inf:
        raise ValueError(f"--lr {options.lr}: a learning rate is a positive number")
    _check_device(options.device)
    config = Config(
        width=options.width, steps=options.steps, lr=options.lr, corpus=options.corpus, device=options.device
    )
    subject = look_up(options.format, REGISTRY.subject)
    optimizer = look_up(options.optimizer, REGISTRY.optimizer)
    progress = Progress(options.steps, "steps")
    try:
        result = run_cell(
            subject.name,
            optimizer.name,
            seed=options.seed,
            storage=options.storage,
            config=config,
            watch=lambda step, bpb: progress(step, "" if bpb is None else f"{bpb:.2f} BPB"),
        )
    finally:
        progress.close()
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
