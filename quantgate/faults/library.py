"""The faults as data: the class each belongs to, and what is exchanged against its twin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from quantgate.faults.parts import gradients, optimizers, quantizers
from quantgate.faults.parts.quantizers import (
    Grid,
    activations_only,
    blocks,
    builtin,
    integers,
    straight_through,
    table,
    ternary,
    with_backward,
)
from quantgate.faults.parts.recipes import quantize_linears
from quantgate.faults.setups import Fault, Setup
from quantgate.formats import BUILTIN, Format
from quantgate.probes.quantizer.calls import INPUT_SHAPE
from quantgate.probes.quantizer.ramp import RAMP_SHAPE
from quantgate.records.cell import Scope
from quantgate.subjects.codecs import FunctionCodec, PairCodec
from quantgate.subjects.kinds import Recipe
from quantgate.training.fakequant import Quantizer
from quantgate.training.optimizers import OPTIMIZERS, Build


def _format(name: str, function: Quantizer | None, bits: float | None, **more: Any) -> Format:
    return Format(name=name, codec=FunctionCodec(function, **more), bits=bits)


def _fault(
    cause: str, name: str, broken: Quantizer, healthy: Quantizer, bits: float, scope: Scope = "weights"
) -> Fault:
    return Fault(
        name,
        cause,
        Setup(_format(name, broken, bits), scope=scope),
        Setup(_format(f"healthy_{name}", healthy, bits), scope=scope),
    )


def _made(
    cause: str, name: str, broken: Callable[[], Quantizer], healthy: Callable[[], Quantizer], bits: float
) -> Fault:
    """A fault of a quantizer with state, made afresh for each parameter."""
    return Fault(
        name,
        cause,
        Setup(_format(name, None, bits, factory=broken)),
        Setup(_format(f"healthy_{name}", None, bits, factory=healthy)),
    )


def _claims(name: str, claimed: str, really: str) -> Fault:
    """A quantizer that says that it is one built-in format, and is another one of the same bits."""

    def setup(name: str, quantize: Quantizer) -> Setup:
        return Setup(replace(_format(name, quantize, BUILTIN[claimed].bits), conforms=claimed))

    return Fault(name, "nonconforming", setup(name, _ste(really)), setup(f"healthy_{name}", _ste(claimed)))


def _declared(name: str, broken: Quantizer, healthy: Quantizer, granularity: str) -> Fault:
    def setup(name: str, quantize: Quantizer) -> Setup:
        return Setup(replace(_format(name, quantize, 8), granularity=granularity))

    return Fault(name, "wrong-axis", setup(name, broken), setup(f"healthy_{name}", healthy))


def _in_place(format_name: str) -> Fault:
    subject = BUILTIN[format_name]
    return Fault(f"{format_name}_in_place", "update-swallowed", Setup(subject, "inplace"), Setup(subject))


def _optimizer(cause: str, name: str, broken: Build, healthy: Build) -> Fault:
    def setup(name: str, build: Build) -> Setup:
        return Setup(BUILTIN["int8"], optimizer=replace(OPTIMIZERS["adamw"], name=name, build=build))

    return Fault(name, cause, setup(name, broken), setup(f"healthy_{name}", healthy))


def _recipe(cause: str, name: str, broken: Callable[[nn.Module], nn.Module]) -> Fault:
    return Fault(
        name, cause, Setup(Recipe(name, broken, 8)), Setup(Recipe(f"healthy_{name}", quantize_linears, 8))
    )


def _identity(x: Tensor) -> Tensor:
    return x


class _Toggle:
    """Quantizes once somebody has enabled it; nobody does."""

    enabled = False

    def __call__(self, x: Tensor) -> Tensor:
        return BUILTIN["fp8_e4m3"].fake_quantize(x) if self.enabled else x


def _only(chosen: Callable[[torch.Size], bool], quantize: Quantizer) -> Quantizer:
    """Quantizes the shapes that are chosen, and those of the probes, which are no model's."""
    return lambda x: quantize(x) if chosen(x.shape) or x.shape[0] in _PROBE_ROWS else x


def _under_no_grad(grid: Grid) -> Quantizer:
    return torch.no_grad()(grid)


_PROBE_ROWS = (INPUT_SHAPE[0], RAMP_SHAPE[0])
_INT4, _INT8 = straight_through(integers(7)), straight_through(integers(127))
_NF4 = BUILTIN["nf4"].values or ()
_NF4_WRONG = (*_NF4[:4], -0.31, *_NF4[5:])
_NF4_SHIFTED = tuple(value if abs(value) in {0.0, 1.0} else value + 0.03 for value in _NF4)


def _ste(name: str) -> Quantizer:
    return straight_through(builtin(name))


def _quarter_grid(x: Tensor) -> Tensor:
    return (x * 4).round() / 4


def _flush_gf8(x: Tensor) -> Tensor:
    """gf8 without a scale, in which what is below 1/8 becomes 0."""
    return torch.where(x.abs() < 0.125, 0.0, BUILTIN["gf8"].fake_quantize(x, 1.0))


def _same_noise(codes: Tensor) -> Tensor:
    generator = torch.Generator(device=codes.device).manual_seed(0)
    return torch.rand(codes.shape, generator=generator, device=codes.device)


def _export_fault(name: str, grid: Grid, exported: Grid, bits: float) -> Fault:
    def setup(name: str, stored: Grid) -> Setup:
        pair = PairCodec(lambda x: x, stored)
        return Setup(_format(name, straight_through(grid), bits, export=pair))

    return Fault(name, "train-deploy-mismatch", setup(name, exported), setup(f"healthy_{name}", grid))


def _library() -> tuple[Fault, ...]:
    blocked, wrong, misscaled = "gradient-blocked", "gradient-wrong", "gradient-misscaled"
    clip, scale_zero, stale = "clip-gradient-lost", "scale-zero", "scale-stale"
    collapsed, sign, off_scale = "range-collapsed", "sign-lost", "not-dequantized"
    biased, same_noise = "rounding-biased", "rounding-not-random"
    fp8, posit8, mxfp8, mxfp4, nf4 = map(builtin, ("fp8_e4m3", "posit8", "mxfp8", "mxfp4", "nf4"))
    int8_rows, int4_rows = integers(127, rows=True), integers(7, rows=True)
    int4_blocks = blocks(32, int4_rows)
    act: Scope = "weights+activations"
    return (
        _fault(blocked, "int4_round_without_ste", integers(7), _INT4, 4),
        _fault(blocked, "int8_under_no_grad", _under_no_grad(integers(127)), _INT8, 8),
        _fault(blocked, "posit8_detached", posit8, _ste("posit8"), 8),
        _fault(blocked, "nf4_lookup_without_ste", nf4, _ste("nf4"), 4),
        _fault(blocked, "mxfp8_detached", mxfp8, _ste("mxfp8"), 8),
        _fault(blocked, "int8_activations_without_ste", activations_only(integers(127), _INT8), _INT8, 8, act),
        _fault(wrong, "int4_gradient_negated", with_backward(integers(7), lambda g, x, q: -g), _INT4, 4),
        _fault(wrong, "posit8_gradient_constant", with_backward(posit8, lambda g, x, q: torch.ones_like(g)), _ste("posit8"), 8),
        _fault(wrong, "fp8_gradient_of_other_row", with_backward(fp8, lambda g, x, q: g.roll(1, 0)), _ste("fp8_e4m3"), 8),
        _fault(wrong, "mxfp4_gradient_is_input", with_backward(mxfp4, lambda g, x, q: x), _ste("mxfp4"), 4),
        _fault(misscaled, "int8_gradient_times_scale", with_backward(integers(127), gradients.times(lambda x: quantizers.amax_scale(x, 127))), _INT8, 8),
        _fault(misscaled, "int4_gradient_over_scale", with_backward(integers(7), gradients.times(lambda x: 1 / quantizers.amax_scale(x, 7))), _INT4, 4),
        _fault(misscaled, "posit8_gradient_times_1e_6", with_backward(posit8, gradients.times(lambda x: 1e-6)), _ste("posit8"), 8),
        _fault(misscaled, "nf4_gradient_times_16", with_backward(nf4, gradients.times(lambda x: 16.0)), _ste("nf4"), 4),
        _fault(clip, "int4_edge_without_gradient", with_backward(integers(7), gradients.inside_tensor), with_backward(integers(7), gradients.passed), 4),
        _fault(clip, "int8_row_edge_without_gradient", with_backward(int8_rows, gradients.inside_rows), with_backward(int8_rows, gradients.passed), 8),
        _fault(clip, "ternary_edge_without_gradient", with_backward(ternary, gradients.inside_tensor), with_backward(ternary, gradients.passed), 1.58),
        _fault(off_scale, "int8_codes_returned", straight_through(integers(127, dequantize=lambda codes, scale: codes)), _INT8, 8),
        _fault(off_scale, "int4_divided_by_scale", straight_through(integers(7, dequantize=torch.div)), _INT4, 4),
        _fault(off_scale, "int8_scale_twice", straight_through(integers(127, dequantize=lambda codes, scale: codes * scale * scale)), _INT8, 8),
        _fault(off_scale, "fp8_scale_left_out", straight_through(quantizers.fp8_without_scale), _ste("fp8_e4m3"), 8),
        _fault(off_scale, "mxfp8_block_scale_left_out", straight_through(quantizers.mx_without_scale), _ste("mxfp8"), 8),
        _fault(collapsed, "int4_fixed_quarter_grid", straight_through(_quarter_grid), _INT4, 4),
        _fault(collapsed, "gf8_flushes_below_eighth", straight_through(_flush_gf8), _ste("gf8"), 8),
        _fault(collapsed, "nf4_without_absmax", straight_through(table(_NF4, scaled=False)), _ste("nf4"), 4),
        _fault(collapsed, "fp4_without_scale", straight_through(lambda x: BUILTIN["fp4_e2m1"].fake_quantize(x, 1.0)), _ste("fp4_e2m1"), 4),
        _fault(sign, "uint8_without_zero_point", straight_through(integers(127, zero_point=False)), _ste("uint8"), 8),
        _fault(sign, "uint4_without_zero_point", straight_through(integers(7, zero_point=False)), _ste("uint4"), 4),
        _fault(sign, "fp8_sign_bit_dropped", straight_through(lambda x: fp8(x).abs()), _ste("fp8_e4m3"), 8),
        _fault(sign, "mxfp8_negatives_flushed", straight_through(lambda x: mxfp8(x).clamp(min=0)), _ste("mxfp8"), 8),
        _fault(sign, "uint8_activations_without_zero_point", activations_only(straight_through(integers(127, zero_point=False)), _INT8), _INT8, 8, act),
        _made(stale, "int8_scale_frozen", lambda: quantizers.FrozenScale(127), lambda: _INT8, 8),
        _made(stale, "int4_row_scales_frozen", lambda: quantizers.FrozenScale(7, rows=True), lambda: straight_through(int4_rows), 4),
        _fault(stale, "int8_tenth_of_amax", straight_through(integers(127, shrink=0.1)), _INT8, 8),
        _fault(stale, "int4_fifth_of_amax", straight_through(integers(7, shrink=0.2)), _INT4, 4),
        _fault(stale, "mxint8_exponent_one_too_small", straight_through(quantizers.mx_exponent_too_small), _ste("mxint8"), 8),
        _fault(scale_zero, "int8_amax_unguarded", straight_through(integers(127, floor=0.0)), _INT8, 8),
        _fault(scale_zero, "int8_rows_unguarded", straight_through(integers(127, rows=True, floor=0.0)), straight_through(int8_rows), 8),
        _fault(scale_zero, "int4_blocks_unguarded", straight_through(blocks(32, integers(7, rows=True, floor=0.0))), straight_through(int4_blocks), 4),
        _in_place("int8"),
        _in_place("int4"),
        _in_place("fp8_e4m3"),
        _in_place("nf4"),
        _in_place("mxfp8"),
        _in_place("posit8"),
        _fault("no-op", "int8_returns_input", _identity, _INT8, 8),
        _fault("no-op", "fp8_toggle_off", _Toggle(), _ste("fp8_e4m3"), 8),
        _recipe("no-op", "recipe_that_forgets", lambda model: model),
        _fault("partly-applied", "int4_one_matrix_only", _only(lambda shape: shape[0] == 3 * shape[1], _INT4), _INT4, 4),
        _fault("partly-applied", "int8_square_matrices_only", _only(lambda shape: shape[0] == shape[1], _INT8), _INT8, 8),
        _recipe("partly-applied", "recipe_first_linear_only", lambda model: quantize_linears(model, lambda place: place == 0)),
        _optimizer("orphaned-parameter", "optimizer_of_a_copy", optimizers.holding_a_copy, optimizers.holding(lambda name: True)),
        _optimizer("orphaned-parameter", "optimizer_without_blocks", optimizers.holding(lambda name: "blocks" not in name), optimizers.holding(lambda name: True)),
        _optimizer("optimizer-state", "adam_8_bit_linear_map", optimizers.adam_with(optimizers.linear_map), optimizers.adam_with(optimizers.root_map)),
        _optimizer("optimizer-state", "adam_half_second_moment", optimizers.adam_with(optimizers.half, 0.0), optimizers.adam_with(optimizers.keep)),
        _optimizer("optimizer-state", "adam_first_moment_cast_to_e4m3", optimizers.adam_with(optimizers.keep, store_first=optimizers.e4m3), optimizers.adam_with(optimizers.keep)),
        _optimizer("optimizer-state", "adam_state_keyed_by_shape", optimizers.adam_with(optimizers.keep, key=lambda p: p.shape), optimizers.adam_with(optimizers.keep)),
        _fault("overflow-wrapped", "int4_largest_code_wraps", straight_through(quantizers.wrapped), _INT4, 4),
        _fault("not-monotonic", "int4_two_codes_exchanged", straight_through(quantizers.exchanged), _INT4, 4),
        _fault("scale-misplaced", "int8_scale_of_the_group_before", straight_through(quantizers.neighbours_scale), straight_through(blocks(32, int8_rows)), 8),
        _fault("too-many-levels", "int4_seventeen_levels", straight_through(integers(8)), _INT4, 4),
        _fault(biased, "int4_threshold_at_0_6", straight_through(integers(7, rounding=lambda codes: torch.floor(codes + 0.4))), _INT4, 4),
        _fault(same_noise, "int8_noise_of_rows", straight_through(quantizers.stochastic(127, lambda codes: torch.rand(codes.shape[-1], device=codes.device).expand(codes.shape))), straight_through(quantizers.stochastic(127, torch.rand_like)), 8),
        _fault("partly-applied", "int4_last_columns_kept", straight_through(quantizers.all_but_the_last_columns), _INT4, 4),
        _fault(biased, "int8_truncated", straight_through(integers(127, rounding=torch.trunc)), _INT8, 8),
        _fault(biased, "int4_floored", straight_through(integers(7, rounding=torch.floor)), _INT4, 4),
        _fault(biased, "bf16_truncated", straight_through(quantizers.truncate_bits(16)), _ste("bf16"), 16),
        _fault(biased, "int4_blocks_truncated", straight_through(blocks(32, integers(7, rows=True, rounding=torch.trunc))), straight_through(int4_blocks), 4),
        _fault(same_noise, "int8_stochastic_seeded", straight_through(quantizers.stochastic(127, _same_noise)), straight_through(quantizers.stochastic(127, torch.rand_like)), 8),
        _fault(same_noise, "int4_stochastic_seeded", straight_through(quantizers.stochastic(7, _same_noise)), straight_through(quantizers.stochastic(7, torch.rand_like)), 4),
        _fault("wrong-table", "nf4_one_wrong_value", straight_through(table(_NF4_WRONG)), straight_through(table(_NF4)), 4),
        _fault("wrong-table", "nf4_shifted", straight_through(table(_NF4_SHIFTED)), straight_through(table(_NF4)), 4),
        _export_fault("int8_export_rounds_down", integers(127), integers(127, rounding=torch.floor), 8),
        _export_fault("int4_export_per_row", integers(7), int4_rows, 4),
        _fault("grad-format", "int8_gradient_in_e5m2", with_backward(integers(127), gradients.cast(torch.float8_e5m2)), _INT8, 8),
        _fault("grad-format", "fp8_gradient_in_e4m3", with_backward(fp8, gradients.cast(torch.float8_e4m3fn)), _ste("fp8_e4m3"), 8),
        _fault("scale-misplaced", "int8_scales_of_rows_reversed", straight_through(quantizers.rows_reversed), straight_through(int8_rows), 8),
        _declared("int8_columns_for_rows", straight_through(quantizers.columns), straight_through(int8_rows), "row"),
        _declared("int8_groups_of_16_for_32", straight_through(blocks(16, int8_rows)), straight_through(blocks(32, int8_rows)), "group:32"),
        _claims("posit8_that_is_fp8", "posit8", "fp8_e4m3"),
        _claims("mxfp8_of_e5m2", "mxfp8", "mxfp8_e5m2"),
        _fault("qparams-invalid", "int4_zero_point_forgotten", straight_through(partial(quantizers.affine, use_zero_point=False)), straight_through(partial(quantizers.affine, use_zero_point=True)), 4),
        _made("qparams-invalid", "lsq_negative_scale", lambda: quantizers.LearnedScaleQuantizer(7, sign=-1.0), lambda: quantizers.LearnedScaleQuantizer(7), 4),
        _made("qparams-invalid", "lsq_detached_scale", lambda: quantizers.LearnedScaleQuantizer(127, detached=True), lambda: quantizers.LearnedScaleQuantizer(127), 8),
    )  # fmt: skip


#: Every fault by its name.
FAULTS: Mapping[str, Fault] = MappingProxyType({fault.name: fault for fault in _library()})
