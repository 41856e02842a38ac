"""The options: declared once, read from the command line, the environment or the ini file.

`--quantgate-X`, `QUANTGATE_X` and the ini key `quantgate_X` are three spellings of one option; the command
line outranks the environment, which outranks the ini file. Every error says which of them it came from.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantgate.plan.settings import Settings

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

    def read(self, text: str, source: str) -> Any:
        """Parse the text of an option.

        Raises:
            OptionError: The value is invalid; the message names `source`.
        """
        try:
            return self.parse(text.strip())
        except ValueError as error:
            raise OptionError(f"invalid {source}: {error}") from None


def _names(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names:
        raise ValueError("an empty list; give names separated by commas")
    return tuple(dict.fromkeys(names))


def _integers(least: int, what: str) -> Callable[[str], tuple[int, ...]]:
    one = _integer(least, what)
    return lambda text: tuple(one(part) for part in _names(text))


def _integer(least: int, what: str) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", text) or int(text) < least:
            raise ValueError(f"{text!r} is not {what} (a whole number of at least {least})")
        return int(text)

    return parse


def _seeds(text: str) -> tuple[int, ...]:
    seeds = _integers(0, "a seed")(text)
    if forbidden := [seed for seed in seeds if 42 <= seed <= 45]:
        raise ValueError(f"seed {forbidden[0]}: the fleet forbids 42 to 45; its own are 47, 89, 123, 144")
    return seeds


def _widths(text: str) -> tuple[int, ...]:
    widths = _integers(16, "a width")(text)
    if odd := [width for width in widths if width % 32 and width != 16]:
        raise ValueError(f"width {odd[0]}: attention needs 16 or a multiple of 32")
    return widths


def _positive(text: str) -> float:
    try:
        value = float(text) if text.isascii() else math.nan
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{text!r} is not a positive number")
    return value


def _choice(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"{text!r} is none of {', '.join(choices)}")
        return text

    return parse


def _device(text: str) -> str:
    if not re.fullmatch(r"[a-z]+(:[0-9]+)?", text):
        raise ValueError(f"{text!r} is not a torch device; cpu, cuda and cuda:1 are")
    return text


def _text(text: str) -> str:
    if not text:
        raise ValueError("an empty value")
    return text


def _shard(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(f"{text!r} is not a shard; write 2/8 for the second of eight")
    return int(match[1]), int(match[2])


def _path(text: str) -> Path:
    try:
        encoded = os.fsencode(_text(text))
    except UnicodeEncodeError:
        encoded = b"\0"
    if b"\0" in encoded:
        raise ValueError(f"{text!r} is no path of this system")
    return Path(text)


OPTIONS = (
    Option(
        "formats", _names, "NAMES", "formats and recipes, by name or module:attribute[@bits]", of_cell=True
    ),
    Option("optimizers", _names, "NAMES", "optimizers, by name", of_cell=True),
    Option("seeds", _seeds, "SEEDS", "seeds of weights and batches (47)", of_cell=True),
    Option("widths", _widths, "WIDTHS", "widths of the model (64)", of_cell=True),
    Option("steps", _integer(1, "a number of steps"), "N", "training steps of a cell (100; long: 2000)"),
    Option("lr", _positive, "RATE", "learning rate, instead of the optimizer's own"),
    Option(
        "storage",
        _choice("master", "inplace"),
        "KIND",
        "master | inplace: what the weights are kept in",
        of_cell=True,
    ),
    Option(
        "scope",
        _choice("weights", "weights+activations"),
        "SCOPE",
        "weights | weights+activations: what is quantized",
        of_cell=True,
    ),
    Option("device", _device, "DEVICE", "torch device that cells are trained on (cpu)"),
    Option("fail-bpb", _positive, "BPB", "a cell at or above it fails (6.5; long: 3.0)"),
    Option("dead-bpb", _positive, "BPB", "a cell at or above it is dead (6.9)"),
    Option("corpus", _text, "TEXT", "builtin | tinyshakespeare | PATH of an ASCII text"),
    Option(
        "matrix", _choice("pr", "nightly", "long"), "NAME", "pr | nightly | long: which cells run, how long"
    ),
    Option("shard", _shard, "K/N", "run the K-th of N parts of the matrix"),
    Option("report", _path, "FOLDER", "write results.jsonl into this folder"),
    Option("known-failures", _path, "FILE", "TOML file of cells that are known to fail"),
    Option("min-cells", _integer(0, "a number of cells"), "N", "fewer judged cells are a failure"),
)

#: Variables of the gate that are no options: the folder that corpora are kept in.
OTHER_VARIABLES = frozenset({"QUANTGATE_CACHE"})
_PREFIX = "quantgate_"

_BY_FIELD = {option.field: option for option in OPTIONS}


def add_options(parser: pytest.Parser) -> None:
    """Declare every option's command-line flag and ini key."""
    group = parser.getgroup("quantgate", "quantgate: the gate for low-precision training")
    for option in OPTIONS:
        said = f"{option.help}. Also {option.environment} and the ini key {option.dest}."
        group.addoption(option.flag, dest=option.dest, default=None, metavar=option.metavar, help=said)
        parser.addini(option.dest, said, default=None)


def read_settings(config: pytest.Config) -> Settings:
    """The settings of a pytest run.

    Raises:
        OptionError: An option has an invalid value; the message names where it was given.
    """
    _refuse_misspelt(config)
    values: dict[str, Any] = {}
    for option in OPTIONS:
        found = _find(config, option)
        if found is not None:
            values[option.field] = option.read(*found)
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
