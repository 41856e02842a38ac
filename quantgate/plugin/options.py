"""The options: declared once, read from the command line, the environment or the ini file.

`--quantgate-X`, `QUANTGATE_X` and the ini key `quantgate_X` are three spellings of one option; the command
line outranks the environment, which outranks the ini file. Every error says which of them it came from.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from quantgate.plan.settings import Settings
from quantgate.plugin import values

if TYPE_CHECKING:
    import pytest


class OptionError(ValueError):
    """An invalid value of an option."""


@dataclass(frozen=True)
class Option:
    """One option in its three spellings."""

    name: str
    parse: Callable[[str], Any]
    metavar: str
    help: str
    #: Whether a `lowbit` marker may set it for one test.
    of_cell: bool = False
    #: Whether its flag takes no value.
    is_switch: bool = False
    #: How a variable is parsed where it may say more than what others see: a password.
    parse_variable: Callable[[str], Any] | None = None
    #: Whether it is read by the controller alone, and hidden from its workers.
    is_hidden: bool = False

    @property
    def field(self) -> str:
        return self.name.replace("-", "_")

    @property
    def flag(self) -> str:
        return f"--quantgate-{self.name}"

    @property
    def dest(self) -> str:
        return f"quantgate_{self.field}"

    @property
    def environment(self) -> str:
        return self.dest.upper()

    def read(self, text: str, source: str, *, is_variable: bool = False) -> Any:
        """Parse the text of an option, be it that of a variable.

        Raises:
            OptionError: The value is invalid; the message names `source`.
        """
        parse = self.parse_variable if is_variable and self.parse_variable else self.parse
        try:
            return parse(text.strip())
        except ValueError as error:
            raise OptionError(f"invalid {source}: {error}") from None


OPTIONS = (
    Option(
        "formats",
        values.names,
        "NAME,...",
        "formats and recipes, by name or module:attribute[@bits]",
        of_cell=True,
    ),
    Option("optimizers", values.names, "NAME,...", "optimizers, by name", of_cell=True),
    Option("seeds", values.seeds, "SEED,...", "seeds of weights and batches (47)", of_cell=True),
    Option("widths", values.widths, "WIDTH,...", "widths of the model (64)", of_cell=True),
    Option(
        "steps", values.integer(1, "a number of steps"), "N", "training steps of a cell (100; long: 2000)"
    ),
    Option("lr", values.positive, "RATE", "learning rate, instead of the optimizer's own"),
    Option(
        "storage",
        values.choice("master", "inplace"),
        "KIND",
        "master | inplace: what the weights are kept in",
        of_cell=True,
    ),
    Option(
        "scope",
        values.choice("weights", "weights+activations"),
        "SCOPE",
        "weights | weights+activations: what is quantized",
        of_cell=True,
    ),
    Option("device", values.device, "DEVICE", "torch device that cells are trained on (cpu)"),
    Option("fail-bpb", values.positive, "BPB", "a cell at or above it fails (6.5; long: 3.0)"),
    Option("dead-bpb", values.positive, "BPB", "a cell at or above it is dead (6.9)"),
    Option("corpus", values.nonempty, "TEXT", "builtin | tinyshakespeare | PATH of an ASCII text"),
    Option(
        "matrix",
        values.choice("pr", "nightly", "long"),
        "NAME",
        "pr | nightly | long: which cells run, how long",
    ),
    Option(
        "shard", values.shard, "K/N", "run the K-th of N parts of the matrix; auto: as the CI engine says"
    ),
    Option(
        "report", values.path, "FOLDER", "write results.jsonl, report.html and summary.md into this folder"
    ),
    Option(
        "known-failures",
        values.path,
        "FILE",
        "TOML file of cells, or patterns of them, that are known to fail",
    ),
    Option(
        "baseline", values.path, "FILE", "hold cells against this baseline, or results.jsonl of another run"
    ),
    Option(
        "update-baseline", values.switch, "YES|NO", "write this run's cells into the baseline", is_switch=True
    ),
    Option(
        "db",
        values.database,
        "ADDRESS",
        "record the run in this database: @FILE, env:NAME, or an SQLAlchemy URL without a password",
        parse_variable=values.private_database,
        is_hidden=True,
    ),
    Option("min-cells", values.integer(0, "a number of cells"), "N", "fewer judged cells are a failure"),
)

#: Variables of the gate that are no options: the folder that corpora are kept in, and a job's place for `shard = auto`.
OTHER_VARIABLES = frozenset({"QUANTGATE_CACHE", "QUANTGATE_JOB_INDEX", "QUANTGATE_JOB_TOTAL"})
_PREFIX = "quantgate_"

_BY_FIELD = {option.field: option for option in OPTIONS}


def add_options(parser: pytest.Parser) -> None:
    """Declare every option's command-line flag and ini key."""
    group = parser.getgroup("quantgate", "quantgate: the gate for low-precision training")
    for option in OPTIONS:
        said = f"{option.help}. Also {option.environment} and the ini key {option.dest}."
        takes: dict[str, Any] = {"metavar": option.metavar}
        if option.is_switch:
            takes = {"action": "store_const", "const": "yes"}
        group.addoption(option.flag, dest=option.dest, default=None, help=said, **takes)
        parser.addini(option.dest, said, default=None)


def read_settings(config: pytest.Config) -> Settings:
    """The settings of a pytest run.

    Raises:
        OptionError: An option has an invalid value; the message names where it was given.
    """
    _refuse_misspelt(config)
    values: dict[str, Any] = {}
    for option in OPTIONS:
        found = None if option.is_hidden and hasattr(config, "workerinput") else _find(config, option)
        if found is not None:
            text, source = found
            is_variable = source.startswith(option.environment)
            values[option.field] = option.read(text, source, is_variable=is_variable)
    settings = Settings(**values, given=frozenset(values))
    if settings.dead_bpb is not None:
        from quantgate.plan.matrix import config_of

        limits = config_of(settings).limits
        if limits.dead_bpb < limits.fail_bpb:
            raise OptionError(
                f"invalid limits: dead-bpb {limits.dead_bpb:g} lies below fail-bpb {limits.fail_bpb:g}; "
                "a dead cell must fail"
            )
    _check_long(settings)
    return settings


def _check_long(settings: Settings) -> None:
    """The long lane's line is for its own steps, width and text: with others, the user says which line holds."""
    if settings.matrix != "long" or settings.fail_bpb is not None:
        return
    from quantgate.plan.matrices import LONG

    own = {"steps": LONG.steps, "widths": (LONG.width,), "corpus": LONG.corpus}
    if changed := [name for name, value in own.items() if getattr(settings, name) not in {None, value}]:
        raise OptionError(
            f"{changed[0]} with the matrix long: its line of {LONG.limits.fail_bpb:.2f} BPB is for {LONG.steps:,} "
            f"steps at width {LONG.width} on {LONG.corpus}; say with fail-bpb which line holds instead"
        )


def _refuse_misspelt(config: pytest.Config) -> None:
    """Pytest refuses an unknown flag; an unknown variable or ini key of the gate's is refused here, not passed over."""
    # Every key of the file, whether declared or not; pytest 9 deprecates the name without an underscore.
    ini = vars(config).get("_inicfg") or vars(config).get("inicfg") or {}
    for names, known, source in (
        (os.environ, {option.environment for option in OPTIONS} | OTHER_VARIABLES, "the environment"),
        (ini, {option.dest for option in OPTIONS}, "ini"),
    ):
        for name in sorted(names):
            if name.lower().startswith(_PREFIX) and name not in known:
                from difflib import get_close_matches  # which no other run pays for

                near = get_close_matches(name.upper(), [each.upper() for each in known], n=1, cutoff=0.0)
                like = next(each for each in known if each.upper() == near[0])
                raise OptionError(f"unknown {name} from {source}; did you mean {like!r}?")


def override(settings: Settings, values: Mapping[str, Any], source: str) -> Settings:
    """The settings of a test whose `lowbit` marker sets some options.

    Raises:
        OptionError: The marker names no option of a cell, or a value it does not take.
    """
    changed: dict[str, Any] = {}
    for name, value in values.items():
        option = _BY_FIELD.get(name)
        if option is None or not option.of_cell:
            allowed = ", ".join(each.field for each in OPTIONS if each.of_cell)
            raise OptionError(f"{source}: {name!r} cannot be set here; what can is {allowed}")
        text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        changed[name] = option.read(text, f"{name} from {source}")
    settings = replace(settings, **changed, given=settings.given | changed.keys())
    _check_long(settings)
    return settings


def _find(config: pytest.Config, option: Option) -> tuple[str, str] | None:
    given = config.getoption(option.dest, None)
    if given is not None:
        return str(given), f"{option.flag} from the command line"
    if text := os.environ.get(option.environment, ""):
        return text, f"{option.environment} from the environment"
    ini = config.getini(option.dest)
    if ini:
        return str(ini), f"{option.dest} from ini"
    return None
