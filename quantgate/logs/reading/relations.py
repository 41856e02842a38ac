"""How each kind of file is read: a relation of DuckDB, and its samples in the columns that `statement` reads.

Values are read as text and cast one by one, so that a line that is cut off, a NaN or a word in a column of numbers
costs that line and no other: a word in the place of a score is a score that is not finite.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from quantgate.logs.aggregate import ABSENT, EMPTY, SCORED
from quantgate.logs.names import KEY, find_run_columns, without_last_tests
from quantgate.logs.reading import patterns
from quantgate.logs.reading.fields import header_of, rows_of
from quantgate.logs.reading.paths import LogFile
from quantgate.logs.reading.quoting import listed, literal, quoted
from quantgate.logs.reading.sources import Wanted
from quantgate.logs.reading.wide import Chart, find_chart

if TYPE_CHECKING:
    import duckdb

#: A whole `trainer_state.json` is one object, for which DuckDB sets memory aside.
_LARGEST_OBJECT = 1 << 26
#: The column of a relation that holds the path of the file.
FILE = "quantgate_file"


@dataclass(frozen=True)
class Part:
    """Files that are read alike: a relation of theirs, and its columns by role."""

    relation: str
    #: SQL of a column by its name.
    column: Callable[[str], str]
    columns: Mapping[str, str]
    files: tuple[str, ...]
    #: Every column that is there.
    names: tuple[str, ...]
    #: How many rows are whole; None where all are.
    finished: int | None = None
    #: What a row without a score is; None where such rows say nothing of a run, and are left out.
    blank: int | None = ABSENT

    def text(self, role: str) -> str:
        """SQL of a role as text; empty where there is none."""
        if role not in self.columns:
            return "''"
        return f"coalesce(CAST({self.column(self.columns[role])} AS VARCHAR), '')"

    def number(self, role: str) -> str:
        """SQL of a role as a number; NULL where it is none."""
        return f"TRY_CAST({self.column(self.columns[role])} AS DOUBLE)"


def parts_of(
    connection: duckdb.DuckDBPyConnection, files: Sequence[LogFile], wanted: Wanted
) -> Iterator[Part]:
    """The files, by how they are read: text by its pattern, tables by their columns.

    Raises:
        ValueError: A text is of no known logger, or a column that was given is not there.
    """

    def alike(file: LogFile) -> tuple[str, str, str, str, str]:
        # A pattern that is given makes a text of anything but Parquet.
        kind = "text" if wanted.pattern is not None and file.kind != "parquet" else file.kind
        packed = "gzip" if file.gzipped else "none"
        # One that is not finished is read alone, so that its last line can be told.
        alone = file.path if file.unfinished and kind in ("csv", "text") else ""
        return (
            kind,
            packed,
            _pattern(file, wanted) if kind == "text" else "",
            file.first if kind == "csv" else "",
            alone,
        )

    for (kind, packed, pattern, _, alone), group in groupby(sorted(files, key=alike), key=alike):
        members = tuple(group)
        paths = tuple(file.path for file in members)
        if kind == "json" and all(file.first.startswith("{") for file in members):
            yield _json_lines(members, packed, wanted)
        elif kind == "text":
            yield _whole_lines(connection, _text(paths, packed, pattern), bool(alone))
        elif kind == "csv":
            yield _whole_lines(connection, _csv(paths, packed, members[0], wanted), bool(alone))
        elif kind == "trainer_state":
            yield _trainer_state(connection, paths, packed, wanted)
        else:
            yield _array_or_parquet(connection, kind, paths, packed, wanted)


def keys_of(parts: Sequence[Part], *, many: bool) -> set[str]:
    """The columns of `KEY` that any of the parts has."""
    return {role for part in parts for role, sql in _keys(part, many).items() if sql != "''"}


def _keys(part: Part, many: bool) -> dict[str, str]:
    """SQL of each column of `KEY`; a run that has no name is told from others by its file."""
    keys = {role: part.text(role) for role in KEY}
    if "name" not in part.columns and (many or "format" not in part.columns):
        keys["name"] = FILE
    return keys


def _whole_lines(connection: duckdb.DuckDBPyConnection, part: Part, unfinished: bool) -> Part:
    """The part without the last line of a file that is not finished, whose number may be cut in two."""
    if not unfinished:
        return part
    (last,) = connection.execute(f"SELECT max(ord) FROM {part.relation}").fetchone() or (None,)
    return replace(part, finished=(last or 1) - 1)


def samples(part: Part, wanted: Wanted, *, many: bool) -> str:
    """A query of a part's samples.

    Args:
        part: The part.
        wanted: Which rows are wanted.
        many: Whether there are other files, so that a run without a name is told from theirs by its file.

    Raises:
        ValueError: Rows are wanted by a column that is not there.
    """
    shown = ", ".join(f"{sql} AS {role}" for role, sql in _keys(part, many).items())
    stamp = "NULL::DOUBLE"
    if "ts" in part.columns:
        stamp = "coalesce(TRY_CAST({0} AS DOUBLE), epoch(TRY_CAST({0} AS TIMESTAMP)))".format(part.text("ts"))
    # A word where a score should be, `N/A` or `1.#QNAN`, is a score that is not finite; an empty place is none: loggers
    # that write several scores in turn leave the others' empty, and some write NaN so.
    scored = "number IS NOT NULL OR said <> ''"
    where = ["step IS NOT NULL" if part.blank is not None else f"({scored})"]
    if part.finished is not None:
        where.append(f"ord <= {part.finished}")
    if {"name", "format"} & set(part.columns):  # a line that does not say whose it is
        where.append("name || format <> ''")
    if wanted.like is not None:
        where.append(f"name LIKE {literal(wanted.like)}")
    if wanted.since is not None:
        if "ts" not in part.columns:
            raise ValueError(
                f"{part.files[0]!r} has no column of times for --since; say --columns ts=COLUMN."
            )
        where.append(f"ts >= {time.time() - wanted.since:.3f}")
    return (
        f"SELECT {', '.join(KEY)}, step, CASE WHEN isfinite(number) THEN number END AS score, ord, ts, source, "
        f"CASE WHEN {scored} THEN {SCORED} ELSE {part.blank or ABSENT} END AS blank FROM "
        f"(SELECT {shown}, TRY_CAST({part.number('step')} AS BIGINT) AS step, {part.number('bpb')} AS number, "
        f"{part.text('bpb')} AS said, ord, "
        f"{stamp} AS ts, {FILE} AS source FROM {part.relation}) WHERE {' AND '.join(where)}"
    )


def _pattern(file: LogFile, wanted: Wanted) -> str:
    if wanted.pattern is not None:
        return patterns.LOGGERS.get(wanted.pattern, wanted.pattern)
    if (found := patterns.recognize(file.head)) is not None:
        return found
    raise ValueError(
        f"{file.path!r} is text, and no line of it is of a known logger ({', '.join(patterns.LOGGERS)}); its first "
        f"line is {file.first[:80]!r}. Say --pattern 'step={{step}} val_bpb={{bpb}}'."
    )


def _text(paths: tuple[str, ...], packed: str, pattern: str) -> Part:
    roles = patterns.roles(pattern)
    relation = (
        f"(SELECT {FILE}, row_number() OVER () AS ord, regexp_extract(line, {literal(patterns.to_regex(pattern))}, "
        f"[{', '.join(map(literal, roles))}]) AS found FROM read_csv({listed(paths)}, columns={{'line': 'VARCHAR'}}, "
        # No such byte is in a text, so that a line is one column; latin-1 reads any bytes.
        "auto_detect=false, delim='\x01', quote='', escape='', header=false, encoding='latin-1', ignore_errors=true, "
        f"strict_mode=false, compression={literal(packed)}, filename={literal(FILE)}))"
    )

    def column(name: str) -> str:
        # 1,000 and 1_000 are how people are shown numbers.
        found = f"found.{quoted(name)}"
        return f"replace(replace({found}, ',', ''), '_', '')" if name in ("step", "bpb", "loss") else found

    return Part(relation, column, {"bpb" if role == "loss" else role: role for role in roles}, paths, roles)


def _csv(paths: tuple[str, ...], packed: str, file: LogFile, wanted: Wanted) -> Part:
    """A table by its first line. DuckDB would guess it, and give up on a file that is cut off within quotes."""
    separator, names = header_of(file)
    chosen = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
    reader = (
        f"read_csv({listed(paths)}, auto_detect=false, header=true, columns={{{chosen}}}, delim={literal(separator)}, "
        "quote='\"', escape='\"', null_padding=true, ignore_errors=true, strict_mode=false, "
        f"compression={literal(packed)}, filename={literal(FILE)})"
    )
    try:
        chart = find_chart(names, wanted.columns.get("bpb"))
    except ValueError as error:
        raise ValueError(f"{paths[0]!r} is {error}") from None
    if chart is not None:
        return _chart(_numbered(reader), chart, paths)
    likely = names if "bpb" in wanted.columns else without_last_tests(names, rows_of(file, separator))
    columns = find_run_columns(likely, wanted.columns)
    return Part(_numbered(reader), quoted, columns, paths, names, blank=EMPTY)


def _chart(table: str, chart: Chart, paths: tuple[str, ...]) -> Part:
    """A chart's runs below each other."""
    runs = ", ".join(
        f"{{'name': {literal(run)}, 'score': {quoted(column)}}}" for run, column in chart.runs.items()
    )
    relation = f"(SELECT {FILE}, ord, {quoted(chart.step)} AS step, unnest([{runs}]) AS run FROM {table})"
    sql = {"name": "run.name", "step": "step", chart.metric: "run.score"}
    return Part(
        relation,
        sql.__getitem__,
        {"name": "name", "step": "step", "bpb": chart.metric},
        paths,
        ("step", *chart.runs.values()),
        blank=None,  # a run that is over is empty where others go on
    )


def _array_or_parquet(
    connection: duckdb.DuckDBPyConnection, kind: str, paths: tuple[str, ...], packed: str, wanted: Wanted
) -> Part:
    reader = f"read_parquet({listed(paths)}, union_by_name=true, filename={literal(FILE)})"
    if kind == "json":
        reader = (
            f"read_json({listed(paths)}, format='array', union_by_name=true, maximum_depth=1, ignore_errors=true, "
            f"compression={literal(packed)}, filename={literal(FILE)})"
        )
    described = connection.execute(f"DESCRIBE SELECT * FROM {reader}").fetchall()
    there = tuple(row[0] for row in described if row[0] != FILE)
    # Rows of Parquet have no order that says anything.
    relation = _numbered(reader) if kind == "json" else f"(SELECT *, NULL::BIGINT AS ord FROM {reader})"
    blank = ABSENT if kind == "json" else EMPTY
    return Part(relation, quoted, find_run_columns(there, wanted.columns), paths, there, blank=blank)


def _numbered(reader: str) -> str:
    """What is read, with where each row stands."""
    return f"(SELECT *, row_number() OVER () AS ord FROM {reader})"


def _json_lines(files: Sequence[LogFile], packed: str, wanted: Wanted) -> Part:
    """Lines of objects. Names are taken from the first of them: a line that is no object must not spoil them."""
    found: dict[str, None] = {}
    for file in files:
        for line in file.head:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict):
                found.update(dict.fromkeys(entry))
    columns = find_run_columns(tuple(found), wanted.columns)
    paths = tuple(file.path for file in files)
    # What is read as text by name needs no guess of its type, which a NaN or a later line may break.
    chosen = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in dict.fromkeys(columns.values()) or ("step",))
    reader = (
        f"read_json({listed(paths)}, format='newline_delimited', columns={{{chosen}}}, ignore_errors=true, "
        f"compression={literal(packed)}, filename={literal(FILE)})"
    )
    return Part(_numbered(reader), quoted, columns, paths, tuple(found))


def _trainer_state(
    connection: duckdb.DuckDBPyConnection, paths: tuple[str, ...], packed: str, wanted: Wanted
) -> Part:
    entries = (
        f"(SELECT {FILE}, unnest(log_history) AS entry FROM read_json({listed(paths)}, "
        f"columns={{'log_history': 'JSON[]'}}, maximum_object_size={_LARGEST_OBJECT}, compression={literal(packed)}, "
        f"filename={literal(FILE)}))"
    )
    keys = connection.execute(f"SELECT DISTINCT unnest(json_keys(entry)) FROM {entries}").fetchall()
    there = tuple(sorted(str(row[0]) for row in keys))

    def column(name: str) -> str:
        path = '$."' + name.replace('"', '\\"') + '"'
        return f"(entry ->> {literal(path)})"

    return Part(_numbered(entries), column, find_run_columns(there, wanted.columns), paths, there)
