"""The corpus: the text that the package makes, files good and bad, and tiny shakespeare where it is there."""

from __future__ import annotations

import hashlib
import math
import os
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from quantgate.corpus import MAX_BYTES, MIN_BYTES, TINYSHAKESPEARE, Corpus, CorpusError, load
from quantgate.corpus import text as corpus_module
from quantgate.corpus.builtin import SHA256, SIZE, generate
from quantgate.corpus.fetch import cache_folder

TEXT = "".join(random.Random(7).choices("abcdefgh ,.\n", k=150_000)).encode()


def error_of(source: str | Path) -> str:
    with pytest.raises(CorpusError) as caught:
        load(str(source))
    return str(caught.value)


def write(path: Path, text: bytes) -> Path:
    path.write_bytes(text)
    return path


# builtin


def conditional_entropy(text: bytes, order: int) -> float:
    """Bits per character, given the ``order`` characters before it."""

    def entropy(length: int) -> float:
        counts = Counter(text[i : i + length] for i in range(len(text) - order))
        total = sum(counts.values())
        return -sum(n / total * math.log2(n / total) for n in counts.values())

    return entropy(order + 1) - (entropy(order) if order else 0.0)


# Of tiny shakespeare's first 256 KiB, which a test at the end measures.
ENTROPIES = {0: 4.774, 1: 3.482, 2: 2.650}
TOLERANCES = {0: 0.05, 1: 0.05, 2: 0.15}


def test_builtin_is_pinned() -> None:
    corpus = load("builtin")
    assert corpus.sha256 == SHA256 == "931faabd583f45de0c8fb51764bde1e7ab2222feff264865582b5ddea611ac37"
    assert corpus.name == "builtin"
    assert hashlib.sha256(corpus.train + corpus.heldout).hexdigest() == SHA256
    assert SIZE <= len(corpus.train + corpus.heldout) < SIZE + 1024


def test_builtin_changed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_module, "generate", lambda: b"To be short.")
    assert error_of("builtin") == (
        "corpus 'builtin': the generated text has SHA-256 "
        f"67d066481c57839697d4cf5fa721d71d74c9c57005fc2fb07acaf33072dbaaa3, expected {SHA256}. "
        "The files of quantgate/corpus differ from those that were released; install quantgate again."
    )


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_builtin_does_not_depend_on_the_hash_seed_or_the_global_generator(hash_seed: str) -> None:
    code = "import random; random.seed(3); from quantgate.corpus import load; print(load('builtin').sha256)"
    env = os.environ | {"PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == SHA256


def test_builtin_leaves_the_global_generator_alone() -> None:
    state = random.getstate()
    generate.__wrapped__()
    assert random.getstate() == state


@pytest.mark.parametrize("order", ENTROPIES)
def test_builtin_has_the_entropy_of_english(order: int) -> None:
    assert conditional_entropy(generate(), order) == pytest.approx(ENTROPIES[order], abs=TOLERANCES[order])


def test_builtin_uses_every_letter_in_both_cases_and_the_marks_of_a_play() -> None:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    assert sorted(map(chr, set(generate()))) == sorted(letters + letters.lower() + "\n !',-.:;?")


def test_builtin_is_speeches_with_an_empty_line_between() -> None:
    text = generate().decode("ascii")
    assert text.endswith("\n\n")
    speeches = text.removesuffix("\n\n").split("\n\n")
    assert len(speeches) > 1000
    for speech in speeches:
        speaker, *lines = speech.split("\n")
        assert re.fullmatch(r"[A-Z ]+:", speaker)
        assert 1 <= len(lines) <= 15
        assert all(re.fullmatch(r"'?[A-Z][A-Za-z ',.:;!?-]*", line) for line in lines)


def test_builtin_templates_leave_no_marks_of_their_own() -> None:
    text = generate().decode("ascii")
    assert not re.search(r"  | [,.;:!?]| '?s |\ba [aeiou]", text.replace("th' ", "th "))


def test_builtin_repeats_itself_no_more_than_english_does() -> None:
    """A text made of few phrases would let a model learn by heart what the held-out part repeats."""
    corpus = load("builtin")
    seen = {corpus.train[i : i + 24] for i in range(len(corpus.train) - 24)}
    pieces = [corpus.heldout[i : i + 24] for i in range(0, len(corpus.heldout) - 24, 24)]
    assert sum(piece in seen for piece in pieces) / len(pieces) < 0.02


def test_corpus_costs_no_torch_and_no_network_modules() -> None:
    code = (
        "import sys; from quantgate.corpus import load; load('builtin');"
        "print(sorted({'torch', 'numpy', 'urllib.request', 'http.client', 'ssl'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Files


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


# Tiny shakespeare


@pytest.fixture
def tinyshakespeare() -> Corpus:
    path = cache_folder() / "tinyshakespeare.txt"
    if not path.exists():
        pytest.skip(f"tiny shakespeare is not in the cache ({path}), and tests use no network")
    return load("tinyshakespeare")


def test_tinyshakespeare(tinyshakespeare: Corpus) -> None:
    assert tinyshakespeare.sha256 == "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
    assert TINYSHAKESPEARE.url.startswith("https://raw.githubusercontent.com/karpathy/char-rnn/")
    assert (len(tinyshakespeare.train), len(tinyshakespeare.heldout)) == (1_003_854, 111_540)
    assert tinyshakespeare.train.startswith(
        b"First Citizen:\nBefore we proceed any further, hear me speak.\n"
    )


@pytest.mark.parametrize("order", ENTROPIES)
def test_tinyshakespeare_has_the_statistics_that_builtin_follows(tinyshakespeare: Corpus, order: int) -> None:
    assert conditional_entropy(tinyshakespeare.train[:SIZE], order) == pytest.approx(
        ENTROPIES[order], abs=0.001
    )
