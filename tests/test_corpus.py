"""The corpus: the text that the package makes, the one that it fetches, and files, good and bad."""

from __future__ import annotations

import hashlib
import math
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from quantgate import corpus as corpus_module
from quantgate.corpus import MAX_BYTES, MIN_BYTES, TINYSHAKESPEARE, Corpus, CorpusError, Remote, load
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


# Tiny shakespeare's first 256 KiB; `test_tinyshakespeare_has_the_statistics_that_builtin_follows` measures them.
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
        "edfefd9f2a7f0fb9ea55a5ecdd0d5f17a5daf1ea0ea8f7f9d0b7f5dbe0b9ad5d"
        f", expected {SHA256}. "
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
        f"corpus {str(path)!r} is neither 'builtin' nor 'tinyshakespeare' nor a file (looked for {str(path)!r})."
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
        f"corpus {source!r} is neither 'builtin' nor 'tinyshakespeare' nor a file (looked for {looked_for!r}).{meant}"
    )


def test_names_are_shown_escaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    message = error_of("\x1b[31mred\n::error::")
    assert message.startswith(r"corpus '\x1b[31mred\n::error::' is neither")
    assert message.isprintable()


def test_name_with_a_nul() -> None:
    assert re.fullmatch(r"corpus 'a\\x00b' is not a path: .*null byte\.", error_of("a\0b"))


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
        f"corpus {str(path)!r} has 99999 bytes, and the shortest allowed is 100000: a tenth of it is held out, "
        "and less would not measure BPB. Give a longer text, or use 'builtin'."
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


# Downloads


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
        f"corpus 'tinyshakespeare': {server.url} could not be downloaded: HTTP status {status}. {by_hand(cache)}"
    )
    assert list(cache.iterdir()) == []


def test_download_without_a_server(server: Server, cache: Path) -> None:
    remote = replace(server.remote, url="http://127.0.0.1:1/input.txt")
    assert fetch_error(remote) == (
        "corpus 'tinyshakespeare': http://127.0.0.1:1/input.txt could not be downloaded: "
        f"[Errno 111] Connection refused. {by_hand(cache)}"
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
    path = write(cache / "tinyshakespeare.txt", TEXT[:1000])
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
    write(cache / "tinyshakespeare.txt", TEXT)
    assert load("tinyshakespeare", remote=server.remote).heldout == TEXT[135_000:]
    assert server.requests == []


def test_cached_file_that_is_a_folder(server: Server, cache: Path) -> None:
    (cache / "tinyshakespeare.txt").mkdir(parents=True)
    assert fetch_error(server.remote) == (
        f"corpus 'tinyshakespeare': the cached file {str(cache / 'tinyshakespeare.txt')!r} cannot be read: "
        "Is a directory. Delete it or make it readable."
    )


def test_cache_folder_that_is_a_file(server: Server, cache: Path) -> None:
    write(cache, b"")
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
    assert error_of("tinyshakespeare") == (
        "the cache folder cannot be found: Could not determine home directory. "
        "Set the environment variable QUANTGATE_CACHE to a folder that can be written."
    )


# Tiny shakespeare itself


@pytest.fixture
def tinyshakespeare() -> Corpus:
    path = cache_folder() / "tinyshakespeare.txt"
    if not path.exists():
        pytest.skip(f"tiny shakespeare is not in the cache ({path}), and tests use no network")
    return load("tinyshakespeare")


def test_tinyshakespeare(tinyshakespeare: Corpus) -> None:
    assert tinyshakespeare.sha256 == "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
    assert TINYSHAKESPEARE.url.startswith("https://raw.githubusercontent.com/karpathy/char-rnn/")
    assert len(tinyshakespeare.train), len(tinyshakespeare.heldout) == (1_003_854, 111_540)
    assert tinyshakespeare.train.startswith(
        b"First Citizen:\nBefore we proceed any further, hear me speak.\n"
    )


@pytest.mark.parametrize("order", ENTROPIES)
def test_tinyshakespeare_has_the_statistics_that_builtin_follows(tinyshakespeare: Corpus, order: int) -> None:
    assert conditional_entropy(tinyshakespeare.train[:SIZE], order) == pytest.approx(
        ENTROPIES[order], abs=0.001
    )
