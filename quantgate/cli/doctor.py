"""`quantgate doctor`: the probes of a subject in seconds, and the cause that they name."""

from __future__ import annotations

import argparse
import difflib
from dataclasses import replace
from typing import TYPE_CHECKING

from quantgate.cli.registered import look_up
from quantgate.cli.status import EXIT_FAILED, EXIT_OK
from quantgate.diagnosis.causes import CAUSES
from quantgate.formats import ALIASES, BUILTIN, Format
from quantgate.gate.loading import load_torch
from quantgate.records.cell import Config
from quantgate.reports.probes import probe_lines
from quantgate.reports.text import printable
from quantgate.subjects.names import UnknownNameError, unknown
from quantgate.subjects.registry import REGISTRY, Registry
from quantgate.training.optimizers import OPTIMIZERS

if TYPE_CHECKING:
    from quantgate.diagnosis.evidence import Evidence
    from quantgate.faults.setups import Setup
    from quantgate.subjects.kinds import Subject


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    doctor = commands.add_parser("doctor", help="the probes of a format, in seconds, and the cause they name")
    doctor.add_argument(
        "subject",
        metavar="NAME|module:function",
        help="a format or recipe, built in or registered by the tests here; a fault of the library; or a path, after "
        "factory: where it makes quantizers and recipe: where it prepares a model, before @ and its bits",
    )
    doctor.add_argument(
        "--storage", choices=("master", "inplace"), help="where the weights are kept (master)"
    )
    doctor.add_argument("--optimizer", metavar="NAME", help="takes the training steps, and is probed (adamw)")
    doctor.add_argument("--like", metavar="NAME", help="a built-in format that it is to equal, bit for bit")
    doctor.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Print a line for each probe, then the cause and its hint."""
    load_torch()
    from quantgate.gate.examination import examine_subject

    setup = _setup(options.subject, REGISTRY)
    optimizer = None if options.optimizer is None else look_up(options.optimizer, REGISTRY.optimizer)
    examined = examine_subject(
        setup.subject if options.like is None else _declared(setup.subject, options.like),
        optimizer=optimizer or setup.optimizer or OPTIMIZERS["adamw"],
        storage=options.storage or setup.storage,
        config=replace(Config(), scope=setup.scope),
    )
    bits = "unknown bits" if examined.bits is None else f"{examined.bits:g} bits"
    print(f"{printable(examined.subject)} ({bits})")
    for probe, said, status in probe_lines(examined.evidence, examined.findings, examined.bits):
        print(f"  {status:<5}  {probe:<18}  {said}")
    if unanswered := _unanswered(options.like, examined.evidence):
        print(printable(unanswered))
    if examined.healthy and not unanswered:
        missing = " Not all could be asked." if examined.evidence.not_measured else ""
        print(f"No probe found a fault.{missing}")
        return EXIT_OK
    if examined.cause is not None:
        hint = CAUSES[examined.cause].hint
        print(f"Cause: {examined.cause}\nHint: {hint} `quantgate explain {examined.cause}`")
    return EXIT_FAILED


def _unanswered(like: str | None, evidence: Evidence) -> str | None:
    """That what was asked with --like has no answer, and why; None where it has one, or nothing was asked."""
    if like is None or evidence.conformity is not None:
        return None
    why = dict(evidence.not_measured).get("conformity", "what failed above came first")
    return f"Not answered: whether it equals {like}, since that could not be measured: {why}"


def _declared(subject: Subject, like: str) -> Subject:
    """The format, declared to be a built-in one."""
    name = ALIASES.get(like, like)
    if not isinstance(subject, Format):
        raise ValueError(f"--like compares formats; {subject.name!r} is a recipe")
    if name not in BUILTIN:
        raise UnknownNameError(unknown("built-in format", like, BUILTIN))
    return replace(subject, conforms=name, family="user")


def _setup(name: str, registry: Registry) -> Setup:
    """A fault of the library by its name, or any subject of the registry."""
    from quantgate.faults import FAULTS, Setup

    if name in FAULTS:
        return FAULTS[name].broken
    try:
        return Setup(look_up(name, registry.subject))
    except UnknownNameError:
        if ":" in name or not (near := difflib.get_close_matches(name, FAULTS, n=1)):
            raise
        raise ValueError(f"unknown format {name!r}; did you mean the fault {near[0]!r}?") from None
