"""Texts that are downloaded once, checked against their SHA-256 and kept in a cache folder."""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from quantgate.corpus.errors import CorpusError

#: Seconds for the whole download, and for each wait on the network within it.
TIMEOUT: Final = 30.0

_CHUNK: Final = 1 << 16


@dataclass(frozen=True)
class Remote:
    """A text on the network, known by its digest."""

    name: str
    url: str
    #: Of the whole file, in hexadecimal.
    sha256: str
    #: Bytes; a download that goes on beyond is given up.
    size: int


#: The plays of Shakespeare, public domain, as karpathy/char-rnn has them.
TINYSHAKESPEARE: Final = Remote(
    name="tinyshakespeare",
    url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
    sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    size=1_115_394,
)


def cache_folder() -> Path:
    """Where downloads are kept.

    ``QUANTGATE_CACHE``, else ``XDG_CACHE_HOME/quantgate``, else ``~/.cache/quantgate``.

    Raises:
        CorpusError: no variable is set and there is no home folder.
    """
    try:
        if named := os.environ.get("QUANTGATE_CACHE"):
            return Path(named).expanduser()
        # A relative path is to be ignored: https://specifications.freedesktop.org/basedir-spec/latest/
        if (xdg := os.environ.get("XDG_CACHE_HOME")) and Path(xdg).is_absolute():
            return Path(xdg) / "quantgate"
        return Path.home() / ".cache" / "quantgate"
    except RuntimeError as error:
        raise CorpusError(
            f"the cache folder cannot be found: {error} "
            "Set the environment variable QUANTGATE_CACHE to a folder that can be written."
        ) from error


def cached(remote: Remote, folder: Path, *, timeout: float = TIMEOUT) -> bytes:
    """The text of ``remote`` from ``folder``, downloaded first where it is not there.

    Parallel callers may both download it; each replaces the file with the same bytes in one step.

    Raises:
        CorpusError: the cached file has another digest, or the download failed.
    """
    path = folder / f"{remote.name}.txt"
    text = _stored(path, remote)
    if text is None:
        _make(folder, remote)
        text = _download(remote, path, timeout)
        _store(text, path, remote)
    return text


def _stored(path: Path, remote: Remote) -> bytes | None:
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise CorpusError(
            f"corpus {remote.name!r}: the cached file {str(path)!r} cannot be read: {error.strerror}. "
            "Delete it or make it readable."
        ) from error
    if _digest(text) != remote.sha256:
        raise CorpusError(
            f"corpus {remote.name!r}: the cached file {str(path)!r} ({len(text)} bytes) "
            f"has SHA-256 {_digest(text)}; expected {remote.size} bytes, SHA-256 {remote.sha256}. "
            "It was cut short or changed after it was stored. Delete it, and it is downloaded again."
        )
    return text


def _make(folder: Path, remote: Remote) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, remote, error) from error


def _store(text: bytes, path: Path, remote: Remote) -> None:
    # Not of module tempfile, whose files only their owner may read: a cache may be shared.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        try:
            temporary.write_bytes(text)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(path.parent, remote, error) from error


def _unwritable(folder: Path, remote: Remote, error: OSError) -> CorpusError:
    return CorpusError(
        f"corpus {remote.name!r}: the cache folder {str(folder)!r} cannot be written: {error.strerror}. "
        "Set the environment variable QUANTGATE_CACHE to a folder that can."
    )


def _download(remote: Remote, path: Path, timeout: float) -> bytes:
    # Here, because they take 20 ms, and few runs download anything.
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError

    by_hand = (
        f"Put the file at {str(path)!r} by hand, or use the corpus 'builtin', which needs no network, "
        "or the path of a text file."
    )
    try:
        text = _read(remote, timeout)
    except HTTPError as error:
        error.close()
        seen = f"HTTP status {error.code}"
    except URLError as error:
        seen = str(error.reason)
    except (OSError, HTTPException) as error:
        seen = str(error) or type(error).__name__
    else:
        if _digest(text) == remote.sha256:
            return text
        too_long = len(text) > remote.size
        got = f"more than {remote.size} bytes" if too_long else f"{len(text)} bytes, SHA-256 {_digest(text)}"
        raise CorpusError(
            f"corpus {remote.name!r}: {remote.url} gave {got}; expected {remote.size} bytes, "
            f"SHA-256 {remote.sha256}. "
            f"It was cut short, or a proxy answered in its place; nothing was stored. {by_hand}"
        )
    raise CorpusError(f"corpus {remote.name!r}: {remote.url} could not be downloaded: {seen}. {by_hand}")


def _read(remote: Remote, timeout: float) -> bytes:
    """At most one byte more than the text has, and within ``timeout`` seconds."""
    from urllib.request import urlopen

    deadline = time.monotonic() + timeout
    chunks: list[bytes] = []
    left = remote.size + 1
    with urlopen(remote.url, timeout=timeout) as response:
        # read1, because read waits for the whole chunk, however slowly its bytes drip in.
        while left and (chunk := response.read1(min(left, _CHUNK))):
            chunks.append(chunk)
            left -= len(chunk)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{remote.size + 1 - left} bytes in {timeout:g} s")
    return b"".join(chunks)


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
