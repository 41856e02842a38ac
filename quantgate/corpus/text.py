"""The text that the tiny model is trained on: made here, downloaded, or a file."""

from __future__ import annotations

import difflib
import hashlib
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from quantgate.corpus.builtin import SHA256 as BUILTIN_SHA256
from quantgate.corpus.builtin import generate
from quantgate.corpus.errors import CorpusError
from quantgate.corpus.fetch import TIMEOUT, TINYSHAKESPEARE, Remote, cache_folder, cached

KEYWORDS: Final = ("builtin", "tinyshakespeare")

#: A tenth is held out, and BPB over less than 10,000 bytes of it would depend on where the text is cut.
MIN_BYTES: Final = 100_000
MAX_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True)
class Corpus:
    """ASCII text in two parts that share no byte: the first 90% to train on, the last 10% to judge by."""

    name: str
    #: Of the whole text, ``train + heldout``, in hexadecimal.
    sha256: str
    train: bytes
    heldout: bytes


def load(source: str, *, remote: Remote = TINYSHAKESPEARE, timeout: float = TIMEOUT) -> Corpus:
    """The corpus of that name.

    Args:
        source: ``builtin``, ``tinyshakespeare``, or the path of an ASCII file of ``MIN_BYTES`` to
            ``MAX_BYTES``. A file that bears the name of a keyword is reached as ``./builtin``.
        remote: what ``tinyshakespeare`` stands for.
        timeout: seconds that its download may take.

    Raises:
        CorpusError: there is no such corpus, or it cannot be used.
    """
    if source == "builtin":
        return _split(source, _checked_builtin())
    if source == "tinyshakespeare":
        return _split(source, cached(remote, cache_folder(), timeout=timeout))
    text = _read_file(source)
    _check_text(source, text)
    return _split(Path(source).name, text)


def _split(name: str, text: bytes) -> Corpus:
    cut = len(text) * 9 // 10
    return Corpus(name, hashlib.sha256(text).hexdigest(), text[:cut], text[cut:])


def _checked_builtin() -> bytes:
    text = generate()
    if (seen := hashlib.sha256(text).hexdigest()) != BUILTIN_SHA256:
        raise CorpusError(
            f"corpus 'builtin': the generated text has SHA-256 {seen}, expected {BUILTIN_SHA256}. "
            "The files of quantgate/corpus differ from those that were released; install quantgate again."
        )
    return text


def _read_file(source: str) -> bytes:
    if not source:  # which Path takes for the current folder
        raise CorpusError(_unknown(source))
    path = Path(source)
    try:
        mode = path.stat().st_mode
        # Nothing else is opened: a pipe would be waited for, and a device may never end.
        if stat.S_ISREG(mode):
            with path.open("rb") as file:
                return file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise CorpusError(_unknown(source)) from None
    except OSError as error:
        raise CorpusError(
            f"corpus {source!r} cannot be read: {error.strerror}. "
            "Check the path, and that this user may read the file and enter its folder."
        ) from error
    except ValueError as error:
        raise CorpusError(f"corpus {source!r} is not a path: {error}.") from error
    kind = "folder" if stat.S_ISDIR(mode) else "device or a pipe"
    raise CorpusError(f"corpus {source!r} is a {kind}, not a text file. Give the path of a file.")


def _unknown(source: str) -> str:
    near = difflib.get_close_matches(source.lower(), KEYWORDS, n=1)
    meant = f" Did you mean {near[0]!r}?" if near else ""
    return (
        f"corpus {source!r} is neither 'builtin' nor 'tinyshakespeare' nor a file "
        f"(looked for {str(Path(source).absolute())!r}).{meant}"
    )


def _check_text(source: str, text: bytes) -> None:
    if not text:
        raise CorpusError(
            f"corpus {source!r} is empty, and the shortest allowed is {MIN_BYTES} bytes. "
            "Was it written in full? Give a longer text, or use 'builtin'."
        )
    if len(text) > MAX_BYTES:
        raise CorpusError(
            f"corpus {source!r} has more than {MAX_BYTES} bytes, the longest allowed. "
            "A cell reads less than one megabyte of it; give a part."
        )
    # Before the length: that a file is not text at all says more than that it is short.
    if found := re.search(rb"[\x00\x80-\xff]", text):
        raise CorpusError(_not_ascii(source, text, found.start()))
    if len(text) < MIN_BYTES:
        raise CorpusError(
            f"corpus {source!r} has {len(text)} bytes, and the shortest allowed is {MIN_BYTES}: "
            "a tenth of it is held out, and less would not measure BPB. Give a longer text, or use 'builtin'."
        )


def _not_ascii(source: str, text: bytes, offset: int) -> str:
    line = text.count(b"\n", 0, offset) + 1
    where = (
        f"corpus {source!r} has the byte 0x{text[offset]:02x} at offset {offset} (line {line}), "
        "and the vocabulary is ASCII, 0x01 to 0x7f. "
    )
    if 0 in text:
        return where + "It looks like a binary file, or UTF-16 text. Give an ASCII text."
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return where + "It looks like a binary file, or text in an 8-bit encoding. Give an ASCII text."
    return where + "It is UTF-8 text with other characters. Convert it: `iconv -f UTF-8 -t ASCII//TRANSLIT`."
