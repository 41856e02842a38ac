"""A file that somebody named, read whole; and the lines of one that holds an object a line."""

from __future__ import annotations

import errno
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

#: 10,000 cells are 58 MB, and the nightly matrix has 1,656: what is larger was not left by a run.
MOST_BYTES = 256 << 20


class Line(NamedTuple):
    """A line that is not blank."""

    #: The first of the file is 1.
    number: int
    text: bytes
    #: Whether no newline ends it, so that whoever wrote it was stopped.
    cut: bool


def read_file(path: Path) -> bytes:
    """The bytes of a regular file; what has no end, a device or a pipe, is not begun.

    Raises:
        OSError: It cannot be read, is no file or too large; `strerror` says which.
    """
    found = path.stat()
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):  # a folder is told by the system
        raise OSError(errno.EINVAL, "it is a device, a pipe or a socket, which may have no end", str(path))
    size, text = found.st_size, b""
    if size <= MOST_BYTES:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)  # it may grow, or have said nothing of its size
        size = len(text)
    if size > MOST_BYTES:
        said = f"it has {size:,} bytes; at most {MOST_BYTES:,} are read, and 10,000 cells are 58 MB"
        raise OSError(errno.EFBIG, said, str(path))
    return text


def lines_of(path: Path) -> Iterator[Line]:
    """The lines of a file that are not blank.

    Raises:
        OSError: As `read_file`.
    """
    lines = read_file(path).split(b"\n")
    for number, text in enumerate(lines, 1):
        if text.strip():
            yield Line(number, text, number == len(lines))
