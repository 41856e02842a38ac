"""Trainers from elsewhere: a command in any language that prints its score, and what it says of itself."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from quantgate.formats import Format, known_format
from quantgate.logs.names import says_float32
from quantgate.logs.reading.patterns import LOGGERS, to_regex
from quantgate.records.cell import Cell
from quantgate.records.verdict import CHANCE_BPB
from quantgate.subjects.declarations import sharings
from quantgate.subjects.names import (
    RegistrationError,
    UnknownNameError,
    check_name,
    require_positive,
    unknown,
)
from quantgate.training.optimizers import OPTIMIZERS

#: What stands in a command for the values of a cell. `corpus` is the path of a text, `weights` that of an empty folder
#: into which the trainer may write what its tensors were.
PLACEHOLDERS = ("format", "optimizer", "seed", "steps", "width", "lr", "corpus", "weights")
#: The name of the negative control of a trainer, `mytrainer:negative`.
NEGATIVE = "negative"
#: What a negative control may change.
_BREAKABLE = ("format", "optimizer", "steps", "width", "lr")
_PLACEHOLDER = re.compile(r"\{([A-Za-z_]+)\}")


@dataclass(frozen=True)
class Trainer:
    """A command that trains one cell and prints its score, with what is judged of it."""

    name: str
    #: The program and its arguments, with placeholders such as `{format}`; no shell reads them.
    command: tuple[str, ...]
    formats: tuple[str, ...]
    optimizers: tuple[str, ...]
    #: What it calls float32: that cell, of the same optimizer, seed and width, is what the others are held against.
    control: str = "f32"
    #: Where step and score stand in a line, `step={step} val_bpb={bpb}`, or a logger's name; None reads JSON lines.
    pattern: str | None = None
    #: The placeholders that keep the control from learning when they have these values, which every run checks.
    negative: Mapping[str, str] = field(default_factory=dict, hash=False)
    #: The rate where the run gives none; without it, that of the built-in optimizer of the same name.
    lr: float | None = None
    #: Which values share a scale, by format, where that is declared: then its dumps are asked.
    granularity: Mapping[str, str] = field(default_factory=dict, hash=False)
    #: What a model that knows nothing scores, in bits: log2 of the vocabulary.
    chance: float = CHANCE_BPB
    #: The folder that it is run in.
    folder: Path = Path()

    def uses(self, placeholder: str) -> bool:
        """Whether the command holds a placeholder."""
        return any(placeholder in _PLACEHOLDER.findall(word) for word in self.command)

    def arguments(self, values: Mapping[str, str]) -> list[str]:
        """The command of a cell, each placeholder replaced once: a value is no command again."""
        return [_PLACEHOLDER.sub(lambda found: values[found[1]], word) for word in self.command]

    def rate(self, optimizer: str, width: int) -> float | None:
        """The rate for `{lr}`; None where nothing says one."""
        known = OPTIMIZERS.get(optimizer)
        return self.lr if self.lr is not None or known is None else known.rate(width)

    def known_format(self, name: str) -> Format | None:
        """The built-in format that the trainer's is called like, for its bits; None where there is none."""
        return known_format(name)

    def format_of(self, cell: Cell) -> str:
        """What the trainer calls the format of a cell, a control or a negative control."""
        if cell.kind == "trainer":
            return cell.subject.partition(":")[2]
        return self.negative.get("format", self.control) if cell.kind == "negative-control" else self.control


def checked(
    name: str,
    command: Sequence[str],
    *,
    formats: Sequence[str],
    optimizers: Sequence[str],
    control: str,
    pattern: str | None,
    negative: Mapping[str, object] | None,
    granularity: object,
    lr: float | None,
    chance: float,
    folder: Path,
) -> Trainer:
    """The trainer of these declarations.

    Raises:
        RegistrationError: One of them cannot be; the message says which and why.
    """
    what = f"trainer {name!r}"
    check_name("trainer", name)
    if ":" in name:
        raise RegistrationError(f"{what}: a trainer's name holds no colon, which stands before its format's")
    words = _words(f"{what}: command", command)
    _check_command(what, words)
    for role, names in (("formats", formats), ("optimizers", optimizers)):
        for each in _words(f"{what}: {role}", names):
            check_name(f"{what}: {role[:-1]}", each)
    check_name(f"{what}: control", control)
    require_positive(f"{what}: lr", lr)
    require_positive(f"{what}: chance", chance)
    if pattern is not None:
        _check_pattern(what, pattern)
    if control in formats:
        raise RegistrationError(
            f"{what}: {control!r} is both its control and one of its formats; a format is held against the control"
        )
    if floats := [each for each in formats if says_float32(each) or each.lower() == control.lower()]:
        raise RegistrationError(
            f"{what}: its format {floats[0]!r} is float32, which formats are held against: take it out of formats, and "
            f"say control = {floats[0]!r} where the trainer calls it so and not {control!r}"
        )
    made = Trainer(
        name,
        words,
        tuple(dict.fromkeys(formats)),
        tuple(dict.fromkeys(optimizers)),
        control,
        None if pattern is None else LOGGERS.get(pattern, pattern),
        {},
        lr,
        sharings(what, granularity, formats),
        float(chance),
        folder,
    )
    if len(made.optimizers) > 1 and not made.uses("optimizer"):
        first, second = made.optimizers[:2]
        raise RegistrationError(
            f"{what}: its command has no {{optimizer}}, so that {first!r} and {second!r} would train the same; add it, "
            "or name the one that it trains with"
        )
    if made.uses("lr") and (without := [each for each in optimizers if made.rate(each, 64) is None]):
        raise RegistrationError(
            f"{what}: {{lr}} has no value for the optimizer {without[0]!r}; say lr = 0.001, say"
        )
    return _with_negative(what, made, negative)


def _words(what: str, given: object) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise RegistrationError(
            f"{what} is {given!r}; it must be a list of words, such as ['./train', '{{format}}']"
        )
    if wrong := [each for each in given if not isinstance(each, str) or not each or "\0" in each]:
        raise RegistrationError(f"{what} holds {wrong[0]!r}; each must be a text that is not empty")
    return tuple(given)


def _check_command(what: str, words: Sequence[str]) -> None:
    used = [name for word in words for name in _PLACEHOLDER.findall(word)]
    for name in used:
        if name not in PLACEHOLDERS:
            known = ", ".join(f"{{{each}}}" for each in PLACEHOLDERS)
            raise RegistrationError(
                f"{what}: unknown placeholder {{{name}}} in its command; known are {known}"
            )
    if "format" not in used:
        raise RegistrationError(
            f"{what}: its command has no {{format}}, so that every cell would train the same; such as "
            "['./train', '--format', '{format}']"
        )
    if _PLACEHOLDER.search(words[0]):
        raise RegistrationError(
            f"{what}: its program is {words[0]!r}; a placeholder may stand in its arguments alone"
        )


def _check_pattern(what: str, pattern: object) -> None:
    if not isinstance(pattern, str):
        raise RegistrationError(
            f"{what}: pattern is {pattern!r}; it must be a text, such as 'step={{step}} val_bpb={{bpb}}'"
        )
    try:
        to_regex(LOGGERS.get(pattern, pattern))
    except ValueError as error:
        raise RegistrationError(f"{what}: {str(error).replace('--pattern', 'pattern')}") from None


def _with_negative(what: str, made: Trainer, given: Mapping[str, object] | None) -> Trainer:
    values = ({"lr": 0} if made.uses("lr") else {}) if given is None else given
    if not isinstance(values, Mapping):
        raise RegistrationError(f"{what}: negative is {values!r}; it must be a table, such as {{ lr = 0 }}")
    texts = {}
    for key, value in values.items():
        if key not in _BREAKABLE:
            raise RegistrationError(f"{what}: negative: {unknown('placeholder', key, _BREAKABLE)}")
        if not made.uses(key):
            raise RegistrationError(f"{what}: negative sets {key}, and the command has no {{{key}}}")
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float | str)
            or not str(value)
            or "\0" in str(value)
        ):
            raise RegistrationError(f"{what}: negative: {key} is {value!r}, neither a number nor a text")
        if isinstance(value, float) and not math.isfinite(value):
            raise RegistrationError(f"{what}: negative: {key} is {value!r}, not a number")
        texts[key] = f"{value:g}" if isinstance(value, float) else str(value)
    return Trainer(**{**vars(made), "negative": texts})


def cells_of(trainer: Trainer) -> tuple[str, ...]:
    """The subjects that a trainer brings, `mytrainer:int8`."""
    return tuple(f"{trainer.name}:{each}" for each in trainer.formats)


@dataclass
class TrainerRegistry:
    """The part of the registry that holds trainers."""

    _trainers: dict[str, Trainer] = field(default_factory=dict, kw_only=True)

    def register_trainer(
        self,
        name: str,
        command: Sequence[str],
        *,
        formats: Sequence[str],
        optimizers: Sequence[str],
        control: str = "f32",
        pattern: str | None = None,
        negative: Mapping[str, object] | None = None,
        granularity: str | Mapping[str, str] | None = None,
        lr: float | None = None,
        chance: float = CHANCE_BPB,
    ) -> Trainer:
        """Register a trainer in another language, whose every format becomes a cell.

        Args:
            name: As for a format, without a colon; its cells are called `name:format`.
            command: The program and its arguments, run without a shell in the folder that is the current one now;
                `{format}`, `{optimizer}`, `{seed}`, `{steps}`, `{width}`, `{lr}`, `{corpus}` (the path of the text) and
                `{weights}` (a folder for dumps, `quantgate.trainers.dump`) stand for the cell's.
            formats: What it calls its low-precision formats.
            optimizers: What it calls its optimizers.
            control: What it calls float32.
            pattern: `step={step} val_bpb={bpb}`, with `{loss}` where it is in nats, or a logger that `quantgate judge`
                knows by name; without it the output is JSON lines with a step and a score under one of the usual names.
            negative: Values that keep the control from learning; without it `{"lr": 0}` where there is `{lr}`.
            granularity: As for a format, of all formats or by format; dumped weights are then asked.
            lr: The rate; without it that of the built-in optimizer of the same name.
            chance: What a model that knows nothing scores, in bits: log2 of its vocabulary.

        Raises:
            RegistrationError: The name is taken or malformed, or one of the others cannot be.
        """
        return self.keep_trainer(
            checked(
                name,
                command,
                formats=formats,
                optimizers=optimizers,
                control=control,
                pattern=pattern,
                negative=negative,
                granularity=granularity,
                lr=lr,
                chance=chance,
                folder=Path.cwd(),
            )
        )

    def trainers(self) -> dict[str, Trainer]:
        """Every trainer by name."""
        return dict(self._trainers)

    def trainer(self, cell: Cell) -> Trainer:
        """The trainer of a cell."""
        return self._trainers[cell.trainer or ""]

    def trained(self, name: str) -> tuple[Trainer, tuple[str, ...]] | None:
        """The trainer that a name is of, and the subjects that it names: `mytrainer` all, `mytrainer:int8` one.

        Raises:
            UnknownNameError: The trainer has no such format.
        """
        of, _, format = name.partition(":")
        trainer = self._trainers.get(of)
        if trainer is None:
            return None
        if format and format not in trainer.formats:
            raise UnknownNameError(unknown(f"format of the trainer {of!r}", format, trainer.formats))
        return trainer, (name,) if format else cells_of(trainer)

    def keep_trainer(self, trainer: Trainer, place: str | None = None) -> Trainer:
        raise NotImplementedError
