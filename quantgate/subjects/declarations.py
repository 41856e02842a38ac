"""What a registration declares, checked: what it conforms to, shares, is excused from and promises; and where."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quantgate.diagnosis.causes import CAUSES
from quantgate.formats import ALIASES, BUILTIN
from quantgate.subjects.names import RegistrationError, unknown

#: Which values share a scale.
_GRANULARITY = re.compile(r"tensor|row|group:([2-9]|[1-9]\d{1,3})")
#: What libraries call the same.
_MEANT = {
    **dict.fromkeys(("pertensor", "tensorwise", "layer", "perlayer"), "tensor"),
    **dict.fromkeys(
        ("channel", "perchannel", "channelwise", "axis", "peraxis", "perrow", "rowwise", "token", "pertoken"),
        "row",
    ),
    **dict.fromkeys(("group", "pergroup", "groupwise", "block", "perblock", "blockwise"), "group:32"),
}
#: Bits of the values that a lossless format returns unchanged.
_FLOAT32_BITS = 32
_PACKAGE = Path(__file__).parents[1]


def conforming(what: str, conforms: str | None) -> str | None:
    if conforms is None:
        return None
    name = ALIASES.get(conforms, conforms)
    if name not in BUILTIN:
        raise RegistrationError(f"{what}: conforms: {unknown('built-in format', conforms, BUILTIN)}")
    return name


def sharing(what: str, granularity: Any) -> str | None:
    if granularity is None or (isinstance(granularity, str) and _GRANULARITY.fullmatch(granularity)):
        return granularity
    meant = _MEANT.get(re.sub(r"[\W_]+", "", str(granularity)).lower())
    raise RegistrationError(
        f"{what}: granularity is {granularity!r}; it must be 'tensor', 'row' or 'group:N' with N from 2 to 9999, "
        f"such as 'group:32'{f'; did you mean {meant!r}?' if meant else ''}"
    )


def sharings(what: str, given: object, formats: Sequence[str]) -> Mapping[str, str]:
    """What shares a scale in each format of a trainer: one for all of them, or a table by format."""
    if given is None:
        return {}
    table = given if isinstance(given, Mapping) else dict.fromkeys(formats, given)
    for name, granularity in table.items():
        if name not in formats:
            raise RegistrationError(f"{what}: granularity: {unknown('format', str(name), formats)}")
        sharing(f"{what}: {name}", granularity)
    return dict(table)


def waived(what: str, waive: Mapping[str, str] | None) -> Mapping[str, str]:
    if waive is not None and not isinstance(waive, Mapping):
        causes = list(waive) if isinstance(waive, list | tuple | set | frozenset) else [waive]
        first = next((each for each in causes if isinstance(each, str) and each in CAUSES), "scale-zero")
        raise RegistrationError(
            f"{what}: waive is a {type(waive).__name__}; it must be a dict of causes, each with the reason, which the "
            f"report shows: waive={{{first!r}: 'why it is meant'}}"
        )
    for cause, reason in (waive or {}).items():
        if cause not in CAUSES:
            raise RegistrationError(f"{what}: waive: {unknown('cause', cause, CAUSES)}")
        if not (isinstance(reason, str) and reason.strip()):
            raise RegistrationError(f"{what}: waive: {cause!r} needs a reason, which the report shows")
    return dict(waive or {})


def promises_what_it_can(what: str, lossless: bool, bits: float | None) -> None:
    """Raise RegistrationError where fewer bits than float32 has are promised to keep every value of it."""
    if not isinstance(lossless, bool):
        raise RegistrationError(f"{what}: lossless is {lossless!r}, neither True nor False")
    if lossless and bits is not None and bits < _FLOAT32_BITS:
        raise RegistrationError(
            f"{what}: lossless with {bits:g} bits: float32 has {_FLOAT32_BITS}, so that values must change; "
            "leave lossless out, or register the bits that it truly has"
        )


def place_of_caller() -> str:
    """The file and line outside this package that called it, relative to the working folder where it lies there."""
    frame = sys._getframe(1)
    while frame.f_back is not None and _PACKAGE in Path(frame.f_code.co_filename).parents:
        frame = frame.f_back
    path = Path(frame.f_code.co_filename)
    shown = path.relative_to(Path.cwd()) if Path.cwd() in path.parents else path
    return f"{shown}:{frame.f_lineno}"
