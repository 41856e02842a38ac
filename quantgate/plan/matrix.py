"""The matrix: which cells a run holds, and which cell a test id names."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from quantgate.formats import BUILTIN, Format
from quantgate.formats.layout import Layout, Minifloat
from quantgate.plan.matrices import MATRICES
from quantgate.plan.settings import Settings
from quantgate.records.cell import DEFAULT_WIDTH, Cell, Config, Storage
from quantgate.records.verdict import Limits
from quantgate.subjects.kinds import kind_of
from quantgate.subjects.names import NAME, UnknownNameError
from quantgate.subjects.registry import Registry
from quantgate.subjects.trainers import Trainer

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
        PlanError: In the long lane a built-in optimizer has no rate, or a foreign trainer has no line, and no option
            gives one.
    """
    matrix = MATRICES[settings.matrix]
    lane = matrix.config.lane
    seeds = settings.seeds or matrix.seeds
    widths = settings.widths or matrix.widths
    names = {name: registry.trained(name) for name in _subject_names(settings, registry)}
    others = {each for found in names.values() if found is not None for each in found[0].optimizers}
    optimizers = _known_optimizers(settings, registry, others)
    if None in names.values():
        _check_rates(optimizers, settings, registry)
    cells = []
    for name, found in names.items():
        if found is not None:
            cells += _trained(*found, settings, seeds, widths)
            continue
        subject = registry.subject(name)
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


def _known_optimizers(settings: Settings, registry: Registry, others: Collection[str]) -> list[str]:
    """The optimizers of formats and recipes; a name that is asked for may be a trainer's instead."""
    names = _optimizer_names(settings, registry)
    return [registry.optimizer(n).name for n in names if n in registry.optimizers() or n not in others]


def _check_rates(optimizers: Sequence[str], settings: Settings, registry: Registry) -> None:
    if settings.matrix != "long" or settings.lr is not None:
        return
    registered = registry.registered_optimizers()  # with rates of the user's, for whatever they train
    for name in optimizers:
        if registry.optimizer(name).long_lr is None and name not in registered:
            having = ", ".join(
                each.name for each in registry.optimizers().values() if each.long_lr is not None
            )
            raise PlanError(
                f"optimizer {name!r} with the matrix long: its rate is for 100 steps, and none was found at which it "
                f"brings every format below 3.00 BPB in 2,000; give one with lr, or take {having}"
            )


def _trained(
    trainer: Trainer, subjects: Sequence[str], settings: Settings, seeds: Sequence[int], widths: Sequence[int]
) -> list[Cell]:
    """The cells of a trainer: it has optimizers of its own, and one seed and width where it takes none."""
    asked = settings.optimizers or trainer.optimizers
    optimizers = [each for each in asked if each in trainer.optimizers]
    if not optimizers:
        raise UnknownNameError(
            f"trainer {trainer.name!r} has the optimizers {', '.join(trainer.optimizers)}, and none of them is asked "
            f"for ({', '.join(asked)}); name one, or leave the trainer out of formats"
        )
    lane = MATRICES[settings.matrix].config.lane
    if lane is not None and settings.fail_bpb is None:
        raise PlanError(
            f"trainer {trainer.name!r} with the matrix {settings.matrix}: its line is for quantgate's own model; say "
            "with fail-bpb which holds for the trainer, or name formats that are not a trainer's"
        )
    return [
        Cell(subject, "trainer", optimizer, seed, width, settings.storage or "master", settings.scope, lane)
        for subject in subjects
        for width in (widths if trainer.uses("width") else (DEFAULT_WIDTH,))
        for seed in (seeds if trainer.uses("seed") else seeds[:1])
        for optimizer in optimizers
    ]


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
        trained = subject.partition(":")[0] in registry.trainers()
        return Cell(
            subject=subject,
            kind="trainer" if trained else "format" if known is None else kind_of(known),
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


def shared_settings(settings: Settings) -> dict[str, object]:
    """What decides how every cell of a run is trained and judged: two runs that differ in it are no parts of one."""
    config = config_of(settings)
    return {
        "steps": config.steps,
        "lr": config.lr,
        "corpus": config.corpus,
        "device": config.device,
        "fail_bpb": config.limits.fail_bpb,
        "dead_bpb": config.limits.dead_bpb,
    }
