"""Describe an exception that the subject's own code raised."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

_OWN = str(Path(__file__).parents[1])


def describe(error: BaseException) -> str:
    """One line: the type, the first line of the message (at most 300 characters), the user's innermost line, and the
    tensor that a quantizer was given.

    Lines of this package, of installed packages and of the interpreter are passed over where others are left.
    """
    text = str(error).strip().splitlines()
    where = ""
    if error.__traceback__ is not None:
        frames = inspect.getinnerframes(error.__traceback__, context=0)
        theirs = [frame for frame in frames if _is_users(frame.filename)] or frames
        where = f" (at {theirs[-1].filename.rpartition('/')[2]}:{theirs[-1].lineno})" if theirs else ""
    given = "".join(f", {note}" for note in getattr(error, "__notes__", [])[:1] if note.startswith("for "))
    return f"{type(error).__name__}: {text[0][:300] if text else 'no message'}{where}{given}"


def _is_users(filename: str) -> bool:
    installed = "site-packages" in filename or filename.startswith(("<", sys.base_prefix + "/lib"))
    return not installed and not filename.startswith(_OWN)
