"""Files of logs, read by DuckDB: JSON lines, CSV, Parquet and text, gzipped or not, by the million lines.

DuckDB reads in parallel and in bounded memory, beyond which it spills to a temporary folder; Python sees the
stretches of each run alone. Values are read as text and cast one by one, so that a line that is cut off, a NaN or a
word in a column of numbers costs that line and no other.
"""

from __future__ import annotations

import glob
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

from quantgate.logs import patterns
from quantgate.logs.aggregate import Run, runs, statement
from quantgate.logs.names import KEY, Key, best_column, completed, find_columns, says_bits, short_names
from quantgate.logs.paths import LogFile, expand, look_at
from quantgate.logs.sources import Reading, Wanted

if TYPE_CHECKING:
    import duckdb

_MEMORY = "512MB"
#: A whole `trainer_state.json` is one object.
_LARGEST_OBJECT = 1 << 29
_FILE = "quantgate_file"


@dataclass(frozen=True)
class _Part:
    """Files that are read alike: a relation of theirs, and its columns by role."""

    relation: str
    #: SQL of a column by its name.
    column: Callable[[str], str]
    columns: Mapping[str, str]
    files: tuple[str, ...]
    ordered: bool = True
    names: tuple[str, ...] = field(default=())


@contextmanager
def read_files(names: Sequence[str], wanted: Wanted) -> Iterator[Reading]:
    """What is logged in these files.

    Args:
        names: Paths, globs and folders.
        wanted: The columns, the pattern and the rows that are wanted.

    Raises:
        ValueError: A file cannot be read, has no step or score, or DuckDB is not installed.
    """
    files = [found for path in expand(names) if (found := look_at(path)) is not None]
    if not files:
        raise ValueError("the files are empty; is the trainer's output buffered, or the path another's?")
    with tempfile.TemporaryDirectory(prefix="quantgate-") as folder:
        connection = _connect(folder)
        try:
            parts = list(_parts(connection, files, wanted))
            yield _reading(connection, parts, files, wanted)
        except _error() as error:
            raise ValueError(_said(error)) from None
        finally:
            connection.close()


def _connect(folder: str) -> duckdb.DuckDBPyConnection:
    try:
        import duckdb
    except ImportError:
        raise ValueError("logs are read by DuckDB: pip install 'quantgate[logs]'") from None
    return duckdb.connect(
        config={
            "memory_limit": _MEMORY,
            "temp_directory": folder,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
    )


def _error() -> type[Exception]:
    import duckdb

    return duckdb.Error


def _said(error: Exception) -> str:
    return f"the logs cannot be read: {str(error).strip().splitlines()[0]}"


def _parts(
    connection: duckdb.DuckDBPyConnection, files: Sequence[LogFile], wanted: Wanted
) -> Iterator[_Part]:
    def alike(file: LogFile) -> tuple[str, ...]:
        # Text by its pattern, tables by their columns; a pattern that is given makes text of anything but tables.
        kind = "text" if wanted.pattern is not None and file.kind != "parquet" else file.kind
        pattern = _pattern(file, wanted) if kind == "text" else ""
        return (
            kind,
            "gzip" if file.gzipped else "none",
            pattern,
            file.head[0] if kind == "csv" and file.head else "",
        )

    for (kind, compression, pattern, _), group in groupby(sorted(files, key=alike), key=alike):
        paths = tuple(file.path for file in group)
        if kind == "text":
            yield _text_part(paths, compression, pattern)
        elif kind == "trainer_state":
            yield _trainer_state_part(connection, paths, compression, wanted)
        else:
            yield _table_part(connection, kind, paths, compression, wanted)


def _pattern(file: LogFile, wanted: Wanted) -> str:
    if wanted.pattern is not None:
        return patterns.LOGGERS.get(wanted.pattern, wanted.pattern)
    if (found := patterns.recognize(file.head)) is not None:
        return found
    raise ValueError(
        f"{file.path!r} is text, and no line of it is of a known logger ({', '.join(patterns.LOGGERS)}); its first line is "
        f"{file.head[0][:80]!r}. Say --pattern 'step={{step}} val_bpb={{bpb}}'."
    )


def _text_part(paths: tuple[str, ...], compression: str, pattern: str) -> _Part:
    roles = patterns.roles(pattern)
    named = ", ".join(_literal(role) for role in roles if role != "*")
    relation = (
        f"(SELECT {_FILE}, row_number() OVER () AS ord, regexp_extract(line, {_literal(patterns.to_regex(pattern))}, "
        f"[{named}]) AS found FROM read_csv({_list(paths)}, columns={{'line': 'VARCHAR'}}, auto_detect=false, "
        # No such byte is in a text, so that a line is one column; latin-1 reads any bytes.
        "delim='\x01', quote='', escape='', header=false, encoding='latin-1', ignore_errors=true, strict_mode=false, "
        f"max_line_size=33554432, compression={_literal(compression)}, filename={_literal(_FILE)}))"
    )
    columns = {role: role for role in roles}
    return _Part(relation, lambda name: f"replace(replace(found.{_name(name)}, ',', ''), '_', '')"
                 if name in ("step", "bpb") else f"found.{_name(name)}", columns, paths, names=roles)  # fmt: skip


def _table_part(
    connection: duckdb.DuckDBPyConnection, kind: str, paths: tuple[str, ...], compression: str, wanted: Wanted
) -> _Part:
    options = f"filename={_literal(_FILE)}, union_by_name=true"
    if kind == "parquet":
        reader = f"read_parquet({_list(paths)}, {options})"
    elif kind == "csv":
        reader = (
            f"read_csv({_list(paths)}, header=true, all_varchar=true, null_padding=true, ignore_errors=true, "
            f"strict_mode=false, compression={_literal(compression)}, {options})"
        )
    else:
        reader = f"read_json({_list(paths)}, ignore_errors=true, maximum_depth=1, compression={_literal(compression)}, {options})"
    there = [
        row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {reader}").fetchall() if row[0] != _FILE
    ]
    columns = find_columns(there, wanted.columns)
    if kind == "json" and "step" in columns and "bpb" in columns:
        chosen = ", ".join(f"{_literal(name)}: 'VARCHAR'" for name in dict.fromkeys(columns.values()))
        reader = (
            f"read_json({_list(paths)}, ignore_errors=true, columns={{{chosen}}}, compression={_literal(compression)}, "
            f"filename={_literal(_FILE)})"
        )
    order = "NULL::BIGINT" if kind == "parquet" else "row_number() OVER ()"
    relation = f"(SELECT *, {order} AS ord FROM {reader})"
    return _Part(relation, _name, columns, paths, kind != "parquet", tuple(there))


def _trainer_state_part(
    connection: duckdb.DuckDBPyConnection, paths: tuple[str, ...], compression: str, wanted: Wanted
) -> _Part:
    entries = (
        f"(SELECT {_FILE}, unnest(log_history) AS entry FROM read_json({_list(paths)}, columns={{'log_history': 'JSON[]'}}, "
        f"maximum_object_size={_LARGEST_OBJECT}, compression={_literal(compression)}, filename={_literal(_FILE)}))"
    )
    keys = connection.execute(f"SELECT DISTINCT unnest(json_keys(entry)) FROM {entries}").fetchall()
    there = sorted(str(row[0]) for row in keys)
    columns = find_columns(there, wanted.columns)
    relation = f"(SELECT *, row_number() OVER () AS ord FROM {entries})"
    return _Part(
        relation,
        lambda name: f"(entry ->> {_literal('$.' + _quoted(name))})",
        columns,
        paths,
        names=tuple(there),
    )


def _reading(
    connection: duckdb.DuckDBPyConnection, parts: Sequence[_Part], files: Sequence[LogFile], wanted: Wanted
) -> Reading:
    said = [f"{len(files)} file{'s' * (len(files) > 1)}"]
    used = list(dict.fromkeys(part.columns["bpb"] for part in parts if "bpb" in part.columns))
    if all("step" not in part.columns for part in parts):
        return _best(connection, parts, said)
    for part in parts:
        for role, word in (("step", "step"), ("bpb", "score")):
            if role not in part.columns:
                raise ValueError(
                    f"{part.files[0]!r} has no column of {word}s; there are {', '.join(part.names) or 'none'}. "
                    f"Say --columns {role}=COLUMN."
                )
    if any(part.columns["bpb"] != "bpb" for part in parts):
        said.append(f"scores of {', '.join(used)}")
    many = len(files) > 1
    union = " UNION ALL ".join(_select(part, many, wanted) for part in parts)
    cursor = connection.execute(statement(f"({union})"))
    short = short_names(file.path for file in files)

    def named(run: Run) -> Run:
        name = short.get(run.key.name)
        if name is None:
            return run
        key = Key(**{**{role: getattr(run.key, role) for role in KEY}, "name": name})
        return Run(key, run.stretches, run.began, run.one_file)

    return Reading(map(named, runs(_rows(cursor))), all(map(says_bits, used)), tuple(said))


def _rows(cursor: duckdb.DuckDBPyConnection) -> Iterator[Sequence[Any]]:
    while rows := cursor.fetchmany(10000):
        yield from rows


def _select(part: _Part, many: bool, wanted: Wanted) -> str:
    """A part's samples, in the columns that `statement` reads."""

    def text(role: str) -> str:
        return (
            f"coalesce(CAST({part.column(part.columns[role])} AS VARCHAR), '')"
            if role in part.columns
            else "''"
        )

    keys = {role: text(role) for role in KEY}
    if "name" not in part.columns and ("format" not in part.columns or many):
        keys["name"] = _FILE
    shown = ", ".join(f"{sql} AS {role}" for role, sql in keys.items())
    score = f"CAST({part.column(part.columns['bpb'])} AS VARCHAR)"
    step = f"CAST({part.column(part.columns['step'])} AS VARCHAR)"
    stamp = "NULL::DOUBLE"
    if "ts" in part.columns:
        raw = f"CAST({part.column(part.columns['ts'])} AS VARCHAR)"
        stamp = f"coalesce(TRY_CAST({raw} AS DOUBLE), epoch(TRY_CAST({raw} AS TIMESTAMP)))"
    where = ["number IS NOT NULL"]
    if wanted.like is not None:
        where.append(f"name LIKE {_literal(wanted.like)}")
    if wanted.since is not None:
        if "ts" not in part.columns:
            raise ValueError(
                f"{part.files[0]!r} has no column of times for --since; say --columns ts=COLUMN."
            )
        where.append(f"ts >= {time.time() - wanted.since:.3f}")
    return (
        f"SELECT {', '.join(KEY)}, step, CASE WHEN isfinite(number) THEN number END AS score, ord, ts, source FROM ("
        f"SELECT {shown}, TRY_CAST(TRY_CAST({step} AS DOUBLE) AS BIGINT) AS step, TRY_CAST({score} AS DOUBLE) AS number, "
        f"ord, {stamp} AS ts, {_FILE} AS source FROM {part.relation}) WHERE {' AND '.join(where)}"
    )


def _best(connection: duckdb.DuckDBPyConnection, parts: Sequence[_Part], said: list[str]) -> Reading:
    """The best scores of a table of results, which has no steps."""
    scores: dict[Key, float] = {}
    column = ""
    for part in parts:
        column = best_column(part.names) or part.columns.get("bpb", "")
        if not column or "format" not in part.columns and "name" not in part.columns:
            raise ValueError(
                f"{part.files[0]!r} has no column of steps; there are {', '.join(part.names) or 'none'}. "
                "Say --columns step=COLUMN,bpb=COLUMN."
            )
        shown = ", ".join(
            f"coalesce(CAST({part.column(part.columns[role])} AS VARCHAR), '')"
            if role in part.columns
            else "''"
            for role in KEY
        )
        score = f"TRY_CAST(CAST({part.column(column)} AS VARCHAR) AS DOUBLE)"
        for row in connection.execute(
            f"SELECT {shown}, min({score}), min(ord) FROM {part.relation} WHERE {score} IS NOT NULL "
            f"GROUP BY ALL ORDER BY min(ord)" if part.ordered else
            f"SELECT {shown}, min({score}), 0 FROM {part.relation} GROUP BY ALL ORDER BY ALL"
        ).fetchall():  # fmt: skip
            scores[completed(Key(*row[: len(KEY)]))] = float(row[len(KEY)])
    said.append(f"the best scores of {column}, without steps")
    return Reading(iter(()), says_bits(column), tuple(said), scores)


def _list(paths: Sequence[str]) -> str:
    return f"[{', '.join(_literal(glob.escape(path)) for path in paths)}]"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"'


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
