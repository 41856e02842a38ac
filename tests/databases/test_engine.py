"""How a database is opened, and what is heard of it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

pytest.importorskip(
    "sqlalchemy", reason="databases are reached through SQLAlchemy: pip install 'quantgate[logs]'"
)

from sqlalchemy import exc, text

from quantgate.databases.address import find_address
from quantgate.databases.engine import open_engine


def test_what_libraries_log_of_it_is_kept_back_while_it_is_open(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loggers = [logging.getLogger(name) for name in ("psycopg", "sqlalchemy.pool.impl", "alembic.runtime")]
    with open_engine(find_address(f"sqlite:///{tmp_path}/x.db", extra="logs"), extra="logs"):
        for logger in loggers:
            logger.error("secret-host")
    assert not caplog.records

    for logger in loggers:
        logger.error("after it")
    assert [record.message for record in caplog.records] == ["after it"] * 3


def test_a_file_is_made_only_where_it_is_to_be_written(tmp_path: Path) -> None:
    address = find_address(f"sqlite:///{tmp_path}/a b%3f?#.db", extra="logs")
    with open_engine(address, extra="logs") as engine, pytest.raises(exc.DBAPIError, match="unable to open"):
        engine.connect()
    assert not list(tmp_path.iterdir())

    with (
        open_engine(address, extra="logs", writes=True, schema="ssot") as engine,
        engine.begin() as connection,
    ):
        connection.execute(text("CREATE TABLE ssot.mine (a int)"))
    (made,) = tmp_path.iterdir()
    assert str(made) == address.url.database
