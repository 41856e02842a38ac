"""The address of a database: taken from the environment or a file, and never shown.

No message quotes an address or a part of it, and `repr`, which tracebacks with locals print, does not either.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import URL

_DIALECTS = ("postgresql", "sqlite")


#: More than any address with its password and options has.
_LONGEST = 10_000


@dataclass(frozen=True)
class Address:
    """Where a database is."""

    url: URL = field(repr=False)
    #: The variable of the environment that it was found in by `env:NAME`.
    variable: str | None = None

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file of SQLite; else it is PostgreSQL."""
        return self.url.get_backend_name() == "sqlite"

    @property
    def digest(self) -> str:
        """What tells this database from others, without naming it; it survives a change of the password."""
        plain = self.url.difference_update_query(["password"]).render_as_string(hide_password=True)
        return hashlib.sha256(plain.encode()).hexdigest()[:16]


def find_address(given: str, *, extra: str, is_private: bool = False) -> Address:
    """The address that `env:NAME`, `@FILE` or an address itself stands for.

    Args:
        given: What was given.
        extra: The extra of this package that brings what databases need.
        is_private: Whether it was given where nobody else sees it, so that it may hold a password.

    Raises:
        ValueError: There is none, SQLAlchemy is not installed, or it holds a password for all to see.
    """
    if given.startswith("env:"):
        name = given.removeprefix("env:")
        if not (address := os.environ.get(name, "").strip()):
            raise ValueError(f"the environment variable {name!r} is not set or empty")
        return Address(_parse(address, extra), name)
    if given.startswith("@"):
        try:
            with Path(given[1:]).open(
                encoding="utf-8"
            ) as file:  # a pipe too: a secret need not lie on a disk
                address = file.read(_LONGEST + 1).strip()
        except (OSError, UnicodeDecodeError, ValueError) as error:
            raise ValueError(f"the file {given[1:]!r} cannot be read ({type(error).__name__})") from None
        if not address:
            raise ValueError(f"the file {given[1:]!r} is empty")
        if len(address) > _LONGEST:
            raise ValueError(
                f"the file {given[1:]!r} has more than {_LONGEST:,} characters, which is no address"
            )
        return Address(_parse(address, extra))
    url = _parse(given, extra)
    if not is_private and (url.password is not None or "password" in url.query):
        raise ValueError(
            "a password on the command line is seen by everybody on this machine, and one in an ini file by all who "
            "read it; put the address into the environment (env:FLEET_DB) or a file (@fleet.url)"
        )
    return Address(url)


def _parse(address: str, extra: str) -> URL:
    try:
        from sqlalchemy import exc, make_url
    except ImportError:
        raise ValueError(
            f"databases are reached through SQLAlchemy: pip install 'quantgate[{extra}]'"
        ) from None
    if address.startswith("postgres://"):  # as hosts of databases write it
        address = address.replace("postgres://", "postgresql://", 1)
    try:
        url = make_url(address)
    except (exc.ArgumentError, ValueError):
        raise ValueError(
            "that is no address of a database; such as postgresql://reader@host/fleet or sqlite:///fleet.db"
        ) from None
    if url.get_backend_name() not in _DIALECTS:
        raise ValueError(f"only {' and '.join(_DIALECTS)} are known")
    if url.drivername == "postgresql":  # psycopg 3 is the driver of the extra
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() == "sqlite":
        if url.database in {None, "", ":memory:"}:
            raise ValueError("a SQLite in memory keeps nothing; name a file: sqlite:///fleet.db")
        url = url.set(database=str(Path(url.database or "").absolute()))
    return url
