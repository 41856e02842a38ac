"""The probes of a training: a watcher that measures weights, gradients and updates at a few of its steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from quantgate.diagnosis.evidence import Evidence, LearnedScale, TensorEvidence
from quantgate.probes.crash import describe
from quantgate.probes.learned import Role, roles
from quantgate.probes.movement import Movement
from quantgate.probes.optimizers import Agreement, Independence, agreement, independence
from quantgate.probes.quantizer.scale import differs
from quantgate.probes.recipe.layers import Layer, layers_of
from quantgate.probes.recipe.prepared import PreparedProbes
from quantgate.probes.tensors import tensor_evidence
from quantgate.training.fakequant import QuantizedModel, Quantizer
from quantgate.training.model import TinyTransformer
from quantgate.training.optimizers import OPTIMIZERS, OptimizerSpec
from quantgate.training.watcher import Watcher

#: In-place storage: every so many steps the intended update is compared with what was stored.
SURVIVAL_EVERY = 5

#: After so many steps stochastic rounding has moved nearly every element, also where an update is 7% of a code.
LONG_ENOUGH = 40

#: Of a quantizer that cannot be asked: no rule speaks of its parameters.
UNKNOWN = Role(is_scale=False, used=False)

#: Told of each step and, where it was scored, its BPB.
Progress = Callable[[int, float | None], None]


class TrainingProbes(Watcher):
    """Collects the evidence of one training: tensors at its first, middle and last step, and what storage keeps.

    Args:
        steps: Steps of the training.
        optimizer: What trains; one that is not built in is probed too.
        progress: Told of each step and score.
        bits: Declared bits of the subject; None where unknown.
        static: Whether it was calibrated, and its scales are not to follow.
        export: decode(encode(x)) of a format whose weights are exported with a codec of its own, and repeat.
    """

    def __init__(
        self,
        steps: int,
        optimizer: OptimizerSpec,
        progress: Progress | None = None,
        *,
        bits: float | None = None,
        static: bool = False,
        export: Quantizer | None = None,
    ) -> None:
        self._optimizer = optimizer
        self._export, self._last = export, steps - 1
        self._export_differs: tuple[float, str] | None = None
        self._bits, self._static = bits, static
        self._progress = progress or (lambda step, score: None)
        self._probed = {0, steps // 2, steps - 1}
        self._half = steps // 2
        self._layers: tuple[Layer, ...] = ()
        self._prepared: PreparedProbes | None = None
        self._not_measured: dict[str, str] = {}
        self._weights: list[TensorEvidence] = []
        self._orphans: tuple[str, ...] = ()
        self._learned: dict[str, LearnedScale] = {}
        self._models_own: set[str] = set()
        self._range_moved = False
        self._roles: dict[int, Role] = {}
        self._agreement: Agreement | None = None
        self._independence: Independence | None = None
        self._survived = 0.0
        self._intended = 0.0
        self._movement = Movement()
        self._unmoved: float | None = None
        self._optimizers: Sequence[Optimizer] = ()

    def evidence(self, examined: Evidence) -> Evidence:
        """What was measured so far, beside what the quantizer alone showed."""
        trained = self._export_differs
        if trained is not None and trained[0] > (examined.export_differs or 0.0):
            examined = replace(examined, export_differs=trained[0], export_tensor=trained[1])
        found = replace(
            examined,
            weights=tuple(self._weights),
            frozen=self._orphans,
            not_measured=(*examined.not_measured, *self._not_measured.items()),
            learned=tuple(self._learned.values()),
            range_moved=self._range_moved,
            optimizer_cosine=None if self._agreement is None else self._agreement.small,
            optimizer_agreement=None if self._agreement is None else self._agreement.large,
            optimizer_direction=None if self._agreement is None else self._agreement.cosine,
            optimizer_size=None if self._agreement is None else self._agreement.size,
            optimizer_smaller=None if self._agreement is None else self._agreement.small_both_ways,
            optimizer_regions=None if self._agreement is None else self._agreement.regions,
            optimizer_algorithm=None if self._agreement is None else self._agreement.algorithm,
            optimizer_still=None if self._independence is None else self._independence.still,
            optimizer_alone=None if self._independence is None else self._independence.alone,
            optimizer_follows=None if self._independence is None else self._independence.tensor,
            unmoved=self._unmoved,
            update_survival=self._survived / self._intended if self._intended else None,
        )
        return found if self._prepared is None else self._prepared.joined(found)

    def model_built(self, model: TinyTransformer) -> None:
        self._layers = layers_of(model)
        self._models_own = {name for name, _ in model.named_parameters()}

    def stored(self, before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> None:
        self._weights = [tensor_evidence(name, 0, before[name], q, None, None) for name, q in after.items()]

    def optimizers_built(self, trainee: nn.Module, optimizers: Sequence[Optimizer]) -> None:
        self._optimizers = optimizers
        self._orphans = self._not_held(trainee)
        if self._optimizer.name not in OPTIMIZERS:
            found = agreement(self._optimizer.build, self._optimizer.reference)
            if isinstance(found, Agreement):
                self._agreement = found
            else:
                self._not_measured["optimizer state"] = found
            self._independence = independence(self._optimizer.build)

    def _not_held(self, trainee: nn.Module) -> tuple[str, ...]:
        held = {id(p) for each in self._optimizers for group in each.param_groups for p in group["params"]}
        return tuple(name for name, p in trainee.named_parameters() if p.requires_grad and id(p) not in held)

    def wants_gradients(self, step: int) -> bool:
        return step in self._probed

    def differentiated(self, step: int, trainee: nn.Module, weights: Mapping[str, Tensor]) -> None:
        self._note_movement(step, trainee)
        if not isinstance(trainee, QuantizedModel):
            if self._prepared is not None:
                self._prepared.differentiated(step, trainee)
            return
        named = {id(p): name for name, p in trainee.learned.named_parameters()}
        quantizers = [quantizer for _, quantizer in trainee.input_quantizers]
        read = [
            *(
                (f"input of linear {place}", x, q, quantizers[place])
                for place, (x, q) in enumerate(trainee.seen_inputs or ())
            ),
            *(
                (name, x, weights[name], trainee.weight_quantizers[name])
                for name, x in trainee.model.named_parameters()
            ),
        ]
        for name, x, q, quantizer in read:
            seen = tensor_evidence(name, step, x, q, x.grad, q.grad)
            self._weights.append(seen)
            if self._export is not None and step == self._last and name in weights:
                self._note_export(name, q.detach(), self._export(x.detach().clone()))
            if isinstance(quantizer, nn.Module):
                self._note_learned(quantizer, x, seen.snr, named)

    @contextmanager
    def watching(self, step: int, trainee: nn.Module) -> Iterator[None]:
        if isinstance(trainee, QuantizedModel):
            yield
            return
        if self._prepared is None:
            self._prepared = PreparedProbes(
                self._layers, frozenset(self._models_own), self._bits, self._static
            )
        with self._prepared.watching(trainee):
            yield

    def _note_movement(self, step: int, trainee: nn.Module) -> None:
        """What moved in the second half, when what was stored lies on the grid; and what a recipe renewed."""
        try:
            with torch.no_grad():
                if step == self._half:
                    self._movement.note(trainee.named_parameters())
                elif step > self._half + LONG_ENOUGH:
                    self._unmoved = self._movement.unmoved(trainee.named_parameters())
        except Exception as error:  # tensors of a library's own kind
            self._not_measured["stored updates"] = describe(error)
        self._orphans = tuple(dict.fromkeys((*self._orphans, *self._not_held(trainee))))

    def _note_learned(self, quantizer: nn.Module, x: Tensor, snr: float, named: Mapping[int, str]) -> None:
        learned = {own: p for own, p in quantizer.named_parameters() if p.requires_grad}
        if learned and not any(id(p) in self._roles for p in learned.values()):
            found = roles(quantizer, x)
            self._roles |= {id(p): found.get(own, UNKNOWN) for own, p in learned.items()}
        for p in learned.values():
            name, role = named[id(p)], self._roles[id(p)]
            smallest, moved = float(p.detach().min()), p.grad is not None and bool(p.grad.any())
            before = self._learned.get(name)
            self._range_moved |= role.used and before is not None and smallest != before.smallest_after
            self._learned[name] = LearnedScale(
                name,
                smallest if before is None else before.smallest_before,
                smallest,
                moved or (before is not None and before.has_gradient),
                reached=p.grad is not None or (before is not None and before.reached),
                is_scale=role.is_scale,
                learns_clipped=role.learns_clipped,
                snr_before=snr if before is None else before.snr_before,
                snr_after=snr,
                used=role.used,
            )

    def _note_export(self, name: str, trained: Tensor, exported: Tensor) -> None:
        share = differs(trained, exported)
        if self._export_differs is None or share > self._export_differs[0]:
            self._export_differs = share, name

    def wants_update(self, step: int) -> bool:
        return step % SURVIVAL_EVERY == 0

    def updated(
        self, before: Mapping[str, Tensor], intended: Mapping[str, Tensor], after: Mapping[str, Tensor]
    ) -> None:
        for name, p in after.items():
            step = intended[name].flatten()
            self._survived += float(step.dot((p.detach() - before[name]).flatten()))
            self._intended += float(step.dot(step))

    def stepped(self, step: int) -> None:
        self._progress(step, None)

    def scored(self, step: int, score: float) -> None:
        self._progress(step, score)
