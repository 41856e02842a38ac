"""The matrix: which cells a run holds, and which cell a test id names."""

from __future__ import annotations

import re
from dataclasses import replace

from quantgate.formats import BUILTIN, Format
from quantgate.formats.layout import Layout, Minifloat
from quantgate.plan.matrices import MATRICES
from quantgate.plan.settings import Settings
from quantgate.records.cell import DEFAULT_WIDTH, Cell, Config, Storage
from quantgate.records.verdict import Limits
from quantgate.subjects.kinds import kind_of
from quantgate.subjects.names import NAME
from quantgate.subjects.registry import Registry

#: In-place storage of fewer bits truly swallows updates at the shipped rates, which is no fault of a codec. Nor is
#: it bf16's, whose 7 bits of fraction keep 0.54 (Lion) to 0.82 (SGD) of them; gf16's 9 keep 0.97 and more.
IN_PLACE_BITS = 16
IN_PLACE_FRACTION_BITS = 9

_ID = re.compile(
    rf"(?:^|[\[-])(?P<subject>{NAME.pattern})-(?P<optimizer>{NAME.pattern})-s(?P<seed>\d+)"
    r"(?:-w(?P<width>\d+))?(?P<inplace>-inplace)?(?P<wa>-wa)?(?P<long>-long)?(?=[\]-]|$)"
)


class PlanError(ValueError):
    """Options that leave nothing sensible to train."""


def plan(settings: Settings, registry: Registry) -> tuple[Cell, ...]:
    """Every cell of the run before sharding, sorted the same way in every process.

    Raises:
        UnknownNameError: An option names a format or an optimizer that is not known.
        PlanError: A built-in optimizer has no rate in the long lane, and no option gives one.
    """
    subjects = [registry.subject(name) for name in _subject_names(settings, registry)]
    matrix = MATRICES[settings.matrix]
    optimizers = [_with_rate(name, settings, registry) for name in _optimizer_names(settings, registry)]
    seeds = settings.seeds or matrix.seeds
    widths = settings.widths or matrix.widths
    lane = matrix.config.lane
    cells = []
    for subject in subjects:
        storages: list[Storage] = [settings.storage or "master"]
        if (
            matrix.in_place
            and settings.storage is None
            and isinstance(subject, Format)
            and _keeps_updates(subject)
        ):
            storages.append("inplace")
        cells += [
            Cell(subject.name, kind_of(subject), optimizer, seed, width, storage, settings.scope, lane)
            for storage in storages
            for width in widths
            for seed in seeds
            for optimizer in optimizers
        ]
    return tuple(dict.fromkeys(cells))


def _with_rate(name: str, settings: Settings, registry: Registry) -> str:
    spec = registry.optimizer(name)
    registered = name in registry.registered_optimizers()  # with a rate of the user's, for whatever it trains
    if settings.matrix == "long" and spec.long_lr is None and settings.lr is None and not registered:
        having = ", ".join(each.name for each in registry.optimizers().values() if each.long_lr is not None)
        raise PlanError(
            f"optimizer {name!r} with the matrix long: its rate is for 100 steps, and none was found at which it "
            f"brings every format below 3.00 BPB in 2,000; give one with lr, or take {having}"
        )
    return spec.name


def _keeps_updates(format: Format) -> bool:
    """Whether weights stored in this format alone, without a master copy, still receive their updates."""
    element = format.codec.element if isinstance(format.codec, Layout) else None
    if isinstance(element, Minifloat) and element.fraction_bits < IN_PLACE_FRACTION_BITS:
        return False
    return (format.bits or 0) >= IN_PLACE_BITS


def _subject_names(settings: Settings, registry: Registry) -> tuple[str, ...]:
    if settings.formats is not None:
        return settings.formats
    if registered := registry.registered():
        return registered
    return MATRICES[settings.matrix].formats or tuple(BUILTIN)


def _optimizer_names(settings: Settings, registry: Registry) -> tuple[str, ...]:
    if settings.optimizers is not None:
        return settings.optimizers
    if registered := registry.registered_optimizers():
        return registered
    return MATRICES[settings.matrix].optimizers or tuple(registry.optimizers())


def parse_id(text: str, registry: Registry) -> Cell | None:
    """The cell that a test id is about; None where it names none. Its kind is looked up in the registry."""
    for match in _ID.finditer(text.partition("[")[2] if "[" in text else text):
        subject = match["subject"]
        known = registry.subjects().get(subject)
        return Cell(
            subject=subject,
            kind="format" if known is None else kind_of(known),
            optimizer=match["optimizer"],
            seed=int(match["seed"]),
            width=int(match["width"] or DEFAULT_WIDTH),
            storage="inplace" if match["inplace"] else "master",
            scope="weights+activations" if match["wa"] else "weights",
            lane="long" if match["long"] else None,
        )
    return None


def config_of(settings: Settings) -> Config:
    """How the run's cells are trained and judged; the width is each cell's own."""
    own = MATRICES[settings.matrix].config
    fail = own.limits.fail_bpb if settings.fail_bpb is None else settings.fail_bpb
    dead = max(own.limits.dead_bpb, fail) if settings.dead_bpb is None else settings.dead_bpb
    return replace(
        own,
        steps=own.steps if settings.steps is None else settings.steps,
        lr=settings.lr,
        corpus=own.corpus if settings.corpus is None else settings.corpus,
        device=settings.device,
        limits=Limits(fail, dead),
    )
