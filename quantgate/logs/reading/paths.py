"""Files of logs: which ones were meant, and how each is written, from its first bytes."""

from __future__ import annotations

import glob
import gzip
import os
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from quantgate.logs.names import CHECKPOINT

Kind = Literal["json", "trainer_state", "csv", "parquet", "text"]

#: What a folder is searched for.
_ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".log", ".txt", ".out")
#: So much of a file is looked at to see how it is written.
_HEAD = 1 << 20
_GLOBAL_STEP = re.compile(r'"global_step":\s*(\d+)')
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class LogFile:
    """One file and how it is written."""

    path: str
    kind: Kind
    gzipped: bool
    #: Its first lines.
    head: tuple[str, ...]
    #: Whether its last line has no end: a trainer is writing it, or was killed. A number there may be cut in two.
    unfinished: bool = False

    @property
    def first(self) -> str:
        """Its first line that is not blank."""
        return next((line.lstrip("\ufeff \t") for line in self.head if line.strip("\ufeff \t")), "")


def expand(names: Sequence[str]) -> list[str]:
    """The files that names, globs and folders stand for, each once.

    Raises:
        ValueError: One stands for none.
    """
    found: dict[str, None] = {}
    for name in names:
        path = Path(name)
        if path.is_dir():
            files = sorted(str(p) for p in path.rglob("*") if p.is_file() and _is_log(p))
            missing = f"no log in the folder {name!r}; looked for {', '.join(_ENDINGS)}, gzipped or not"
        elif path.exists():
            files = [name]
        else:
            files = sorted(p for p in glob.glob(name, recursive=True) if Path(p).is_file())  # noqa: PTH207
            missing = f"no file {name!r}; is the path right, and a glob in quotes?"
        if not files:
            raise ValueError(missing)
        found.update(dict.fromkeys(files))
    return list(found)


def _is_log(path: Path) -> bool:
    return path.name.removesuffix(".gz").endswith(_ENDINGS)


def look_at(path: str) -> LogFile | None:
    """How a file is written; None where it is empty.

    Raises:
        ValueError: It cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            start = file.read(4)
            unfinished = (
                file.seek(0, os.SEEK_END) > 0 and file.seek(-1, os.SEEK_END) >= 0 and file.read(1) != b"\n"
            )
        gzipped = start[:2] == _GZIP
        if start == b"PAR1":
            return LogFile(path, "parquet", False, ())
        with gzip.open(path, "rb") if gzipped else Path(path).open("rb") as file:
            text = _read_some(file).decode("utf-8", "replace")
    except OSError as error:
        raise ValueError(f"{path!r} cannot be read: {error.strerror or error}") from None
    if not text.strip():
        return None
    return LogFile(
        path, _kind(path, text), gzipped, tuple(text.splitlines()[:20000]), unfinished and not gzipped
    )


def last_checkpoints(files: Sequence[LogFile]) -> tuple[list[LogFile], int]:
    """The files, of each Hugging Face run only its last checkpoint; and how many are left out.

    The last holds the whole history. The run's own folder may hold one too, which is written at its end.
    """
    last: dict[Path, LogFile] = {}
    for file in files:
        if file.kind == "trainer_state":
            folder = _run_folder(file)
            last[folder] = max(last.get(folder, file), file, key=_reached)
    kept = [file for file in files if file.kind != "trainer_state" or last[_run_folder(file)] is file]
    return kept, len(files) - len(kept)


def _run_folder(file: LogFile) -> Path:
    folder = Path(file.path).absolute().parent
    if Path(file.path).name.removesuffix(".gz") != "trainer_state.json":
        return Path(file.path)  # of a name of its own, and a run of its own
    return folder.parent if CHECKPOINT.fullmatch(folder.name) else folder


def _reached(file: LogFile) -> int:
    """The step of a state: it stands before the history, and in the name of the checkpoint's folder."""
    said = _GLOBAL_STEP.search("\n".join(file.head[:200]))
    named = CHECKPOINT.fullmatch(Path(file.path).absolute().parent.name)
    return int(said[1]) if said else int(named[1]) if named else 0


def _read_some(file: IO[bytes] | gzip.GzipFile) -> bytes:
    """The start of a file; of one that is cut off, what can be unpacked."""
    parts: list[bytes] = []
    try:
        while sum(map(len, parts)) < _HEAD:
            if not (part := file.read(1 << 14)):
                break
            parts.append(part)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        pass
    return b"".join(parts)


def _kind(path: str, text: str) -> Kind:
    begin = text.lstrip("\ufeff \t\r\n")
    name = path.removesuffix(".gz")
    if begin.startswith(("{", "[{", "[\n", "[ ")):
        first = begin.partition("\n")[0]
        whole = first.rstrip().endswith("}")
        return (
            "trainer_state" if '"log_history"' in begin and not (whole and '"step"' in first[:40]) else "json"
        )
    if name.endswith((".csv", ".tsv")):
        return "csv"
    if name.endswith((".json", ".jsonl", ".ndjson")):
        return "json"
    return "csv" if _looks_like_csv(begin) else "text"


def _looks_like_csv(text: str) -> bool:
    """Whether a file of another ending is a table: a head of names, and rows of as many fields."""
    lines = text.splitlines()[:5]
    commas = [line.count(",") for line in lines]
    names = lines[0].split(",")
    return (
        len(lines) > 1
        and commas[0] > 0
        and len(set(commas)) == 1
        and all(n.strip(' "') and "=" not in n and ":" not in n for n in names)
    )


def salvage(path: str, part: Path) -> bool:
    """Unpack the whole lines of a gzipped file that is cut off or broken.

    Returns:
        False where the file is whole, and nothing was unpacked.
    """
    whole, lines = True, 0
    with gzip.open(path, "rb") as packed, part.open("wb") as out:
        try:
            while chunk := packed.read(1 << 14):
                if (end := chunk.rfind(b"\n")) >= 0:
                    lines = out.tell() + end + 1
                out.write(chunk)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            whole = False
            out.truncate(lines)
    if whole:
        part.unlink()
    return not whole
