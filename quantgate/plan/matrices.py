"""The matrices as data: which cells each holds where the options leave the choice to it, and how it trains them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from quantgate.formats import BUILTIN
from quantgate.records.cell import DEFAULT_WIDTH, SEEDS, Config
from quantgate.records.schedule import Schedule
from quantgate.records.verdict import Limits

#: The incident's formats, its 16-bit reference cluster and the formats of today's hardware.
PR_FORMATS = (
    "int4", "int8", "uint8", "posit8", "nf4", "mxfp8", "gf4", "gf8", "gf32",
    "fp16", "posit16", "gf256",
    "fp8_e4m3", "fp8_e5m2", "mxfp4", "bf16", "gf16", "nvfp4",
)  # fmt: skip

#: SGD is there because adaptive optimizers hide mis-scaled gradients.
PR_OPTIMIZERS = ("adamw", "muon", "sgd")

#: Every built-in format of at most so many bits is in the long lane.
LONG_BITS = 8
#: One adaptive optimizer and one that orthogonalizes; gf4, the coarsest format, ends at 2.89 and 2.79. Adafactor's 2.89
#: says no more than AdamW's; SGD's 2.95 and RMSprop's 2.97 are so near the line that more seeds must decide.
LONG_OPTIMIZERS = ("adamw", "muon")

#: How the long lane trains: long enough, and at rates so high, that the coarsest format of 4 bits knows most of what
#: there is to know, 3 bits a byte, where 100 steps show no more than that it has begun to learn.
LONG = Config(
    width=128,
    steps=2000,
    corpus="tinyshakespeare",
    limits=Limits(fail_bpb=3.0, dead_bpb=6.9),
    schedule=Schedule(warmup=50, floor=0.05),
    lane="long",
)


@dataclass(frozen=True)
class Matrix:
    """What a run holds and how it trains, where its options do not say."""

    #: None takes every format or optimizer that is known.
    formats: tuple[str, ...] | None
    optimizers: tuple[str, ...] | None
    seeds: tuple[int, ...]
    widths: tuple[int, ...]
    config: Config = field(default_factory=Config)
    #: Whether formats that keep their updates are stored in place too.
    in_place: bool = False
    #: Seconds that a cell may take.
    timeout: float = 60


MATRICES: Mapping[str, Matrix] = MappingProxyType(
    {
        "pr": Matrix(PR_FORMATS, PR_OPTIMIZERS, SEEDS[:1], (DEFAULT_WIDTH,)),
        "nightly": Matrix(None, None, SEEDS[:3], (64, 128), in_place=True),
        "long": Matrix(
            tuple(name for name, each in BUILTIN.items() if each.bits is not None and each.bits <= LONG_BITS),
            LONG_OPTIMIZERS,
            SEEDS[:1],
            (LONG.width,),
            LONG,
            # Half a minute on a free core; a close call trains three seeds and two controls, perhaps on shared cores.
            timeout=900,
        ),
    }
)
