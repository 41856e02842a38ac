"""Healthy quantizers that are unusual, none of which is in `tests.benchmarks.unusual`: none may be blamed.

Each is written the way its users write it, with its own backward, and guarded against tensors, rows and blocks
of zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from torch import Tensor

from quantgate.faults import Setup
from quantgate.formats import BUILTIN
from quantgate.subjects.codecs import PairCodec
from quantgate.subjects.kinds import Recipe
from quantgate.training.optimizers import OPTIMIZERS
from tests.heldout.healthy.few_levels import binary_rows, residual_binary, ternary_median, ternary_twn
from tests.heldout.healthy.gradients import int4_soft_backward, int6_soft_steps, int8_hardtanh_gradient
from tests.heldout.healthy.models import (
    BlockwiseAdam,
    decode_rows,
    encode_rows,
    int4_parametrized,
    int8_both,
    int8_linears,
)
from tests.heldout.healthy.noise import bf16_stochastic, int8_noise, quant_noise_int4, stochastic
from tests.heldout.healthy.scales import (
    fp8_margin,
    fp8_tiles,
    hqq_int4,
    int3_groups_fp8_scale,
    int4_best_clip,
    int4_hadamard,
    int4_signed_peak,
    int8_centred_rows,
    int8_columns,
    int8_half_scale,
    int8_int4_outliers,
    mx_ceil,
    uint4_rows,
)
from tests.heldout.healthy.stateful import (
    Delayed,
    DelayedScaling,
    LearnedLevels,
    LearnedRowSteps,
    MovingAmax,
    Pact,
)
from tests.heldout.healthy.tables import (
    APOT,
    HALF_POWERS,
    POWERS,
    by_table,
    companded_int4,
    dorefa_int4,
    kmeans16,
    nf4_double,
)
from tests.heldout.parts import Grid, ste, symmetric, user_format

_FUNCTIONS: tuple[tuple[Callable[[Tensor], Tensor], float], ...] = (
    (dorefa_int4, 4),
    (companded_int4, 4),
    (uint4_rows, 4),
    (hqq_int4, 4),
    (int8_half_scale, 8),
    (nf4_double, 4),
    (fp8_margin, 8),
    (fp8_tiles, 8),
    (int4_hadamard, 4),
    (ternary_twn, 1.58),
    (binary_rows, 1),
    (int8_centred_rows, 8),
    (kmeans16, 4),
    (int4_best_clip, 4),
    (int8_hardtanh_gradient, 8),
    (int4_soft_backward, 4),
    (int6_soft_steps, 6),
    (int8_noise, 8),
    (int8_int4_outliers, 4),
    (quant_noise_int4, 4),
    (int3_groups_fp8_scale, 3),
    (int8_columns, 8),
    (int4_signed_peak, 4),
    (ternary_median, 1.58),
    (residual_binary, 2),
)

_NAMED: tuple[tuple[str, Grid, float], ...] = (
    ("apot5", ste(by_table(APOT)), 5),
    ("log2_5", ste(by_table(POWERS)), 5),
    ("half_powers5_groups", ste(by_table(HALF_POWERS, 32)), 5),
    ("mxfp4_ceil", mx_ceil("fp4_e2m1", 6.0), 4),
    ("mxfp8_ceil", mx_ceil("fp8_e4m3", 448.0), 8),
    ("int6_tensor", ste(symmetric(31)), 6),
    ("int5_rows", ste(symmetric(15, -1)), 5),
    ("int6_stochastic_rows", stochastic(31), 6),
)

_FACTORIES: tuple[tuple[str, Callable[[], Grid], float], ...] = (
    ("pact_int4", lambda: Pact(7), 4),
    ("learned_levels_int5", LearnedLevels, 5),
    ("fp8_delayed_scaling", lambda: DelayedScaling(0), 8),
    ("fp8_delayed_scaling_margin", lambda: DelayedScaling(1), 8),
    ("lsq_rows_int4", lambda: LearnedRowSteps(7), 4),
    ("int8_moving_amax", MovingAmax, 8),
    ("int8_from_call_20", Delayed, 8),
)


def _setups() -> Iterator[tuple[str, Setup]]:
    for function, bits in _FUNCTIONS:
        yield function.__name__, Setup(user_format(function.__name__, function, bits))
    for name, function, bits in _NAMED:
        yield name, Setup(user_format(name, function, bits))
    for name, factory, bits in _FACTORIES:
        yield name, Setup(user_format(name, None, bits, factory=factory))
    exported = user_format(
        "int8_rows_exported", ste(symmetric(127, -1)), 8, export=PairCodec(encode_rows, decode_rows)
    )
    yield exported.name, Setup(exported)
    yield (
        "bf16_stochastic_inplace",
        Setup(user_format("bf16_stochastic_inplace", bf16_stochastic, 16), "inplace"),
    )
    yield (
        "int8_stochastic_inplace",
        Setup(user_format("int8_stochastic_inplace", stochastic(127), 8), "inplace"),
    )
    for name in ("bf16", "fp16", "posit16"):
        yield f"{name}_inplace", Setup(BUILTIN[name], "inplace")
    for function, bits in ((uint4_rows, 4), (fp8_margin, 8), (int4_hadamard, 4)):
        name = f"{function.__name__}_activations"
        yield name, Setup(user_format(name, function, bits), scope="weights+activations")
    for name, prepare, width in (
        ("recipe_int8_linears", int8_linears, 8),
        ("recipe_w8a8_but_head", int8_both, 8),
        ("recipe_hqq_parametrized", int4_parametrized, 4),
    ):
        yield name, Setup(Recipe(name, prepare, width))
    adam8 = replace(
        OPTIMIZERS["adamw"],
        name="adam_8bit_blockwise",
        build=lambda model, lr: BlockwiseAdam(model.parameters(), {"lr": lr}),
    )
    yield adam8.name, Setup(BUILTIN["int8"], optimizer=adam8)


#: Every healthy setup by its name.
HEALTHY: Mapping[str, Setup] = MappingProxyType(dict(_setups()))
