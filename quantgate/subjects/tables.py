"""Trainers in TOML: `[tool.quantgate.trainers.NAME]` of pyproject.toml, `[trainers.NAME]` of quantgate.toml.

What stands there is data: nothing is evaluated, no shell reads it, and a program that is named by a path lies in the
file's folder, which it is run in.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantgate.records.verdict import CHANCE_BPB
from quantgate.subjects.names import RegistrationError, unknown
from quantgate.subjects.trainers import Trainer, checked

#: Where trainers stand in each file.
FILES: Mapping[str, tuple[str, ...]] = {
    "pyproject.toml": ("tool", "quantgate", "trainers"),
    "quantgate.toml": ("trainers",),
}
_NEEDED = ("command", "formats", "optimizers")
_KEYS = (*_NEEDED, "control", "pattern", "negative", "granularity", "lr", "chance")


def trainers_in(folder: Path) -> tuple[tuple[Trainer, str], ...]:
    """The trainers that the files of a folder declare, each with the place.

    Raises:
        RegistrationError: A file cannot be read, or a declaration cannot be; the message names the file.
    """
    found = []
    for name, place in FILES.items():
        path = folder / name
        for each, fields in _table(path, place).items():
            try:
                found.append((_trainer(each, fields, folder), name))
            except RegistrationError as error:
                raise RegistrationError(f"{name}: {error}") from None
    return tuple(found)


def _table(path: Path, place: tuple[str, ...]) -> Mapping[str, Any]:
    try:
        text = path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        said = getattr(error, "strerror", None) or "it is not UTF-8"
        raise RegistrationError(f"{path.name} cannot be read: {said}") from None
    if place[-1] not in text:
        return {}
    try:
        found: Any = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RegistrationError(f"{path.name} is not TOML: {error}") from None
    for key in place:
        found = found.get(key, {}) if isinstance(found, dict) else found
    if not isinstance(found, dict):
        raise RegistrationError(
            f"{path.name}: {'.'.join(place)} is {found!r}; it must be tables, a trainer each"
        )
    return found


def _trainer(name: str, fields: object, folder: Path) -> Trainer:
    if not isinstance(fields, dict):
        raise RegistrationError(f"trainer {name!r} is {fields!r}; it must be a table")
    for key in fields:
        if key not in _KEYS:
            raise RegistrationError(f"trainer {name!r}: {unknown('key', key, _KEYS)}")
    if missing := [key for key in _NEEDED if key not in fields]:
        raise RegistrationError(f"trainer {name!r} has no {' and no '.join(missing)}")
    made = checked(
        name,
        fields["command"],
        formats=fields["formats"],
        optimizers=fields["optimizers"],
        control=fields.get("control", "f32"),
        pattern=fields.get("pattern"),
        negative=fields.get("negative"),
        granularity=fields.get("granularity"),
        lr=fields.get("lr"),
        chance=fields.get("chance", CHANCE_BPB),
        folder=folder,
    )
    _check_program(name, made.command[0], folder)
    return made


def _check_program(name: str, program: str, folder: Path) -> None:
    """A bare name is looked up as a shell would; a path must stay in the folder, links followed."""
    if "/" not in program:
        return
    home = folder.resolve()
    if Path(program).is_absolute() or not (home / program).resolve().is_relative_to(home):
        raise RegistrationError(
            f"trainer {name!r}: its program {program!r} lies outside the folder of the file; name one inside, or "
            "one on the PATH by its bare name"
        )
