"""Why a database failed, in words of our own: a driver's hold hosts, users and statements."""

from __future__ import annotations

#: What a driver's words mean, the most telling first.
_MEANINGS = (
    ("not null constraint", "a column of its table may not be empty"),
    ("not-null constraint", "a column of its table may not be empty"),
    ("password authentication failed", "it refused the user or the password"),
    ("no password supplied", "it asks for a password, and the address has none"),
    ("permission denied", "its user lacks the right"),
    (" of relation", "a table of it has other columns"),
    ('relation "', "a table of it is missing"),
    ("no such table", "a table of it is missing"),
    ("no column named", "a table of it has other columns"),
    ("does not exist", "it has no such database or user"),
    ("translate host name", "the name of its machine is not known here"),
    ("name or service not known", "the name of its machine is not known here"),
    ("connection refused", "nothing listens at its port"),
    ("no such file or directory", "nothing listens at its socket"),
    ("timeout", "it did not answer in time"),
    ("timed out", "it did not answer in time"),
    ("unable to open", "there is no such file"),
    ("locked", "another program holds its lock"),
    ("readonly", "it is read-only"),
    ("read-only", "it is read-only"),
    ("disk is full", "its disk is full"),
    ("disk i/o error", "its disk failed, or is full"),
    ("no space left", "its disk is full"),
    ("not a database", "the file is no SQLite database"),
    ("malformed", "its file is damaged"),
    ("closed the connection", "its server went away"),
    ("connection is lost", "its server went away"),
    ("terminating connection", "its server went away"),
    ("shutting down", "its server is shutting down"),
    ("starting up", "its server is starting up"),
)


def why_failed(error: BaseException) -> str:
    """Why a database failed, without what its driver says of it."""
    words = str(getattr(error, "orig", None) or error).lower()  # of the driver alone, not of the statement
    for word, meaning in _MEANINGS:
        if word in words:
            return meaning
    kind = type(getattr(error, "orig", None) or error).__name__
    return f"{kind}; what its driver says is not shown, as it may hold the address"
