"""Files of logs, read by DuckDB: JSON lines, CSV, Parquet and text, gzipped or not, by the million lines.

DuckDB reads in parallel and in bounded memory, beyond which it spills to a temporary folder; Python sees the
stretches of each run alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantgate.logs.aggregate import Run, runs, statement
from quantgate.logs.names import KEY, Key, best_column, completed, says_bits, short_names
from quantgate.logs.reading.paths import LogFile, expand, last_checkpoints, look_at, salvage
from quantgate.logs.reading.relations import Part, keys_of, parts_of, samples
from quantgate.logs.reading.sources import Reading, Wanted

if TYPE_CHECKING:
    import duckdb

_MEMORY = "512MB"
_ROWS = 10000


@contextmanager
def read_files(names: Sequence[str], wanted: Wanted) -> Iterator[Reading]:
    """What is logged in these files.

    Args:
        names: Paths, globs and folders.
        wanted: The columns, the pattern and the rows that are wanted.

    Raises:
        ValueError: A file cannot be read, has no step or score, or DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError:
        raise ValueError("logs are read by DuckDB: pip install 'quantgate[logs]'") from None
    files = [found for path in expand(names) if (found := look_at(path)) is not None]
    files, older = last_checkpoints(files)
    if not files:
        raise ValueError("the files are empty; is the trainer's output buffered, or the path another's?")
    with tempfile.TemporaryDirectory(prefix="quantgate-") as folder:
        connection = duckdb.connect(
            config={
                "memory_limit": _MEMORY,
                "temp_directory": folder,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            }
        )
        try:
            try:
                reading = _read(connection, files, wanted, {})
            except duckdb.Error as error:
                files, salvaged = _salvaged(files, Path(folder))
                if not salvaged:
                    raise error
                reading = _read(connection, files, wanted, salvaged)
            yield reading if not older else replace(reading, said=(*reading.said, _older(older)))
        except duckdb.Error as error:
            raise ValueError(_unreadable(files, error)) from None
        finally:
            connection.close()


def _older(many: int) -> str:
    return f"{many:,} earlier checkpoint{'s' * (many > 1)} of the same runs left out: the last holds the whole history"


def _unreadable(files: Sequence[LogFile], error: duckdb.Error) -> str:
    """What is said where DuckDB gives up, whose own words are of queries that nobody wrote."""
    others = f" and {len(files) - 1:,} more" if len(files) > 1 else ""
    return (
        f"{files[0].path!r}{others}, read as {', '.join(sorted({file.kind for file in files}))}, cannot be read "
        f"({type(error).__name__}): a file is broken, or is not what its ending says. Judge each alone to find it, or "
        "say --columns or --pattern."
    )


def _salvaged(files: Sequence[LogFile], folder: Path) -> tuple[list[LogFile], dict[str, str]]:
    """The files, with what could be unpacked of gzipped ones that are cut off; and the names of those."""
    kept, salvaged = [], {}
    for place, file in enumerate(files):
        part = folder / f"salvaged-{place}"
        if file.gzipped and salvage(file.path, part):
            salvaged[str(part)] = file.path
            file = replace(file, path=str(part), gzipped=False)
        kept.append(file)
    return kept, salvaged


def _read(
    connection: duckdb.DuckDBPyConnection,
    files: Sequence[LogFile],
    wanted: Wanted,
    salvaged: Mapping[str, str],
) -> Reading:
    parts = tuple(parts_of(connection, files, wanted))
    said = [f"{len(files)} file{'s' * (len(files) > 1)}"]
    said += [f"{path!r} is cut off; what could be unpacked was read" for path in salvaged.values()]
    if unfinished := [part.files[0] for part in parts if part.finished is not None]:
        others = f" and {len(unfinished) - 1:,} more end" if len(unfinished) > 1 else " ends"
        said.append(f"{unfinished[0]!r}{others} in mid-line; the last line was left out")
    if all("step" not in part.columns for part in parts):
        return _best(connection, parts, said)
    for part in parts:
        for role, word in (("step", "steps"), ("bpb", "scores")):
            if role not in part.columns:
                raise ValueError(
                    f"{part.files[0]!r} has no column of {word}; there are {', '.join(part.names) or 'none'}. "
                    f"Say --columns {role}=COLUMN."
                )
    used = tuple(dict.fromkeys(part.columns["bpb"] for part in parts))
    if len({says_bits(column) for column in used}) > 1:
        raise ValueError(
            f"scores of {', '.join(used)}: some are bits and some are nats; judge them apart, or say --columns "
            "bpb=COLUMN"
        )
    if used != ("bpb",):
        said.append(f"scores of {', '.join(used)}")
    many = len(files) > 1
    union = " UNION ALL ".join(samples(part, wanted, many=many) for part in parts)
    cursor = connection.execute(statement(f"({union})", keys_of(parts, many=many)))
    # The first rows come when every file was read, so that one that cannot be fails here.
    first = cursor.fetchmany(_ROWS)
    short = short_names([salvaged.get(file.path, file.path) for file in files])

    def named(run: Run) -> Run:
        name = short.get(salvaged.get(run.key.name, run.key.name), run.key.name)
        return run if name == run.key.name else replace(run, key=replace(run.key, name=name))

    found = (named(run) for run in runs(chain(first, _rows(cursor))))
    return Reading(found, all(map(says_bits, used)), tuple(said))


def _rows(cursor: duckdb.DuckDBPyConnection) -> Iterator[Sequence[Any]]:
    while rows := cursor.fetchmany(_ROWS):
        yield from rows


def _best(connection: duckdb.DuckDBPyConnection, parts: Sequence[Part], said: Sequence[str]) -> Reading:
    """The best score of each cell in tables of results, which have no steps."""
    scores: dict[Key, float | None] = {}
    column = ""
    for part in parts:
        column = best_column(part.names) or part.columns.get("bpb", "")
        if not column or not {"format", "name"} & set(part.columns):
            raise ValueError(
                f"{part.files[0]!r} has no column of steps; there are {', '.join(part.names) or 'none'}. "
                "Say --columns step=COLUMN,bpb=COLUMN."
            )
        table = replace(part, columns={**part.columns, "bpb": column})
        shown = ", ".join(table.text(role) for role in KEY)
        # A word is no finite score, and NaN is above all numbers; an empty place is none.
        word = f"CASE WHEN {table.text('bpb')} <> '' THEN 'nan'::DOUBLE END"
        rows = connection.execute(
            f"SELECT {shown}, min(coalesce({table.number('bpb')}, {word})), min(ord) AS place "
            f"FROM {table.relation} GROUP BY ALL ORDER BY place"
        )
        for row in rows.fetchall():
            key, score = completed(Key(*row[: len(KEY)])), row[len(KEY)]
            if key.label:
                scores[key] = None if score is None else float(score)
    return Reading(
        iter(()), says_bits(column), (*said, f"the best scores of {column}, without steps"), scores
    )
