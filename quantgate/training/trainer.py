"""Training one cell: seeded, bitwise repeatable, and watched.

The model, its first weights and its batches depend on the seed and the width alone, so that a cell and its
float32 control differ in nothing but the quantizer.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from quantgate.corpus.tensors import Data
from quantgate.records.cell import Cell, Config
from quantgate.training.fakequant import QuantizedModel, watched
from quantgate.training.model import ModelConfig, TinyTransformer, build_model
from quantgate.training.optimizers import Build
from quantgate.training.watcher import Watcher

#: Sequences of a batch, each `ModelConfig.context` bytes long.
BATCH = 16
#: Points of the curve after step 0.
CURVE_POINTS = 5

#: Batches that a calibration is given.
CALIBRATION_BATCHES = 4

#: Calibrates the prepared model on batches of tokens.
Calibrate = Callable[[nn.Module, Sequence[Tensor]], object]

#: Makes the model that is trained: a `QuantizedModel`, or whatever a recipe returns.
Prepare = Callable[[TinyTransformer], nn.Module]


class Training:
    """One training of one cell. `curve` and `non_finite` hold what was reached even if it raises.

    Args:
        cell: Gives the seed and the width; `prepare` handles subject, storage and scope.
        prepare: Turns the float32 model into the one that is trained.
        data: What is trained and scored on, on the device of `config`.
        config: Steps and device.
        watcher: Told of each stage.
        calibrate: Calibrates the prepared model before its first step; None where nothing needs it.
    """

    def __init__(
        self,
        cell: Cell,
        prepare: Prepare,
        data: Data,
        config: Config,
        watcher: Watcher,
        calibrate: Calibrate | None = None,
    ) -> None:
        self.cell = cell
        self.calibrate = calibrate
        self.prepare = prepare
        self.data = data
        self.config = config
        self.watcher = watcher
        #: (step, BPB on the held-out slice) before the first step and at even distances after.
        self.curve: list[tuple[int, float]] = []
        #: The first non-finite tensor and its step.
        self.non_finite: tuple[str, int] | None = None
        #: The model as it was prepared, and trained once `run` has ended.
        self.trainee: nn.Module | None = None
        #: What the quantizers were given and gave in one step, by the parameter's name; not of in-place storage.
        self.seen: dict[str, tuple[Tensor, Tensor]] = {}
        self._noted_step = random.SystemRandom().randrange(config.steps)
        self._generator = torch.Generator().manual_seed(cell.seed)
        self._context = ModelConfig().context

    def run(self, build: Build, lr: float) -> None:
        """Train to the last step, or to the first non-finite tensor.

        Args:
            build: Makes the optimizers.
            lr: Their learning rate.
        """
        trainee = self.trainee = self._prepared()
        starts = torch.randint(
            len(self.data.train) - self._context - 1, (self.config.steps, BATCH), generator=self._generator
        ).to(self.config.device)
        built = build(trainee, lr)
        optimizers = list(built) if isinstance(built, list | tuple) else [built]
        if any(not hasattr(each, "param_groups") for each in optimizers):
            kinds = ", ".join(type(each).__name__ for each in optimizers) or "an empty list"
            raise TypeError(f"build returned {kinds}: return a torch.optim.Optimizer, or a list of them")
        self.watcher.optimizers_built(trainee, optimizers)
        every = max(1, self.config.steps // CURVE_POINTS)
        peaks = [(group, group["lr"]) for each in optimizers for group in each.param_groups if "lr" in group]
        self._score(trainee, 0)
        for step in range(self.config.steps):
            self._set_rates(peaks, step)
            self._step(trainee, optimizers, starts[step], step)
            self.watcher.stepped(step + 1)
            if self.non_finite is not None:
                self.curve.append((step + 1, math.nan))
                break
            if (step + 1) % every == 0 or step + 1 == self.config.steps:
                self._score(trainee, step + 1)

    def _set_rates(self, peaks: Sequence[tuple[dict[str, Any], Any]], step: int) -> None:
        # Not by torch's schedulers: they patch `step`, and refuse what only has `param_groups`.
        if self.config.schedule is None:
            return
        share = self.config.schedule.share(step, self.config.steps)
        for group, peak in peaks:
            group["lr"] = peak * share

    def _prepared(self) -> nn.Module:
        model = build_model(ModelConfig(width=self.cell.width), self._generator).to(self.config.device)
        self.watcher.model_built(model)
        trainee = self.prepare(model)
        if not isinstance(trainee, nn.Module):
            raise TypeError(
                f"prepare returned {type(trainee).__name__}, not a module: return the model, also where it was "
                "prepared in place"
            )
        if self.calibrate is not None:
            self.calibrate(trainee, self._calibration_batches())
        if _stores_in_place(trainee):
            before = _copies(trainee.model)
            _store(trainee)
            self.watcher.stored(before, dict(trainee.model.named_parameters()))
        elif isinstance(trainee, QuantizedModel) and trainee.has_modules:
            with torch.no_grad():  # modules that make their parameters at the first call make them before
                trainee(self.data.inputs[:1])  # the optimizer asks for them
        self.watcher.prepared(trainee, self.data)
        return trainee

    def _calibration_batches(self) -> list[Tensor]:
        generator = torch.Generator().manual_seed(
            self.cell.seed
        )  # its own: the batches of the training stay the same
        last = len(self.data.train) - self._context
        starts = torch.randint(last, (CALIBRATION_BATCHES, BATCH, 1), generator=generator)
        places = (starts + torch.arange(self._context)).to(self.config.device)
        return list(self.data.train[places])

    def _step(self, trainee: nn.Module, optimizers: Sequence[Optimizer], starts: Tensor, step: int) -> None:
        windows = self.data.train[starts[:, None] + torch.arange(self._context + 1, device=starts.device)]
        keep = not _stores_in_place(trainee) and self.watcher.wants_gradients(step)
        with self.watcher.watching(step, trainee) if keep else nullcontext():
            logits, weights = _forward(trainee, windows[:, :-1], keep=keep)
        if step == self._noted_step and isinstance(trainee, QuantizedModel) and trainee.read_quantized:
            parameters = dict(trainee.model.named_parameters())
            self.seen = {n: (parameters[n].detach().clone(), q.detach().clone()) for n, q in weights.items()}
        loss = _cross_entropy(logits, windows[:, 1:])
        trainee.zero_grad()  # not the optimizers': a parameter that none of them holds has a gradient too
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
        if (name := _first_non_finite(loss, trainee, weights)) is not None:
            self.non_finite = (name, step)
            return
        if _stores_in_place(trainee):
            self._step_in_place(trainee, optimizers, measure=self.watcher.wants_update(step))
            return
        if keep:
            self.watcher.differentiated(step, trainee, weights)
            if isinstance(trainee, QuantizedModel):
                trainee.seen_inputs = None
        for each in optimizers:
            each.step()

    def _step_in_place(
        self, trainee: QuantizedModel, optimizers: Sequence[Optimizer], *, measure: bool
    ) -> None:
        before = _copies(trainee.model) if measure else {}
        for each in optimizers:
            each.step()
        intended = {
            name: p.detach() - before[name] for name, p in trainee.model.named_parameters() if measure
        }
        _store(trainee)
        if measure:
            self.watcher.updated(before, intended, dict(trainee.model.named_parameters()))

    @torch.no_grad()
    def _score(self, trainee: nn.Module, step: int) -> None:
        loss = _cross_entropy(trainee(self.data.inputs), self.data.targets)
        score = loss.item() / math.log(2)
        self.curve.append((step, score))
        self.watcher.scored(step, score)


def _forward(trainee: nn.Module, tokens: Tensor, *, keep: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits, and the quantized weights that gave them; with `keep`, both they and the inputs will hold gradients."""
    if not isinstance(trainee, QuantizedModel):
        return trainee(tokens), {}
    weights = trainee.weights()
    if keep:
        trainee.seen_inputs = []
        weights = {name: watched(q) for name, q in weights.items()}
    return trainee(tokens, weights), weights


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def _first_non_finite(loss: Tensor, trainee: nn.Module, weights: Mapping[str, Tensor]) -> str | None:
    """The first tensor that is not finite, in the order in which they are computed; None where all are."""
    gradients = {name: p.grad for name, p in trainee.named_parameters() if p.grad is not None}
    total = torch.nn.utils.get_total_norm(gradients.values()) if gradients else loss.detach()
    if math.isfinite(loss.item()) and math.isfinite(total.item()):
        return None
    suspects = {
        **{f"weight {name}": p for name, p in trainee.named_parameters()},
        **{f"quantized weight {name}": q for name, q in weights.items()},
        "the loss": loss,
        **{f"gradient of {name}": gradient for name, gradient in gradients.items()},
    }
    return next((name for name, t in suspects.items() if not torch.isfinite(t).all()), "the gradient norm")


def _stores_in_place(trainee: nn.Module) -> TypeGuard[QuantizedModel]:
    return isinstance(trainee, QuantizedModel) and not trainee.read_quantized


def _copies(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


@torch.no_grad()
def _store(trainee: QuantizedModel) -> None:
    named = dict(trainee.model.named_parameters())
    for name, q in trainee.quantize(named).items():
        named[name].copy_(q)
