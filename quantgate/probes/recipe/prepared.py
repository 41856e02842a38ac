"""The probes of a model that a recipe prepared, over a training: its layers, what it learns, how its weights round."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace

import torch
from torch import Tensor, nn

from quantgate.diagnosis.evidence import (
    Evidence,
    LearnedScale,
    RelationEvidence,
    RoundingEvidence,
    TensorEvidence,
)
from quantgate.probes.crash import describe
from quantgate.probes.learned import is_scale_of_layer, is_used_by_layer
from quantgate.probes.quantizer.precision import codes_used
from quantgate.probes.quantizer.scale import Scaling, scaling
from quantgate.probes.recipe.layers import Layer
from quantgate.probes.recipe.masters import Master, masters_of
from quantgate.probes.recipe.watch import LayerWatch
from quantgate.probes.recipe.weight_quantizer import mode_mismatch, weight_evidence, weight_quantizer

#: A grid of one or two bits may have a constant scale by design: its signs are what is learned.
LEAST_BITS_FOLLOWING = 3


class PreparedProbes:
    """Collects the evidence of a recipe's model at the probed steps.

    Args:
        layers: The layers that the model had in float32.
        models_own: The names of the parameters that it had.
        bits: Declared bits of the recipe; None where unknown.
        static: Whether the recipe was calibrated, and its scales are not to follow.
    """

    def __init__(
        self, layers: tuple[Layer, ...], models_own: frozenset[str], bits: float | None, static: bool
    ) -> None:
        self._layers, self._models_own, self._bits, self._static = layers, models_own, bits, static
        self._watch: LayerWatch | None = None
        self._weights: list[TensorEvidence] = []
        #: Of no layers, until they are measured: what is asked of formats is not asked of recipes.
        self._uncovered: tuple[int, int] = (0, 0)
        self._asked = False
        self._covers_others = False
        self._unreached: tuple[int, int] | None = None
        self._learned: dict[str, LearnedScale] = {}
        #: What the recipe added to the model and learns, as it was at the first probed step.
        self._added: dict[str, Tensor] = {}
        self._range_moved = False
        self._rounding: RoundingEvidence | None = None
        self._relations = RelationEvidence()
        self._scaling = Scaling()
        self._codes_used: float | None = None
        self._modes: str | None = None
        self._not_measured: dict[str, str] = {}

    def watching(self, trainee: nn.Module) -> AbstractContextManager[None]:
        """Surrounds the forward pass of a probed step."""
        self._watch = LayerWatch(trainee, self._layers)
        return self._watch.forward()

    def differentiated(self, step: int, trainee: nn.Module) -> None:
        """Measure a probed step; gradients are there, and the optimizers have not stepped."""
        watch = self._watch
        assert watch is not None
        try:
            masters = masters_of(watch.found, self._layers)
            with torch.no_grad():
                self._weights += watch.evidence(step, masters)
                self._uncovered, self._covers_others = watch.coverage(masters)
                if not self._asked:
                    self._asked = True
                    self._ask_quantizer(watch, masters)
                    self._ask_modes(watch, masters)
                self._unreached = watch.unreached()
        except Exception as error:  # tensors of a library's own kind, which need not take part in any of this
            self._not_measured["layers"] = describe(error)
        for path in watch.open:
            self._not_measured[f"values of {path}.weight"] = "its inputs are quantized out of sight"
        measured = {tensor.tensor for tensor in self._weights}
        for layer in self._layers:
            if f"{layer.path}.weight" not in measured:
                reason = (
                    "no module of its name" if layer.path in watch.lost else "no float32 weight behind it"
                )
                self._not_measured[f"{layer.path}.weight"] = reason
        self._note_added(trainee, watch)

    def joined(self, evidence: Evidence) -> Evidence:
        """The evidence, with what was measured here."""
        return replace(
            evidence,
            weights=tuple(self._weights),
            uncovered=self._uncovered,
            covers_others=self._covers_others,
            unreached=self._unreached,
            learned=tuple(self._learned.values()),
            range_moved=self._range_moved,
            rounding=self._rounding,
            relations=self._relations,
            scale_follows=self._scaling.follows,
            late_gain=self._scaling.late_gain,
            codes_used=self._codes_used,
            mode_mismatch=self._modes,
            not_measured=(*evidence.not_measured, *self._not_measured.items()),
        )

    def _ask_quantizer(self, watch: LayerWatch, masters: dict[str, Master]) -> None:
        """Ask the quantizer of one linear layer of the body, as a format's is asked."""
        reason = "no layer of the body has a float32 weight that it quantizes"
        for layer in sorted(self._layers, key=lambda each: -each.weight.numel()):
            master, module = masters.get(layer.path), watch.found.get(layer.path)
            if not layer.body or master is None or module is None:
                continue
            seen = watch.weight_of(layer.path, master)
            if seen is None or torch.equal(seen, master.values):
                continue
            make = weight_quantizer(module, layer, master.parameter, master.values, seen)
            if isinstance(make, str):
                reason = make
                continue
            peak = float(master.values.abs().max())
            rows, columns = master.values.shape
            rounding, self._relations = weight_evidence(make, (rows, columns), peak, self._bits)
            learns = any(
                name != master.parameter and p.requires_grad for name, p in module.named_parameters()
            )
            if learns:  # a scale that is learned need not fit the ramp, nor learned rounding keep its order
                self._relations = replace(self._relations, falls=None)
            else:
                self._rounding = rounding
            few = self._bits is not None and self._bits < LEAST_BITS_FOLLOWING
            if not (learns or few or self._static):
                with torch.random.fork_rng(devices=[]):
                    self._scaling = scaling(make(), master.values.clone(), keeps_state=True)
                    if rounding.uniform:
                        self._codes_used = codes_used(make, "cpu", (rows, columns))
            return
        self._not_measured["rounding and relations of weights"] = reason

    def _ask_modes(self, watch: LayerWatch, masters: dict[str, Master]) -> None:
        """Ask each linear layer whether it quantizes where it is trained, scored and deployed alike."""
        for layer in self._layers:
            master, module = masters.get(layer.path), watch.found.get(layer.path)
            if self._modes is None and layer.kind == "Linear" and master is not None and module is not None:
                self._modes = mode_mismatch(module, layer.path, master)

    def _note_added(self, trainee: nn.Module, watch: LayerWatch) -> None:
        for name, p in trainee.named_parameters():
            plain_name = name.replace("parametrizations.", "").removesuffix(".original")
            if plain_name in self._models_own or not p.requires_grad or type(p) is not nn.Parameter:
                continue
            first = self._added.setdefault(name, p.detach().clone())
            if not first.numel() or first.shape != p.shape:
                continue
            self._range_moved |= not torch.equal(first, p.detach())
            before, after = float(first.min()), float(p.detach().min())
            if p.grad is not None and name in self._learned and not self._learned[name].reached:
                del self._learned[name]
            if before > 0 >= after:
                self._note_learned(name, p, watch, before, after, crossed=True)
            elif p.grad is None and name not in self._learned:
                self._note_learned(name, p, watch, before, after, crossed=False)

    def _note_learned(
        self,
        name: str,
        p: nn.Parameter,
        watch: LayerWatch,
        before: float,
        after: float,
        *,
        crossed: bool,
    ) -> None:
        """What a recipe learns was positive and is not any more, or gets no gradient: no matter, unless it is used."""
        for path, module in watch.found.items():
            own = [inner for inner, each in module.named_parameters() if each is p]
            weight = max(module.named_parameters(), key=lambda named: named[1].numel(), default=("", p))[0]
            call = watch.calls.get(path)
            if not own or call is None or own[0] == weight:
                continue
            scales = crossed and is_scale_of_layer(module, own[0], weight, call.x)
            used = not crossed and is_used_by_layer(module, own[0], call.x)
            if scales or used:
                self._learned[name] = LearnedScale(
                    name,
                    before,
                    after,
                    has_gradient=crossed,
                    reached=crossed,
                    is_scale=scales,
                    used=used or scales,
                )
