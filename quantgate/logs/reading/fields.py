"""The fields of a table that is text: its separator, the names of its columns, and its first rows."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from quantgate.logs.reading.paths import LogFile


def header_of(file: LogFile) -> tuple[str, tuple[str, ...]]:
    """The separator of a table and the names of its columns; `column 2` where one is empty, or stands there before."""
    separator = max((",", "\t", ";", "|"), key=file.first.count)
    (fields,) = csv.reader([file.first.lstrip("\ufeff")], delimiter=separator)
    # A name that stands twice, or is empty, is not to be found by it.
    names = tuple(
        name.strip()
        if name.strip() and name.strip().lower() not in {before.strip().lower() for before in fields[:place]}
        else f"column {place + 1}"
        for place, name in enumerate(fields)
    )
    return separator, names


def rows_of(file: LogFile, separator: str) -> Iterator[list[str]]:
    """The fields of its first rows, up to one that is no row of a table."""
    try:
        yield from csv.reader(file.head[1:], delimiter=separator)
    except csv.Error:
        return
