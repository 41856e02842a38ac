"""The corpus that is fetched: downloads, good and bad, and the cache. Nothing leaves this machine."""

from __future__ import annotations

import hashlib
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from quantgate.corpus import TINYSHAKESPEARE, CorpusError, Remote, load
from quantgate.corpus.fetch import cache_folder

TEXT = "".join(random.Random(7).choices("abcdefgh ,.\n", k=150_000)).encode()


@dataclass
class Server:
    """Answers every request with the same; ``requests`` counts them."""

    url: str
    body: bytes = TEXT
    status: int = 200
    #: Bytes that the header promises; None: as many as there are.
    length: int | None = None
    #: Seconds before each of ten parts of the body.
    pause: float = 0.0
    requests: list[str] = field(default_factory=list)

    @property
    def remote(self) -> Remote:
        return Remote("tinyshakespeare", self.url, hashlib.sha256(TEXT).hexdigest(), len(TEXT))


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer.requests.append(self.path)
            self.send_response(answer.status)
            self.send_header(
                "Content-Length", str(len(answer.body) if answer.length is None else answer.length)
            )
            self.end_headers()
            step = len(answer.body) // 10 + 1
            for i in range(0, len(answer.body), step):
                time.sleep(answer.pause)
                try:
                    self.wfile.write(answer.body[i : i + step])
                except OSError:
                    return

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    answer = Server(f"http://127.0.0.1:{http.server_port}/input.txt")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield answer
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder, not made yet; the way to 127.0.0.1 goes through no proxy."""
    monkeypatch.setenv("QUANTGATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache"


def fetch_error(remote: Remote, timeout: float = 10.0) -> str:
    with pytest.raises(CorpusError) as caught:
        load("tinyshakespeare", remote=remote, timeout=timeout)
    return str(caught.value)


def by_hand(cache: Path) -> str:
    return (
        f"Put the file at {str(cache / 'tinyshakespeare.txt')!r} by hand, or use the corpus 'builtin', "
        "which needs no network, or the path of a text file."
    )


def test_download_is_made_once_and_kept(server: Server, cache: Path) -> None:
    first = load("tinyshakespeare", remote=server.remote)
    assert (first.name, first.train + first.heldout) == ("tinyshakespeare", TEXT)
    assert [path.name for path in cache.iterdir()] == ["tinyshakespeare.txt"]
    assert load("tinyshakespeare", remote=server.remote) == first
    assert server.requests == ["/input.txt"]


def test_download_is_readable_for_others(server: Server, cache: Path) -> None:
    before = os.umask(0o022)
    try:
        load("tinyshakespeare", remote=server.remote)
    finally:
        os.umask(before)
    assert (cache / "tinyshakespeare.txt").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("body", "length"),
    [(TEXT[:-1], None), (b"<html>Sign in</html>", None), (b"", None), (TEXT[:70_000], len(TEXT))],
)
def test_download_of_something_else(server: Server, cache: Path, body: bytes, length: int | None) -> None:
    server.body, server.length = body, length
    assert fetch_error(server.remote) == (
        f"corpus 'tinyshakespeare': {server.url} gave {len(body)} bytes, "
        f"SHA-256 {hashlib.sha256(body).hexdigest()}; "
        f"expected 150000 bytes, SHA-256 {server.remote.sha256}. "
        f"It was cut short, or a proxy answered in its place; nothing was stored. {by_hand(cache)}"
    )
    assert list(cache.iterdir()) == []


def test_download_that_goes_on_too_long(server: Server, cache: Path) -> None:
    server.body = TEXT * 3
    assert fetch_error(server.remote) == (
        f"corpus 'tinyshakespeare': {server.url} gave more than 150000 bytes; "
        f"expected 150000 bytes, SHA-256 {server.remote.sha256}. "
        f"It was cut short, or a proxy answered in its place; nothing was stored. {by_hand(cache)}"
    )


@pytest.mark.parametrize("status", [404, 429, 500])
def test_download_refused(server: Server, cache: Path, status: int) -> None:
    server.status = status
    assert fetch_error(server.remote) == (
        f"corpus 'tinyshakespeare': {server.url} could not be downloaded: HTTP status {status}. "
        + by_hand(cache)
    )
    assert list(cache.iterdir()) == []


def test_download_without_a_server(server: Server, cache: Path) -> None:
    remote = replace(server.remote, url="http://127.0.0.1:1/input.txt")
    # The number is Linux's, or another system's.
    assert re.sub(r"\[Errno \d+\] ", "", fetch_error(remote)) == (
        "corpus 'tinyshakespeare': http://127.0.0.1:1/input.txt could not be downloaded: "
        f"Connection refused. {by_hand(cache)}"
    )


def test_download_that_drips(server: Server, cache: Path) -> None:
    server.pause = 0.1
    message = fetch_error(server.remote, timeout=0.25)
    assert re.search(r"could not be downloaded: \d+ bytes in 0\.25 s\. Put the file at", message)
    assert list(cache.iterdir()) == []


def test_download_that_hangs(server: Server, cache: Path) -> None:
    server.pause = 0.5
    assert fetch_error(server.remote, timeout=0.1) == (
        f"corpus 'tinyshakespeare': {server.url} could not be downloaded: timed out. {by_hand(cache)}"
    )


def test_cached_file_with_another_checksum(server: Server, cache: Path) -> None:
    cache.mkdir()
    path = cache / "tinyshakespeare.txt"
    path.write_bytes(TEXT[:1000])
    assert fetch_error(server.remote) == (
        f"corpus 'tinyshakespeare': the cached file {str(path)!r} (1000 bytes) "
        f"has SHA-256 {hashlib.sha256(TEXT[:1000]).hexdigest()}; "
        f"expected 150000 bytes, SHA-256 {server.remote.sha256}. "
        "It was cut short or changed after it was stored. Delete it, and it is downloaded again."
    )
    assert path.read_bytes() == TEXT[:1000]
    assert server.requests == []


def test_cached_file_put_there_by_hand(server: Server, cache: Path) -> None:
    cache.mkdir()
    (cache / "tinyshakespeare.txt").write_bytes(TEXT)
    assert load("tinyshakespeare", remote=server.remote).heldout == TEXT[135_000:]
    assert server.requests == []


def test_cached_file_that_is_a_folder(server: Server, cache: Path) -> None:
    (cache / "tinyshakespeare.txt").mkdir(parents=True)
    assert fetch_error(server.remote) == (
        f"corpus 'tinyshakespeare': the cached file {str(cache / 'tinyshakespeare.txt')!r} cannot be read: "
        "Is a directory. Delete it or make it readable."
    )


def test_cache_folder_that_is_a_file(server: Server, cache: Path) -> None:
    cache.touch()
    assert fetch_error(server.remote) == (
        f"corpus 'tinyshakespeare': the cache folder {str(cache)!r} cannot be written: File exists. "
        "Set the environment variable QUANTGATE_CACHE to a folder that can."
    )
    assert server.requests == []


def test_cache_folder_that_cannot_be_written(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, _: object) -> None:
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert fetch_error(server.remote) == (
        f"corpus 'tinyshakespeare': the cache folder {str(cache)!r} cannot be written: "
        "No space left on device. Set the environment variable QUANTGATE_CACHE to a folder that can."
    )
    assert list(cache.iterdir()) == []


def test_parallel_processes_download_into_one_cache(server: Server, cache: Path) -> None:
    # Slow enough that both find the cache empty.
    server.pause = 0.05
    code = (
        "import sys; from quantgate.corpus import Remote, load;"
        "name, url, sha256, size = sys.argv[1:];"
        "print(load(name, remote=Remote(name, url, sha256, int(size))).sha256)"
    )
    remote = server.remote
    command = [sys.executable, "-c", code, remote.name, remote.url, remote.sha256, str(remote.size)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=30)[0] for process in processes]
    assert outputs == [remote.sha256 + "\n"] * 2
    assert [path.name for path in cache.iterdir()] == ["tinyshakespeare.txt"]
    assert (cache / "tinyshakespeare.txt").read_bytes() == TEXT


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"QUANTGATE_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"QUANTGATE_CACHE": "~/a"}, "/home/me/a"),
        ({"QUANTGATE_CACHE": "", "XDG_CACHE_HOME": "/b"}, "/b/quantgate"),
        ({"XDG_CACHE_HOME": "b"}, "/home/me/.cache/quantgate"),
        ({}, "/home/me/.cache/quantgate"),
    ],
)
def test_cache_folder(variables: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QUANTGATE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"HOME": "/home/me"} | variables).items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(folder)


def test_cache_folder_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("QUANTGATE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert fetch_error(TINYSHAKESPEARE) == (
        "the cache folder cannot be found: Could not determine home directory. "
        "Set the environment variable QUANTGATE_CACHE to a folder that can be written."
    )
