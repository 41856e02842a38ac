"""Files, good and bad."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import pytest

from quantgate.corpus import MAX_BYTES, MIN_BYTES, Corpus, load
from quantgate.corpus.builtin import SHA256
from tests.corpus.texts import TEXT, error_of, write


@pytest.mark.parametrize("size", [MIN_BYTES, MIN_BYTES + 1, MIN_BYTES + 9, len(TEXT)])
def test_file_is_split_in_two_disjoint_parts(tmp_path: Path, size: int) -> None:
    corpus = load(str(write(tmp_path / "a text.txt", TEXT[:size])))
    assert corpus == Corpus(
        "a text.txt",
        hashlib.sha256(TEXT[:size]).hexdigest(),
        TEXT[: size * 9 // 10],
        TEXT[size * 9 // 10 : size],
    )
    assert len(corpus.heldout) >= 10_000


def test_file_may_have_crlf_and_control_characters(tmp_path: Path) -> None:
    text = TEXT.replace(b"\n", b"\r\n") + b"\x01\t\x0c\x7f"
    corpus = load(str(write(tmp_path / "crlf.txt", text)))
    assert corpus.train + corpus.heldout == text


def test_file_may_be_named_relative_to_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "builtin", TEXT)
    monkeypatch.chdir(tmp_path)
    assert load("./builtin").sha256 == hashlib.sha256(TEXT).hexdigest()
    assert load("builtin").sha256 == SHA256


def test_file_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "link.txt").symlink_to(write(tmp_path / "text.txt", TEXT))
    assert load(str(tmp_path / "link.txt")).name == "link.txt"


def test_file_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "no.txt"
    assert error_of(path) == (
        f"corpus {str(path)!r} is neither 'builtin' nor 'tinyshakespeare' nor a file "
        f"(looked for {str(path)!r})."
    )


def test_file_below_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "text.txt", TEXT) / "more.txt"
    assert "is neither 'builtin' nor 'tinyshakespeare' nor a file" in error_of(path)


@pytest.mark.parametrize(
    ("source", "meant"),
    [
        ("tinyshakespere", " Did you mean 'tinyshakespeare'?"),
        ("TinyShakespeare", " Did you mean 'tinyshakespeare'?"),
        ("tiny_shakespeare", " Did you mean 'tinyshakespeare'?"),
        ("built-in", " Did you mean 'builtin'?"),
        ("enwik8", ""),
        ("", ""),
    ],
)
def test_unknown_name_suggests_the_nearest(
    source: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    looked_for = str(Path(source).absolute())
    assert error_of(source) == (
        f"corpus {source!r} is neither 'builtin' nor 'tinyshakespeare' nor a file "
        f"(looked for {looked_for!r}).{meant}"
    )


def test_names_are_shown_escaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    message = error_of("\x1b[31mred\n::error::")
    assert message.startswith(r"corpus '\x1b[31mred\n::error::' is neither")
    assert message.isprintable()


def test_name_with_a_nul() -> None:
    assert re.fullmatch(r"corpus 'a\\x00b' is not a path: .*null.*", error_of("a\0b"))


def test_name_too_long_for_the_file_system() -> None:
    assert error_of("x" * 5000) == (
        f"corpus {'x' * 5000!r} cannot be read: File name too long. "
        "Check the path, and that this user may read the file and enter its folder."
    )


def test_folder(tmp_path: Path) -> None:
    assert error_of(tmp_path) == (
        f"corpus {str(tmp_path)!r} is a folder, not a text file. Give the path of a file."
    )


def test_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    assert error_of(path) == (
        f"corpus {str(path)!r} is a device or a pipe, not a text file. Give the path of a file."
    )


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "text.txt", TEXT)

    # Root may read a file without permissions, and tests may run as root.
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", denied)
    assert error_of(path) == (
        f"corpus {str(path)!r} cannot be read: Permission denied. "
        "Check the path, and that this user may read the file and enter its folder."
    )


def test_empty_file(tmp_path: Path) -> None:
    path = write(tmp_path / "text.txt", b"")
    assert error_of(path) == (
        f"corpus {str(path)!r} is empty, and the shortest allowed is 100000 bytes. "
        "Was it written in full? Give a longer text, or use 'builtin'."
    )


def test_short_file(tmp_path: Path) -> None:
    path = write(tmp_path / "text.txt", TEXT[: MIN_BYTES - 1])
    assert error_of(path) == (
        f"corpus {str(path)!r} has 99999 bytes, and the shortest allowed is 100000: "
        "a tenth of it is held out, and less would not measure BPB. Give a longer text, or use 'builtin'."
    )


def test_file_too_large(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    assert error_of(path) == (
        f"corpus {str(path)!r} has more than 67108864 bytes, the longest allowed. "
        "A cell reads less than one megabyte of it; give a part."
    )


UTF_8 = "It is UTF-8 text with other characters. Convert it: `iconv -f UTF-8 -t ASCII//TRANSLIT`."


EIGHT_BIT = "It looks like a binary file, or text in an 8-bit encoding. Give an ASCII text."


BINARY = "It looks like a binary file, or UTF-16 text. Give an ASCII text."


@pytest.mark.parametrize(
    ("text", "byte", "offset", "line", "cause"),
    [
        (TEXT[:9] + b"\n\ncaf\xc3\xa9" + TEXT, 0xC3, 14, 3 + TEXT[:9].count(b"\n"), UTF_8),
        (b"\xef\xbb\xbf" + TEXT, 0xEF, 0, 1, UTF_8),
        (TEXT + b"\xc3\xa9", 0xC3, len(TEXT), 1 + TEXT.count(b"\n"), UTF_8),
        (b"caf\xe9" + TEXT, 0xE9, 3, 1, EIGHT_BIT),
        (b"ab\0" + TEXT, 0x00, 2, 1, BINARY),
        (TEXT.decode().encode("utf-16"), 0xFF, 0, 1, BINARY),
        (b"\x80", 0x80, 0, 1, EIGHT_BIT),
    ],
    ids=["accent", "byte-order-mark", "last-byte", "latin-1", "nul", "utf-16", "short"],
)
def test_file_beyond_ascii(
    tmp_path: Path, text: bytes, byte: int, offset: int, line: int, cause: str
) -> None:
    path = write(tmp_path / "text.txt", text)
    assert error_of(path) == (
        f"corpus {str(path)!r} has the byte 0x{byte:02x} at offset {offset} (line {line}), "
        f"and the vocabulary is ASCII, 0x01 to 0x7f. {cause}"
    )
