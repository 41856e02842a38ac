"""Describe an exception that the subject's own code raised."""

from __future__ import annotations

import inspect


def describe(error: BaseException) -> str:
    """One line: the type, the first line of the message (at most 300 characters), and the innermost source line."""
    text = str(error).strip().splitlines()
    where = ""
    if error.__traceback__ is not None:
        frames = inspect.getinnerframes(error.__traceback__, context=0)
        where = f" (at {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {text[0][:300] if text else 'no message'}{where}"
