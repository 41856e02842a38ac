"""What a subject's code may do to the process that it runs in, beside failing."""

from __future__ import annotations


class AstrayError(Exception):
    """A subject's code forked and its child came back, or it raised KeyboardInterrupt by itself."""
