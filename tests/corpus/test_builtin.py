"""The text that the package makes."""

from __future__ import annotations

import hashlib
import os
import random
import re
import subprocess
import sys

import pytest

from quantgate.corpus import load
from quantgate.corpus import text as corpus_module
from quantgate.corpus.builtin import SHA256, SIZE, generate
from tests.corpus.texts import ENTROPIES, conditional_entropy, error_of

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
