"""Texts to load, what is refused of them, and what is measured of them."""

from __future__ import annotations

import math
import random
from collections import Counter
from pathlib import Path

import pytest

from quantgate.corpus import CorpusError, load

TEXT = "".join(random.Random(7).choices("abcdefgh ,.\n", k=150_000)).encode()


def error_of(source: str | Path) -> str:
    with pytest.raises(CorpusError) as caught:
        load(str(source))
    return str(caught.value)


def write(path: Path, text: bytes) -> Path:
    path.write_bytes(text)
    return path


def conditional_entropy(text: bytes, order: int) -> float:
    """Bits per character, given the ``order`` characters before it."""

    def entropy(length: int) -> float:
        counts = Counter(text[i : i + length] for i in range(len(text) - order))
        total = sum(counts.values())
        return -sum(n / total * math.log2(n / total) for n in counts.values())

    return entropy(order + 1) - (entropy(order) if order else 0.0)


#: Bits per character by order, of tiny shakespeare's first 256 KiB; a test measures them where it is there.
ENTROPIES = {0: 4.774, 1: 3.482, 2: 2.650}
