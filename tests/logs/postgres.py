"""A PostgreSQL of the tests' own: started on a socket in a temporary folder, and gone after them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


def _tools() -> Path | None:
    """Where the server's programs are: on the path, or where Debian puts them."""
    if (found := shutil.which("initdb")) is not None:
        return Path(found).parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return installed[-1].parent if installed else None


@dataclass(frozen=True)
class Server:
    """A server that can be killed and started again."""

    folder: Path
    tools: Path
    how: dict[str, Any]

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"postgresql://tests@/postgres?host={self.folder}"

    @property
    def process(self) -> int:
        """The number of its first process."""
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-k {self.folder} -c listen_addresses='' -c fsync=off"
        self._control("-w", "-o", options, "start", check=True)

    def kill(self) -> None:
        """End it in the middle of whatever it does."""
        self._control("-m", "immediate", "stop", check=False)

    def _control(self, *arguments: str, check: bool) -> None:
        subprocess.run(
            [self.tools / "pg_ctl", "-D", self.folder / "data", *arguments], check=check, **self.how
        )


@contextmanager
def server() -> Iterator[str]:
    """The address of a running server."""
    with cluster() as running:
        yield running.address


@contextmanager
def cluster() -> Iterator[Server]:
    """A running server. It refuses to run as root, so that root starts it as `postgres`."""
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
        running = Server(folder, tools, quiet)
        running.start()
        try:
            yield running
        finally:
            running.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
