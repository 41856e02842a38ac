"""A PostgreSQL of the tests' own: started on a socket in a temporary folder, and gone after them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


def _tools() -> Path | None:
    """Where the server's programs are: on the path, or where Debian puts them."""
    if (found := shutil.which("initdb")) is not None:
        return Path(found).parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return installed[-1].parent if installed else None


@contextmanager
def server() -> Iterator[str]:
    """The address of a running server. It refuses to run as root, so that root starts it as `postgres`."""
    tools = _tools()
    if tools is None:
        pytest.skip("PostgreSQL is not installed (Debian's package postgresql)")
    user: dict[str, Any] = {}
    folder = Path(tempfile.mkdtemp(prefix="quantgate-pg-"))  # a socket's path is short
    if os.getuid() == 0:
        try:
            shutil.chown(folder, "postgres")
        except LookupError:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
        user = {"user": "postgres", "group": "postgres", "extra_groups": []}
    quiet: dict[str, Any] = {
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
        "cwd": folder,
        **user,
    }
    data = folder / "data"
    try:
        subprocess.run(
            [tools / "initdb", "-D", data, "-U", "tests", "-A", "trust", "--no-sync"], check=True, **quiet
        )
        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        subprocess.run([tools / "pg_ctl", "-D", data, "-w", "-o", options, "start"], check=True, **quiet)
        try:
            yield f"postgresql://tests@/postgres?host={folder}"
        finally:
            subprocess.run([tools / "pg_ctl", "-D", data, "-m", "immediate", "stop"], check=False, **quiet)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
