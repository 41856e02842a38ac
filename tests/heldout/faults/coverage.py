"""Nothing quantized, or only a part."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from quantgate.faults import Fault
from tests.heldout.faults.entries import Prepare, made, pair, recipe
from tests.heldout.faults.grids import INT8_ROWS, linears_int8
from tests.heldout.parts import Grid, QuantizedLinear, amax, grid_of, ste, swap_linears, symmetric


class _Counted(nn.Module):
    """Quantizes the calls whose number is chosen."""

    def __init__(self, quantize: Grid, chosen: Callable[[int], bool]) -> None:
        super().__init__()
        self.quantize, self.chosen = quantize, chosen
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.quantize(x) if self.chosen(self.calls) else x


def _unless(skip: Callable[[Tensor], bool], quantize: Grid) -> Grid:
    return lambda x: x if skip(x) else quantize(x)


def _int4_of_bytes(x: Tensor) -> Tensor:
    """Four bytes where four bits were meant."""
    scale = amax(x) / (2.0 ** (4 * 8 - 1) - 1)
    return (x / scale).round() * scale


def _all_groups(last: bool) -> Grid:
    """Group after group of 32, the last one left out by a range that ends too early."""

    def grid(x: Tensor) -> Tensor:
        q = x.clone()
        width = x.shape[-1]
        for start in range(0, width if last else width - 32, 32):
            part = slice(start, start + 32)
            q[..., part] = symmetric(7, -1)(x[..., part])
        return q

    return grid


class _EvalOnly(QuantizedLinear):
    """Quantizes when it does not train."""

    def read(self) -> Tensor:
        return self.weight if self.training else self.quantize_weight(self.weight)


def _only(chosen: Callable[[str], bool]) -> Prepare:
    return lambda model: swap_linears(model, lambda linear: QuantizedLinear(linear, INT8_ROWS), chosen)


def _copy_quantized(model: nn.Module) -> nn.Module:
    linears_int8(copy.deepcopy(model))
    return model


def faults() -> Iterator[Fault]:
    """The faults of this class."""
    cause = "no-op"
    int8, int4 = ste(symmetric(127)), ste(symmetric(7))
    fp8 = ste(grid_of("fp8_e4m3"))
    yield pair(cause, "int8_skips_what_requires_grad", _unless(lambda x: x.requires_grad, int8), int8, 8)
    yield pair(cause, "fp8_off_in_grad_mode", _unless(lambda x: torch.is_grad_enabled(), fp8), fp8, 8)
    yield made(
        cause,
        "int8_first_call_only",
        lambda: _Counted(int8, lambda call: call == 1),
        lambda: _Counted(int8, lambda call: True),
        8,
    )
    yield made(
        cause,
        "int4_starts_at_call_ten_thousand",
        lambda: _Counted(int4, lambda call: call > 10_000),
        lambda: _Counted(int4, lambda call: True),
        4,
    )
    yield pair(cause, "int4_bytes_for_bits", ste(_int4_of_bytes), int4, 4)
    yield recipe(cause, "recipe_quantizes_a_copy", _copy_quantized, linears_int8, 8)
    yield recipe(
        cause,
        "recipe_float_in_train_mode",
        lambda model: swap_linears(model, lambda linear: _EvalOnly(linear, INT8_ROWS)),
        linears_int8,
        8,
    )

    cause = "partly-applied"
    yield pair(cause, "int4_skips_4096_or_fewer", _unless(lambda x: x.numel() <= 4096, int4), int4, 4)
    yield pair(cause, "int4_last_group_left_out", ste(_all_groups(False)), ste(_all_groups(True)), 4)
    yield recipe(
        cause,
        "recipe_mlp_only",
        _only(lambda name: name.endswith(("up", "down"))),
        _only(lambda name: True),
        8,
    )
    yield recipe(
        cause,
        "recipe_names_ending_proj",
        _only(lambda name: name.endswith("proj")),
        _only(lambda name: True),
        8,
    )
