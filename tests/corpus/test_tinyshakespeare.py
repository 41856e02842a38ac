"""Tiny shakespeare, where it is in the cache."""

from __future__ import annotations

import pytest

from quantgate.corpus import TINYSHAKESPEARE, Corpus, load
from quantgate.corpus.builtin import SIZE
from quantgate.corpus.fetch import cache_folder
from tests.corpus.texts import ENTROPIES, conditional_entropy


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
