"""The address of a history, with all that it needs installed: asked before anything is trained."""

from __future__ import annotations

from importlib.util import find_spec

from quantgate.databases.address import Address, find_address
from quantgate.databases.engine import open_engine

#: The extra that brings what a history needs.
EXTRA = "history"


def find_history(given: str, *, is_private: bool = False) -> Address:
    """The address that `env:NAME`, `@FILE` or an address itself stands for; nothing is connected.

    Args:
        given: What was given.
        is_private: Whether it was given where nobody else sees it, so that it may hold a password.

    Raises:
        ValueError: There is none, it holds a password for all to see, or a package is not installed.
    """
    address = find_address(given, extra=EXTRA, is_private=is_private)
    with open_engine(address, extra=EXTRA):  # which loads the driver
        pass
    if find_spec("alembic") is None:
        raise ValueError(f"Alembic keeps the tables of a history: pip install 'quantgate[{EXTRA}]'")
    return address
