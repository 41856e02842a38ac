"""What is registered: formats, recipes, optimizers and trainers by name, the built-in ones and the user's.

Names are looked up here and nowhere else, and an unknown one is an error that lists the nearest known: there
is no fallback. In the incident an unknown format name silently trained in float32 and won.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from quantgate.formats import ALIASES, BUILTIN, Format
from quantgate.subjects.codecs import FunctionCodec, PairCodec
from quantgate.subjects.declarations import conforming, place_of_caller, promises_what_it_can, sharing, waived
from quantgate.subjects.kinds import Recipe, Subject
from quantgate.subjects.names import (
    RegistrationError,
    UnknownNameError,
    check_name,
    require_callable,
    require_factory,
    require_positive,
    unknown,
    why_not_of_one_argument,
)
from quantgate.subjects.paths import resolve
from quantgate.subjects.trainers import Trainer, TrainerRegistry
from quantgate.training.optimizers import OPTIMIZERS, Build, OptimizerSpec

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass
class Registry(TrainerRegistry):
    """The user's own formats, recipes, optimizers and trainers, beside the built-in ones."""

    _formats: dict[str, Format] = field(default_factory=dict)
    _recipes: dict[str, Recipe] = field(default_factory=dict)
    _optimizers: dict[str, OptimizerSpec] = field(default_factory=dict)
    #: Where each was registered, `conftest.py:5`.
    _places: dict[str, str] = field(default_factory=dict)

    def register_format(
        self,
        name: str,
        fake_quantize: Callable[[Tensor], Tensor] | None = None,
        *,
        factory: Callable[[], Callable[[Tensor], Tensor]] | None = None,
        encode: Callable[[Tensor], Any] | None = None,
        decode: Callable[[Any], Tensor] | None = None,
        bits: float | None = None,
        lossless: bool = False,
        gap_tolerance: float | None = None,
        spec: str = "",
        activation: Callable[..., Any] | None = None,
        calibrate: Callable[[Any, Any], object] | None = None,
        conforms: str | None = None,
        granularity: str | None = None,
        waive: Mapping[str, str] | None = None,
    ) -> Format:
        """Register a number format as a subject of the gate.

        Args:
            name: Letters, digits and `_ . : @ +`; not the name of another subject.
            fake_quantize: `Tensor -> Tensor` of the same shape and dtype; its own backward is under test.
            factory: Makes such a function or module, afresh for each parameter of each cell, for quantizers
                that keep state. Parameters of a module are trained with the model.
            encode: With `decode`, a codec; the gate adds the straight-through estimator. Beside
                `fake_quantize` or `factory` it is what the trained weights are exported with, and must agree.
            decode: See `encode`.
            bits: Bits of one element; without it reports say "unknown" and the widest tolerance is used.
            lossless: Whether the format promises to return every value unchanged.
            gap_tolerance: The largest healthy gap to the float32 control, in BPB; without it
                `quantgate.records.verdict.gap_tolerance`.
            spec: A link to where the format is defined.
            activation: Quantizes the inputs of linear layers: a function, or beside `factory` a factory.
            calibrate: `calibrate(quantizer, batches)` runs on each quantizer before it is judged, with the tensors that
                it will be given: its weight, or some batches of its layer's inputs. Its scale need not follow then.
            conforms: A built-in format that it must equal, bit for bit, over its grid, midpoints and range.
            granularity: Which values share a scale, `tensor`, `row` or `group:32` (of the last axis), which is checked.
            waive: Causes that the format is excused from, each with the reason, which the record keeps.

        Raises:
            RegistrationError: The name is taken or malformed, a cause is unknown, or no one way to quantize is given.
        """
        if (encode is None) != (decode is None):
            raise RegistrationError(f"format {name!r}: encode and decode belong together; one is missing")
        if (fake_quantize is None) == (factory is None) and (encode is None or fake_quantize is not None):
            raise RegistrationError(
                f"format {name!r}: give one of fake_quantize and factory, or encode with decode; "
                f"{'none' if fake_quantize is None else 'both functions'} were given"
            )
        for what, value in (
            ("fake_quantize", fake_quantize),
            ("factory", factory),
            ("encode", encode),
            ("decode", decode),
            ("activation", activation),
            ("calibrate", calibrate),
        ):
            require_callable(f"format {name!r}: {what}", value)
        if fake_quantize is not None and (why := why_not_of_one_argument(fake_quantize)):
            makes = "" if why.startswith("needs") else "; factory= takes what makes one for each parameter"
            raise RegistrationError(f"format {name!r}: fake_quantize {why}{makes}")
        if factory is not None:
            require_factory(f"format {name!r}: activation", activation)
        require_positive(f"format {name!r}: bits", bits)
        require_positive(f"format {name!r}: gap_tolerance", gap_tolerance)
        promises_what_it_can(f"format {name!r}", lossless, bits)
        pair = PairCodec(encode, decode) if encode is not None and decode is not None else None
        trains = fake_quantize is not None or factory is not None
        codec: Any = FunctionCodec(fake_quantize, factory, pair) if trains else pair
        made = Format(
            name=self._free(name),
            codec=codec,
            bits=bits,
            lossless=lossless,
            gap_tolerance=gap_tolerance,
            spec=spec,
            activation=activation if factory is not None or activation is None else lambda: activation,
            calibrate=calibrate,
            conforms=conforming(f"format {name!r}", conforms),
            granularity=sharing(f"format {name!r}", granularity),
            waive=waived(f"format {name!r}", waive),
        )
        self._formats[name] = made
        self._places[name] = place_of_caller()
        return made

    def register_recipe(
        self,
        name: str,
        prepare: Callable[[nn.Module], nn.Module],
        *,
        bits: float | None,
        calibrate: Callable[[nn.Module, Any], object] | None = None,
        waive: Mapping[str, str] | None = None,
    ) -> Recipe:
        """Register `prepare(model) -> model`, which makes a model train in low precision.

        Args:
            name: As for a format.
            prepare: Returns the model that is trained; the optimizer is built after it.
            bits: Bits of a weight; None where unknown.
            calibrate: `calibrate(model, batches)` runs before the first step, with batches of tokens (16, 64).
            waive: Causes that the recipe is excused from, each with the reason, which the record keeps.

        Raises:
            RegistrationError: The name is taken or malformed, a cause is unknown, or `prepare` cannot be called.
        """
        require_callable(f"recipe {name!r}: prepare", prepare, required=True)
        require_callable(f"recipe {name!r}: calibrate", calibrate)
        require_positive(f"recipe {name!r}: bits", bits)
        excused = waived(f"recipe {name!r}", waive)
        self._recipes[self._free(name)] = made = Recipe(
            name, prepare, bits, calibrate=calibrate, waive=excused
        )
        self._places[name] = place_of_caller()
        return made

    def register_optimizer(
        self, name: str, build: Build, *, lr: float | None = None, reference: str | None = None
    ) -> OptimizerSpec:
        """Register `build(model, lr) -> Optimizer | list[Optimizer]`.

        Args:
            name: As for a format.
            build: Makes the optimizers that together hold every parameter of the model.
            lr: The rate at width 64; without it the reference's, or AdamW's.
            reference: The built-in optimizer whose algorithm it claims to be; its update is held against that one's.

        Raises:
            RegistrationError: The name is taken or malformed, `build` cannot be called, or the rate or the reference is
                none.
        """
        require_callable(f"optimizer {name!r}: build", build, required=True)
        require_positive(f"optimizer {name!r}: lr", lr)
        check_name("optimizer", name)
        if name in self.optimizers():
            raise RegistrationError(f"optimizer {name!r} is already registered; choose another name")
        if reference is not None and reference not in OPTIMIZERS:
            raise RegistrationError(f"optimizer {name!r}: {unknown('reference', reference, OPTIMIZERS)}")
        like = OPTIMIZERS[reference or "adamw"]
        made = replace(like, name=name, build=build, lr=lr or like.lr, reference=reference)
        self._optimizers[name] = made
        self._places[name] = place_of_caller()
        return made

    def with_subject(self, subject: Subject) -> Registry:
        """A copy of this registry in which the subject is registered under its name, replacing any other."""
        copy = Registry(dict(self._formats), dict(self._recipes), dict(self._optimizers))
        if isinstance(subject, Format):
            copy._formats[subject.name] = subject
        else:
            copy._recipes[subject.name] = subject
        return copy

    def with_optimizer(self, spec: OptimizerSpec) -> Registry:
        """A copy of this registry in which the optimizer is registered under its name, replacing any other."""
        return Registry(dict(self._formats), dict(self._recipes), {**self._optimizers, spec.name: spec})

    def subjects(self) -> dict[str, Subject]:
        """Every subject by name, the built-in formats first."""
        return {**BUILTIN, **self._formats, **self._recipes}

    def formats(self) -> dict[str, Format]:
        """Every format by name, the built-in ones first."""
        return {**BUILTIN, **self._formats}

    def registered(self) -> tuple[str, ...]:
        """The names of the user's own subjects, in the order in which they were registered."""
        return (*self._formats, *self._recipes, *self._trainers)

    def registered_optimizers(self) -> tuple[str, ...]:
        """The names of the user's own optimizers."""
        return tuple(self._optimizers)

    def place(self, name: str) -> str:
        """Where a subject or an optimizer of the user's was registered, `conftest.py:5`."""
        return self._places.get(name, "an unknown place")

    def optimizers(self) -> dict[str, OptimizerSpec]:
        """Every optimizer by name, the built-in ones first."""
        return {**OPTIMIZERS, **self._optimizers}

    def subject(self, name: str) -> Subject:
        """The subject of that name or alias; `module:attribute`, `factory:module:Class` and
        `recipe:module:function` are imported, with `@bits` after them.

        Raises:
            UnknownNameError: Nothing has that name; the message lists the nearest.
        """
        known = self.subjects()
        canonical = ALIASES.get(name, name)
        if canonical in known:
            return known[canonical]
        if name.partition(":")[0] in self._trainers:
            raise UnknownNameError(
                f"{name!r} is a trainer's; tests run its cells: pytest --quantgate-formats {name}"
            )
        if ":" in name:
            return self._import(name)
        raise UnknownNameError(unknown("format", name, (*known, *ALIASES)))

    def optimizer(self, name: str) -> OptimizerSpec:
        """The optimizer of that name.

        Raises:
            UnknownNameError: Nothing has that name; the message lists the nearest.
        """
        known = self.optimizers()
        if name not in known:
            raise UnknownNameError(unknown("optimizer", name, known))
        return known[name]

    def _import(self, name: str) -> Subject:
        target = resolve(name)
        if target.role == "recipe":
            return self.register_recipe(name, target.found, bits=target.bits)
        if target.role == "factory":
            return self.register_format(name, factory=target.found, bits=target.bits)
        if isinstance(target.found, Format):
            require_positive(f"format {name!r}: bits", target.bits)
            bits = target.bits or target.found.bits
            self._formats[name] = replace(target.found, name=self._free(name), bits=bits)
            return self._formats[name]
        return self.register_format(name, target.found, bits=target.bits)

    def keep_trainer(self, trainer: Trainer, place: str | None = None) -> Trainer:
        """Register a trainer that was made elsewhere, at a place such as a file of the user's."""
        self._trainers[self._free(trainer.name)] = trainer
        self._places[trainer.name] = place or place_of_caller()
        return trainer

    def _free(self, name: str) -> str:
        check_name("subject", name)
        if name in self.subjects() or name in ALIASES or name.partition(":")[0] in self._trainers:
            raise RegistrationError(f"subject {name!r} is already registered; choose another name")
        return name


#: The registry that `quantgate.register_format` and its like write to.
REGISTRY = Registry()
