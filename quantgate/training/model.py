"""The tiny character model that every cell trains.

A pre-norm transformer over ASCII bytes, made of plain `nn.Embedding` and `nn.Linear` so that libraries
which swap modules work on it. Three things differ from a textbook one, each because a gate needs it:

* **No path bypasses the body.** The MLP has no skip connection, so a body of zeros gives logits of zeros and
  a score of exactly log2(128) = 7 bits per byte. With the usual skip a dead body learns as well as a live one.
* **Every parameter is a matrix that can be quantized**: no bias and no learnable norm, so there is no float32
  parameter to learn around a dead matrix.
* **It starts at chance.** The head's first weights are a quarter of the others' size, so that the first score
  is 7.1 bits per byte and a model that never moves stays at the line where dead ones are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

VOCABULARY = 128

#: Size of the head's first weights beside the others'.
HEAD_SCALE = 0.25


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a `TinyTransformer`."""

    #: Residual width d; a multiple of 16.
    width: int = 64
    #: Blocks.
    depth: int = 1
    #: Bytes that a sequence holds.
    context: int = 64
    #: Rows of the embedding and of the head.
    vocabulary: int = VOCABULARY

    @property
    def heads(self) -> int:
        """Attention heads, 16 or 32 channels each."""
        return max(1, self.width // 32)


class Block(nn.Module):
    """Causal attention with a skip connection, then an MLP without one; both read a normed input."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d = config.width
        self.heads = config.heads
        self.qkv = nn.Linear(d, 3 * d, bias=False)
        self.proj = nn.Linear(d, d, bias=False)
        self.up = nn.Linear(d, 2 * d, bias=False)
        self.down = nn.Linear(2 * d, d, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, time, d = x.shape
        qkv = self.qkv(norm(x)).view(batch, time, 3, self.heads, d // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # 3 x (batch, heads, time, d / heads)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).reshape(batch, time, d))
        mixed: Tensor = self.down(F.gelu(self.up(norm(x)), approximate="tanh"))
        return mixed


class TinyTransformer(nn.Module):
    """Bytes (batch, time) in, logits (batch, time, vocabulary) out."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocabulary, config.width)
        self.position = nn.Embedding(config.context, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.head = nn.Linear(config.width, config.vocabulary, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        positions = torch.arange(tokens.shape[-1], device=tokens.device)
        x = self.embed(tokens) + self.position(positions)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(norm(x))
        return logits


def norm(x: Tensor) -> Tensor:
    """Root-mean-square norm over the last axis, with nothing to learn."""
    return F.rms_norm(x, (x.shape[-1],))


def build_model(config: ModelConfig, generator: torch.Generator) -> TinyTransformer:
    """A model whose weights are drawn from `generator` alone: N(0, 1 / columns), the head's 1/16 of that."""
    model = TinyTransformer(config)
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0.0, 1 / math.sqrt(p.shape[-1]), generator=generator)
        model.head.weight.mul_(HEAD_SCALE)
    return model
