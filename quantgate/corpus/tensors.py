"""A corpus as tensors, read once in each process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from quantgate.corpus.text import Corpus, load

#: Held-out sequences that are scored, from the start of the held-out text, without overlap.
HELDOUT_SEQUENCES = 64


@dataclass(frozen=True)
class Data:
    """A corpus as tensors of byte values (int64) on the device."""

    corpus: Corpus
    train: Tensor
    #: (sequences, context) inputs and targets of the held-out slice.
    inputs: Tensor
    targets: Tensor


@lru_cache(maxsize=4)
def load_data(source: str, context: int, device: str) -> Data:
    """The corpus, on the device, read once in each process."""
    corpus = load(source)
    train = _bytes(corpus.train)
    heldout = _bytes(corpus.heldout)
    length = min(HELDOUT_SEQUENCES, (len(heldout) - 1) // context) * context
    return Data(
        corpus=corpus,
        train=train.to(device),
        inputs=heldout[:length].view(-1, context).to(device),
        targets=heldout[1 : length + 1].view(-1, context).to(device),
    )


def _bytes(text: bytes) -> Tensor:
    return torch.from_numpy(np.frombuffer(text, dtype=np.uint8).astype(np.int64))
