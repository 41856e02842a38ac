"""`python -m tests.benchmarks.logs`: ten million samples judged, beside what pandas and polars take to aggregate them.

Each row is a process of its own: the seconds from its start to its end, and the most memory that it had. pandas and
polars are measured where they are installed; what they do is the least that a judge needs, the first, last and best
score of each run. PostgreSQL, where it is installed, holds the same samples.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks.tables import table

_SAMPLES = """
COPY (
  SELECT 'IGLA-TIER1-' || CASE WHEN run % 10 = 0 THEN 'fp32' ELSE 'f' || (run % 10) END
    || '-h64-LR0.001-rng' || (47 + run // 10) || '-adamw' AS canon_name,
    i % 10000 AS step, round(2.6 + 4.4 * exp(-(i % 10000) / 1000) + random() / 100, 4) AS bpb, 'abc123' AS sha
  FROM (SELECT i, i // 10000 AS run FROM range({samples}) numbers(i))
) TO '{file}' ({options})
"""
_PANDAS = """
import pandas as pd
frame = pd.read_{kind}({file!r}{lines}).sort_values(["canon_name", "step"])
print(frame.groupby("canon_name").agg(first=("bpb", "first"), last=("bpb", "last"), best=("bpb", "min")))
"""
_POLARS = """
import polars as pl
frame = pl.scan_{kind}({file!r})
print(frame.group_by("canon_name").agg(pl.col("bpb").sort_by("step").first().alias("first"),
      pl.col("bpb").sort_by("step").last().alias("last"), pl.col("bpb").min().alias("best")).collect())
"""


def measured(*command: str) -> tuple[float, float, int]:
    """Seconds, megabytes and exit status of a process."""
    begun = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    return time.monotonic() - begun, usage.ru_maxrss / 1024, os.waitstatus_to_exitcode(status)


def rows(folder: Path, samples: int) -> Iterator[tuple[str, ...]]:
    """A row for each kind of file and each reader."""
    import duckdb

    kinds = (("jsonl", "FORMAT json"), ("csv", "FORMAT csv"), ("parquet", "FORMAT parquet"))
    for kind, options in kinds:
        file = folder / f"fleet.{kind}"
        duckdb.sql(_SAMPLES.format(samples=samples, file=file, options=options))
        size = f"{kind}, {file.stat().st_size / 1e6:.0f} MB"
        judge = (sys.executable, "-m", "quantgate.cli", "judge", str(file))
        yield size, "quantgate judge", *said(measured(*judge))
        if importlib.util.find_spec("pandas"):
            lines = ", lines=True" if kind == "jsonl" else ""
            code = _PANDAS.format(kind="json" if kind == "jsonl" else kind, file=str(file), lines=lines)
            yield size, "pandas", *said(measured(sys.executable, "-c", code))
        if importlib.util.find_spec("polars"):
            code = _POLARS.format(kind="ndjson" if kind == "jsonl" else kind, file=str(file))
            yield size, "polars", *said(measured(sys.executable, "-c", code))
    yield from postgres_rows(folder / "fleet.csv")


def postgres_rows(file: Path) -> Iterator[tuple[str, ...]]:
    """The same from a table, beside the incident's own query."""
    from tests.logs.postgres import server

    with contextlib.ExitStack() as stack:
        try:
            address = stack.enter_context(server())
        except pytest.skip.Exception as skipped:
            print(f"PostgreSQL is not measured: {skipped}")
            return
        import psycopg

        with psycopg.connect(address) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE SCHEMA ssot")
            cursor.execute("CREATE TABLE ssot.bpb_samples (canon_name text, step int, bpb float8, sha text)")
            with (
                cursor.copy("COPY ssot.bpb_samples FROM STDIN (FORMAT csv, HEADER)") as copy,
                file.open("rb") as rows,
            ):
                while block := rows.read(1 << 20):
                    copy.write(block)
        query = "SELECT canon_name, min(bpb) FROM ssot.bpb_samples GROUP BY canon_name"
        psql = ("psql", "-q", address, "-c", query)
        yield "PostgreSQL", "min(bpb) GROUP BY canon_name", *said(measured(*psql))
        judge = (sys.executable, "-m", "quantgate.cli", "judge", "--sql", address)
        yield "PostgreSQL", "quantgate judge --sql", *said(measured(*judge))


def said(result: tuple[float, float, int]) -> tuple[str, str]:
    """A measurement in words."""
    seconds, megabytes, status = result
    return f"{seconds:.1f} s" + ("" if status in (0, 1) else f" (exit {status})"), f"{megabytes:.0f} MB"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=10_000_000)
    samples = parser.parse_args().samples
    with tempfile.TemporaryDirectory() as folder:
        print(table(("samples", "reader", "time", "memory"), list(rows(Path(folder), samples))))


if __name__ == "__main__":
    main()
