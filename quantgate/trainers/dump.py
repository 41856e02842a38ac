"""What a trainer may dump of its tensors, and how that is read.

A command that holds `{weights}` is given the path of an empty folder. What it writes there while it trains tells what
its quantizer and its storage do, in the terms of the probes:

| role | what it holds |
|---|---|
| `weights` | the stored weights before the forward pass, float32 |
| `quantized` | the same as the forward pass reads them, dequantized |
| `reference` | d loss / d quantized, what a straight-through estimator passes on (optional) |
| `gradient` | d loss / d weights, what the optimizer is given (optional) |
| `intended` | weights plus the optimizer's update, before they are stored (optional) |
| `stored` | the weights after the step (optional) |

A role is a file, `weights.safetensors`, or a folder with a file for each tensor: `weights/NAME.npy`, or
`weights/NAME.f32` of raw little-endian float32 (`NAME.64x128.f32` says a shape). All of it stands in the folder itself,
or in one for each step that is dumped: `step-0`, `step-50`. The first and the last of a training are the most telling:
where both hold `gradient`, weights that never moved are seen too. Where weights are stored on the grid, so that
`quantized` equals them, `intended` and `stored` show the quantizer. Where the trainer declares its `granularity`
(`"row"`, or `{ int8 = "row", int4 = "group:32" }`), matrices are red whose rows, groups or whole are not of one scale
at the last step, or share it with others although they differ in size.

Nothing is unpickled, links are not followed, and what is larger than `MOST_BYTES` is not read.
"""

from __future__ import annotations

import json
import math
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROLES = ("weights", "quantized", "reference", "gradient", "intended", "stored")
#: Of all files of a dump.
MOST_BYTES = 256 * 1024 * 1024
#: Steps that are read: the first, and the last ones.
MOST_STEPS = 4
_STEP = re.compile(r"step-(\d{1,18})")
_SHAPED = re.compile(r"(?P<name>.+)\.(?P<shape>\d+(?:x\d+)*)")

Array = np.ndarray[Any, np.dtype[np.float32]]
#: By the names of the tensors.
Tensors = Mapping[str, Array]


class DumpError(ValueError):
    """A dump that cannot be read."""


@dataclass(frozen=True)
class Moment:
    """What was dumped at one step."""

    step: int
    #: By role; `weights` and `quantized` are there, with tensors of equal names and shapes.
    tensors: Mapping[str, Tensors]


def read(folder: Path) -> tuple[Moment, ...]:
    """What a trainer dumped, by step; empty where it dumped nothing.

    Raises:
        DumpError: A file is none of those that are read, is broken or too large, or roles do not fit each other.
    """
    try:
        return _read(folder)
    except OSError as error:  # the folder is the trainer's to remove, or to close
        raise DumpError(f"{Path(error.filename or folder).name!r} cannot be read: {error.strerror}") from None


def _read(folder: Path) -> tuple[Moment, ...]:
    places = {}
    for path in sorted(folder.iterdir()):
        if (match := _STEP.fullmatch(path.name)) and _is(path, stat.S_ISDIR):
            places[int(match[1])] = path
    if not places and any(folder.iterdir()):
        places[0] = folder
    steps = sorted(places)
    budget = Budget()
    return tuple(
        _moment(step, places[step], budget) for step in dict.fromkeys((*steps[:1], *steps[1 - MOST_STEPS :]))
    )


class Budget:
    """The bytes that may still be read."""

    left = MOST_BYTES

    def read(self, path: Path) -> bytes:
        """The bytes of a file.

        Raises:
            DumpError: It is no file, cannot be read, or is too large.
        """
        if not _is(path, stat.S_ISREG):
            raise DumpError(f"{path.name!r} is no file")
        try:
            with path.open("rb") as file:
                found = file.read(self.left + 1)
        except OSError as error:
            raise DumpError(f"{path.name!r} cannot be read: {error.strerror}") from None
        self.left -= len(found)
        if self.left < 0:
            raise DumpError(
                f"the dump has more than {MOST_BYTES:,} bytes, the most that is read; dump fewer tensors or steps"
            )
        return found


def _moment(step: int, folder: Path, budget: Budget) -> Moment:
    found: dict[str, Tensors] = {}
    for path in sorted(folder.iterdir()):
        role = path.name.partition(".")[0]
        if role not in ROLES:
            raise DumpError(f"{path.name!r} is none of {', '.join(ROLES)}, as a folder or .safetensors")
        found[role] = dict(_role(path, budget))
    for role in ("weights", "quantized"):
        if not found.get(role):
            raise DumpError(f"step {step} has no {role}, by which all else is measured")
    for role, tensors in found.items():
        for name, array in tensors.items():
            like = found["weights"].get(name)
            if like is None or like.shape != array.shape:
                other = "nothing of that name" if like is None else f"the shape {like.shape}"
                raise DumpError(f"{role} has {name!r} of the shape {array.shape}, and weights has {other}")
    if missing := sorted(set(found["weights"]) - set(found["quantized"])):
        raise DumpError(f"weights has {missing[0]!r}, and quantized does not")
    return Moment(step, found)


def _role(path: Path, budget: Budget) -> Iterator[tuple[str, Array]]:
    if path.suffix == ".safetensors":
        yield from _safetensors(path.name, budget.read(path))
    elif _is(path, stat.S_ISDIR):
        for file in sorted(path.iterdir()):
            if file.suffix == ".npy":
                yield file.stem, _npy(file.name, budget.read(file))
            elif file.suffix == ".f32":
                shaped = _SHAPED.fullmatch(file.stem)
                shape = [-1] if shaped is None else [int(each) for each in shaped["shape"].split("x")]
                yield (
                    file.stem if shaped is None else shaped["name"],
                    _array(file.name, budget.read(file), "F32", shape),
                )
            else:
                raise DumpError(f"{path.name}/{file.name!r} is neither .npy nor .f32")
    else:
        raise DumpError(f"{path.name!r} is neither a folder nor .safetensors")


#: What safetensors calls each type, but for bfloat16, which numpy does not have.
_TYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I8": "i1",
    "U8": "u1",
    "I16": "<i2",
    "I32": "<i4",
}


def _array(name: str, raw: bytes, kind: str, shape: list[int]) -> Array:
    try:
        flat = np.frombuffer(raw, dtype=_TYPES[kind])
        if kind == "BF16":
            flat = (flat.astype(np.uint32) << 16).view(np.float32)
        return flat.astype(np.float32).reshape(shape)
    except (KeyError, ValueError) as error:
        said = f"type {kind!r}" if isinstance(error, KeyError) else str(error)
        raise DumpError(f"{name!r} cannot be read: {said}") from None


def _npy(name: str, raw: bytes) -> Array:
    from io import BytesIO

    try:
        found = np.load(BytesIO(raw), allow_pickle=False)
        return np.asarray(found, dtype=np.float32)
    except Exception as error:  # numpy says what is wrong with a file in many ways
        said = (str(error) or repr(error)).splitlines()[0]
        raise DumpError(f"{name!r} cannot be read: {said}") from None


def _safetensors(name: str, raw: bytes) -> Iterator[tuple[str, Array]]:
    """The tensors of a safetensors file: the length of a JSON header, the header, the bytes."""
    length = int.from_bytes(raw[:8], "little")
    if len(raw) < 8 or length > len(raw) - 8:
        raise DumpError(
            f"{name!r} is no safetensors file: it has {len(raw):,} bytes, and its header {length:,}"
        )
    try:
        header: Any = json.loads(raw[8 : 8 + length])
        entries = {key: value for key, value in header.items() if key != "__metadata__"}
        for key, value in entries.items():
            begin, end = value["data_offsets"]
            shape = [int(each) for each in value["shape"]]
            if not 0 <= begin <= end <= len(raw) - 8 - length or min(shape, default=0) < 0:
                raise ValueError(f"{key!r} lies outside the file")
            if (end - begin) != math.prod(shape) * np.dtype(_TYPES[value["dtype"]]).itemsize:
                raise ValueError(f"{key!r} has {end - begin:,} bytes for the shape {shape}")
            yield key, _array(name, raw[8 + length + begin : 8 + length + end], value["dtype"], shape)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError, RecursionError) as error:
        if isinstance(error, DumpError):
            raise
        raise DumpError(f"{name!r} is no safetensors file: {error}") from None


def _is(path: Path, kind: Any) -> bool:
    return bool(kind(path.lstat().st_mode))
