"""Small cells to train, quantizers to train them with, and what watches them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from quantgate.formats import Format
from quantgate.gate.experiment import Run, train_cell
from quantgate.records.cell import Cell, Config
from quantgate.subjects.kinds import Recipe
from quantgate.subjects.registry import Registry
from quantgate.training.fakequant import Quantizer
from quantgate.training.model import ModelConfig, build_model
from quantgate.training.optimizers import OPTIMIZERS, OptimizerSpec

STEPS = 10


CONFIG = Config(width=32, steps=STEPS)


CELL = Cell("mine", "format", "adamw", 47, 32)


SHAPES = {tuple(p.shape) for p in build_model(ModelConfig(width=32), torch.Generator()).parameters()}


#: Scores: before the first step and at five even distances.
SCORES = 6


def subject(quantize: Quantizer | None = None, **given: Any) -> Format:
    """A registered format of 8 bits."""
    return Registry().register_format("mine", quantize, bits=8, **given)


def train(
    what: Format | Recipe, cell: Cell = CELL, config: Config = CONFIG, optimizer: OptimizerSpec | None = None
) -> Run:
    return train_cell(cell, what, optimizer or OPTIMIZERS[cell.optimizer], config)


def grid(x: Tensor) -> Tensor:
    """Multiples of 1/32, with a straight-through backward."""
    return x + ((x * 32).round() / 32 - x).detach()


def stochastic(x: Tensor) -> Tensor:
    """int8 with stochastic rounding from torch's generator."""
    scale = x.detach().abs().amax() / 127
    return x + (((x / scale) + torch.rand_like(x)).floor() * scale - x).detach()


class LearnedStep(nn.Module):
    """LSQ-like: a learnable step, made at the first call from the values that it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.step: nn.Parameter | None = None
        self.first = math.nan

    def forward(self, x: Tensor) -> Tensor:
        if self.step is None:
            self.first = float(x.detach().abs().mean()) / 8
            self.step = nn.Parameter(torch.tensor(self.first))
        scaled = x / self.step
        return (scaled + (scaled.round() - scaled).detach()) * self.step


@dataclass
class Spy:
    """An optimizer that tells what it was given: the model, its first weights, and every batch."""

    name: str = "adamw"

    def spec(self) -> OptimizerSpec:
        real = OPTIMIZERS[self.name]

        def build(trainee: nn.Module, lr: float) -> Optimizer | list[Optimizer]:
            self.first = {name: p.detach().clone() for name, p in trainee.named_parameters()}
            self.batches: list[Tensor] = []
            trainee.register_forward_pre_hook(lambda module, inputs: self.batches.append(inputs[0].clone()))
            self.trainee = trainee
            return real.build(trainee, lr)

        return replace(real, build=build)

    @property
    def training_batches(self) -> Tensor:
        return torch.stack([batch for batch in self.batches if len(batch) == 16])
