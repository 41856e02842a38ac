"""How an entry of the list is written: a fault, and its twin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import nn

from quantgate.faults import Fault, Setup
from quantgate.formats import BUILTIN
from quantgate.records.cell import Scope, Storage
from quantgate.subjects.codecs import PairCodec
from quantgate.subjects.kinds import Recipe
from quantgate.training.optimizers import OPTIMIZERS, Build
from tests.heldout.parts import Grid, ste, user_format

Prepare = Callable[[nn.Module], nn.Module]
Factory = Callable[[], Grid]


def pair(cause: str, name: str, broken: Grid, healthy: Grid, bits: float, scope: Scope = "weights") -> Fault:
    return Fault(
        name,
        cause,
        Setup(user_format(name, broken, bits), scope=scope),
        Setup(user_format(f"healthy_{name}", healthy, bits), scope=scope),
    )


def made(cause: str, name: str, broken: Factory, healthy: Factory, bits: float) -> Fault:
    return Fault(
        name,
        cause,
        Setup(user_format(name, None, bits, factory=broken)),
        Setup(user_format(f"healthy_{name}", None, bits, factory=healthy)),
    )


def recipe(cause: str, name: str, broken: Prepare, healthy: Prepare, bits: float) -> Fault:
    return Fault(
        name, cause, Setup(Recipe(name, broken, bits)), Setup(Recipe(f"healthy_{name}", healthy, bits))
    )


def optimizer(cause: str, name: str, broken: Build, healthy: Build, base: str = "adamw") -> Fault:
    def setup(name: str, build: Build) -> Setup:
        return Setup(BUILTIN["int8"], optimizer=replace(OPTIMIZERS[base], name=name, build=build))

    return Fault(name, cause, setup(name, broken), setup(f"healthy_{name}", healthy))


def stored(name: str, healthy: Storage = "master") -> Fault:
    subject = BUILTIN[name]
    return Fault(f"{name}_in_place", "update-swallowed", Setup(subject, "inplace"), Setup(subject, healthy))


def exported(name: str, trained: Grid, broken: PairCodec, healthy: PairCodec, bits: float) -> Fault:
    def setup(name: str, pair: PairCodec) -> Setup:
        return Setup(user_format(name, ste(trained), bits, export=pair))

    return Fault(name, "train-deploy-mismatch", setup(name, broken), setup(f"healthy_{name}", healthy))
