"""Training one cell: seeded, bitwise repeatable, and watched by the probes.

The model, its first weights and its batches depend on the seed and the width alone, so that a cell and its
float32 control differ in nothing but the quantizer.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from quantgate.records.cell import Cell, Config
from quantgate.probes.recipes import uncovered_linears
from quantgate.corpus.tensors import Data, load_data
from quantgate.diagnosis.evidence import Evidence, LearnedScale, NonFinite, TensorEvidence
from quantgate.training.fakequant import QuantizedModel, Quantizer, straight_through, watched
from quantgate.formats import Format
from quantgate.training.model import ModelConfig, TinyTransformer, build_model
from quantgate.training.optimizers import OPTIMIZERS, OptimizerSpec
from quantgate.probes.optimizers import update_cosine
from quantgate.probes.quantizers import describe, examine_quantizer, tensor_evidence
from quantgate.subjects.registry import FunctionCodec, Recipe, Subject

#: Sequences of a batch, each `ModelConfig.context` bytes long.
BATCH = 16
#: Points of the curve after step 0.
CURVE_POINTS = 5
#: In-place storage: every so many steps the intended update is compared with what was stored.
SURVIVAL_EVERY = 5


@dataclass(frozen=True)
class Run:
    """What a training gave: the curve, the evidence and the rate it ran at."""

    curve: tuple[tuple[int, float], ...]
    evidence: Evidence
    lr: float
    seconds: float


def quantizer_factory(subject: Format) -> Callable[[], Quantizer]:
    """Makes the quantizer of one parameter: the subject's own backward, or the straight-through estimator."""
    codec = subject.codec
    if isinstance(codec, FunctionCodec):
        return codec.make
    return lambda: straight_through(subject.fake_quantize)


def examine_format(subject: Format, device: str) -> Evidence:
    """The probes of a format's quantizer alone."""
    codec = subject.codec
    export = codec.export if isinstance(codec, FunctionCodec) else None
    return examine_quantizer(
        quantizer_factory(subject),
        name=subject.name,
        fresh=isinstance(codec, FunctionCodec) and codec.factory is not None,
        export=None if export is None else export.fake_quantize,
        device=device,
    )


#: Told of each step and, where it was scored, its BPB.
Watch = Callable[[int, float | None], None]


def train_cell(
    cell: Cell, subject: Subject, optimizer: OptimizerSpec, config: Config, watch: Watch | None = None
) -> Run:
    """Train a cell. What the subject raises, returns or spoils is evidence, never an exception.

    Raises:
        CorpusError: The corpus cannot be used.
        RuntimeError: The device does not exist.
    """
    started = time.perf_counter()
    lr = optimizer.rate(cell.width) if config.lr is None else config.lr
    with _reproducible(cell.seed, config.device):
        data = load_data(config.corpus, ModelConfig().context, config.device)
        evidence = Evidence()
        if isinstance(subject, Format):
            evidence = examine_format(subject, config.device)
        curve: tuple[tuple[int, float], ...] = ()
        torch.manual_seed(cell.seed)  # the probes seed the generator for themselves
        if evidence.contract is None and evidence.crash is None:
            experiment = _Experiment(cell, subject, data, config, watch)
            try:
                curve = experiment.train(optimizer, lr)
                evidence = experiment.evidence(evidence)
            except Exception as error:  # the subject's own code may raise anything: it is this cell's result
                curve = tuple(experiment.curve)
                evidence = replace(experiment.evidence(evidence), crash=describe(error))
    return Run(curve, evidence, lr, time.perf_counter() - started)


class _Experiment:
    """One model, one subject, one training."""

    def __init__(self, cell: Cell, subject: Subject, data: Data, config: Config, watch: Watch | None) -> None:
        self.cell = cell
        self.subject = subject
        self.data = data
        self.config = config
        self.watch = watch or (lambda step, score: None)
        self.curve: list[tuple[int, float]] = []
        self.non_finite: NonFinite | None = None
        self.weights: list[TensorEvidence] = []
        self.orphans: tuple[str, ...] = ()
        self.uncovered: tuple[int, int] | None = None
        self.unreached: tuple[int, int] | None = None
        self.learned: dict[str, LearnedScale] = {}
        self.optimizer_cosine: float | None = None
        self.survived = 0.0
        self.intended = 0.0
        self.generator = torch.Generator().manual_seed(cell.seed)
        self.context = ModelConfig().context

    def evidence(self, examined: Evidence) -> Evidence:
        """What was seen so far, beside what the quantizer alone showed."""
        return replace(
            examined,
            weights=tuple(self.weights),
            non_finite=self.non_finite,
            frozen=self.orphans,
            uncovered=self.uncovered,
            unreached=self.unreached,
            learned=tuple(self.learned.values()),
            optimizer_cosine=self.optimizer_cosine,
            update_survival=self.survived / self.intended if self.intended else None,
        )

    def train(self, optimizer: OptimizerSpec, lr: float) -> tuple[tuple[int, float], ...]:
        """The curve: (step, BPB on the held-out slice) before the first step and at even distances after."""
        model = build_model(ModelConfig(width=self.cell.width), self.generator).to(self.config.device)
        trainee = self._prepare(model)
        starts = torch.randint(
            len(self.data.train) - self.context - 1, (self.config.steps, BATCH), generator=self.generator
        ).to(self.config.device)
        built = optimizer.build(trainee, lr)
        optimizers = built if isinstance(built, list) else [built]
        self.orphans = _orphans(trainee, optimizers)
        if optimizer.name not in OPTIMIZERS:
            self.optimizer_cosine = update_cosine(optimizer.build)
        every = max(1, self.config.steps // CURVE_POINTS)
        probed = {0, self.config.steps // 2, self.config.steps - 1}
        self._score(trainee, 0)
        for step in range(self.config.steps):
            self._step(trainee, optimizers, starts[step], step, probe=step in probed)
            self.watch(step + 1, None)
            if self.non_finite is not None:
                self.curve.append((step + 1, math.nan))
                break
            if (step + 1) % every == 0 or step + 1 == self.config.steps:
                self._score(trainee, step + 1)
        return tuple(self.curve)

    def _prepare(self, model: TinyTransformer) -> nn.Module:
        if isinstance(self.subject, Recipe):
            body = sum(isinstance(module, nn.Linear) for module in model.modules()) - 1
            prepared = self.subject.prepare(model)
            with torch.no_grad():
                self.uncovered = uncovered_linears(prepared, self.data.inputs[:1], body=body)
            return prepared
        in_place = self.cell.storage == "inplace"
        trainee = QuantizedModel(
            model,
            quantizer_factory(self.subject),
            activations=self.cell.scope == "weights+activations",
            read_quantized=not in_place,
        )
        if in_place:
            before = {name: p.detach().clone() for name, p in model.named_parameters()}
            _store(trainee)
            self.weights = [
                tensor_evidence(name, 0, before[name], p, None, None) for name, p in model.named_parameters()
            ]
        elif any(isinstance(q, nn.Module) for q in trainee.weight_quantizers.values()):
            with torch.no_grad():  # modules that make their parameters at the first call make them before
                trainee(self.data.inputs[:1])  # the optimizer asks for them
        return trainee

    def _step(
        self, trainee: nn.Module, optimizers: list[Optimizer], starts: Tensor, step: int, *, probe: bool
    ) -> None:
        windows = self.data.train[starts[:, None] + torch.arange(self.context + 1, device=starts.device)]
        weights: dict[str, Tensor] = {}
        if isinstance(trainee, QuantizedModel):
            weights = trainee.weights()
            if probe:
                weights = {name: watched(q) for name, q in weights.items()}
                trainee.seen_inputs = []
            logits = trainee(windows[:, :-1], weights)
        else:
            logits = trainee(windows[:, :-1])
        loss = _cross_entropy(logits, windows[:, 1:])
        trainee.zero_grad()  # not the optimizers': a parameter that none of them holds has a gradient too
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
        self._check_finite(loss, trainee, weights, step)
        if self.non_finite is not None:
            return
        if isinstance(trainee, QuantizedModel) and not trainee.read_quantized:
            self._step_in_place(trainee, optimizers, measure=step % SURVIVAL_EVERY == 0)
            return
        if probe:
            self._probe(trainee, weights, step)
        for each in optimizers:
            each.step()

    def _probe(self, trainee: nn.Module, weights: Mapping[str, Tensor], step: int) -> None:
        if not isinstance(trainee, QuantizedModel):
            parameters = [p for p in trainee.parameters() if p.requires_grad]
            lost = sum(p.grad is None or not bool(p.grad.any()) for p in parameters)
            self.unreached = (lost, len(parameters))
            return
        for place, (x, q) in enumerate(trainee.seen_inputs or ()):
            self.weights.append(tensor_evidence(f"input of linear {place}", step, x, q, x.grad, q.grad))
        trainee.seen_inputs = None
        for name, x in trainee.model.named_parameters():
            self.weights.append(tensor_evidence(name, step, x, weights[name], x.grad, weights[name].grad))
        for name, p in trainee.learned.named_parameters():
            smallest, moved = float(p.detach().min()), p.grad is not None and bool(p.grad.any())
            before = self.learned.get(name)
            self.learned[name] = LearnedScale(
                name,
                smallest if before is None else before.smallest_before,
                smallest,
                moved or (before is not None and before.has_gradient),
            )

    def _step_in_place(self, trainee: QuantizedModel, optimizers: list[Optimizer], *, measure: bool) -> None:
        """A step, and the weights requantized after it; every so often, how much of the step survives that."""
        before = {n: p.detach().clone() for n, p in trainee.model.named_parameters()} if measure else {}
        for each in optimizers:
            each.step()
        intended = {n: p.detach() - before[n] for n, p in trainee.model.named_parameters()} if measure else {}
        _store(trainee)
        for name, p in trainee.model.named_parameters():
            if measure:
                step = intended[name].flatten()
                self.survived += float(step.dot((p.detach() - before[name]).flatten()))
                self.intended += float(step.dot(step))

    def _check_finite(
        self, loss: Tensor, trainee: nn.Module, weights: Mapping[str, Tensor], step: int
    ) -> None:
        gradients = {n: p.grad for n, p in trainee.named_parameters() if p.grad is not None}
        total = torch.nn.utils.get_total_norm(gradients.values()) if gradients else loss.detach()
        if math.isfinite(loss.item()) and math.isfinite(total.item()):
            return
        suspects = {
            **{f"weight {name}": p for name, p in trainee.named_parameters()},
            **{f"quantized weight {name}": q for name, q in weights.items()},
            "the loss": loss,
            **{f"gradient of {name}": gradient for name, gradient in gradients.items()},
        }
        first = next(
            (name for name, t in suspects.items() if not torch.isfinite(t).all()), "the gradient norm"
        )
        self.non_finite = NonFinite(first, step)

    @torch.no_grad()
    def _score(self, trainee: nn.Module, step: int) -> None:
        loss = _cross_entropy(trainee(self.data.inputs), self.data.targets)
        score = loss.item() / math.log(2)
        self.curve.append((step, score))
        self.watch(step, score)


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


@torch.no_grad()
def _store(trainee: QuantizedModel) -> None:
    named = dict(trainee.model.named_parameters())
    for name, q in trainee.quantize(named).items():
        named[name].copy_(q)


def _orphans(trainee: nn.Module, optimizers: list[Optimizer]) -> tuple[str, ...]:
    held = {id(p) for each in optimizers for group in each.param_groups for p in group["params"]}
    return tuple(name for name, p in trainee.named_parameters() if p.requires_grad and id(p) not in held)


@contextmanager
def _reproducible(seed: int, device: str) -> Iterator[None]:
    """One thread, a seeded generator and deterministic kernels; all as before afterwards."""
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    accelerator = torch.device(device).type
    devices = [torch.device(device).index or 0] if accelerator != "cpu" else []
    if accelerator == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with torch.random.fork_rng(devices=devices, device_type=accelerator if devices else "cuda"):
        try:
            torch.set_num_threads(1)
            if devices:
                torch.use_deterministic_algorithms(True, warn_only=True)
            torch.manual_seed(seed)
            with torch.enable_grad():
                yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
