"""The conftest of a project whose quantizers are broken, each in one way, beside what mends it.

`test_broken_formats.py` copies it as `conftest.py`. Imported in this repository it registers nothing.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import quantgate

Quantizer = Callable[[Tensor], Tensor]


def scale_of(w: Tensor, largest: float) -> Tensor:
    return (w.detach().abs().amax() / largest).clamp_min(1e-12)


def int4(w: Tensor) -> Tensor:
    scale = scale_of(w, 7)
    return (w / scale).round() * scale


def straight_through(w: Tensor, q: Tensor) -> Tensor:
    """The values of q with the gradient of the identity."""
    return w + (q - w).detach()


def healthy_int4(w: Tensor) -> Tensor:
    return straight_through(w, int4(w))


# gradient-blocked


def round_without_ste(w: Tensor) -> Tensor:
    return (w * 64).round() / 64


def round_with_ste(w: Tensor) -> Tensor:
    return straight_through(w, (w * 64).round() / 64)


@torch.no_grad()
def under_no_grad(w: Tensor) -> Tensor:
    return straight_through(w, int4(w))


# gradient-wrong, gradient-misscaled


def negated_gradient(w: Tensor) -> Tensor:
    return int4(w).detach() - (w - w.detach())


def gradient_times_scale(w: Tensor) -> Tensor:
    return int4(w).detach() + (w - w.detach()) * scale_of(w, 7)


# not-dequantized, range-collapsed, sign-lost


def scale_left_out(w: Tensor) -> Tensor:
    return straight_through(w, (w / scale_of(w, 7)).round())


def coarse_grid(w: Tensor) -> Tensor:
    return straight_through(w, (w / 0.25).round() * 0.25)


def fitting_grid(w: Tensor) -> Tensor:
    step = scale_of(w, 7)
    return straight_through(w, (w / step).round() * step)


def gf8_without_scale(w: Tensor) -> Tensor:
    """The incident's: neither a scale nor subnormals, so that what is below 1/8 is 0."""
    q = quantgate.get_format("gf8").fake_quantize(w.detach(), scale=1.0)
    return straight_through(w, torch.where(w.abs() < 1 / 8, 0, q))


def gf8_with_scale(w: Tensor) -> Tensor:
    return straight_through(w, quantgate.get_format("gf8").fake_quantize(w.detach()))


def no_zero_point(w: Tensor) -> Tensor:
    scale = scale_of(w, 255)
    return straight_through(w, (w / scale).round().clamp(0, 255) * scale)


def zero_point(w: Tensor) -> Tensor:
    low, high = w.detach().aminmax()
    scale = ((high - low) / 255).clamp_min(1e-12)
    return straight_through(w, ((w - low) / scale).round().clamp(0, 255) * scale + low)


# no-op, non-finite


def returns_its_input(w: Tensor) -> Tensor:
    return w


def copies_in_bfloat16(w: Tensor) -> Tensor:
    return straight_through(w, w.bfloat16().float())


def zero_row_divides(w: Tensor) -> Tensor:
    sparse = torch.where(w.detach().abs() < 3 * w.detach().std(), 0, w.detach())
    scale = sparse.abs().amax(dim=-1, keepdim=True) / 7
    return straight_through(w, (sparse / scale).round() * scale)


def zero_row_is_guarded(w: Tensor) -> Tensor:
    scale = (w.detach().abs().amax(dim=-1, keepdim=True) / 7).clamp_min(1e-12)
    return straight_through(w, (w.detach() / scale).round() * scale)


def overflows(w: Tensor) -> Tensor:
    return straight_through(w, (w.detach() * 65504).half().float() / 65504)


def infinite_gradient(w: Tensor) -> Tensor:
    """The square root of a code 0 has an infinite slope, and 0 times that is NaN."""
    codes = straight_through(w, int4(w))
    return codes.sign() * codes.abs().sqrt().square()


# contract


def wrong_shape(w: Tensor) -> Tensor:
    return healthy_int4(w).flatten()


def wrong_dtype(w: Tensor) -> Tensor:
    return healthy_int4(w).half()


def returns_nan(w: Tensor) -> Tensor:
    return healthy_int4(w) * float("nan")


def changes_its_input(w: Tensor) -> Tensor:
    with torch.no_grad():
        w.mul_(0.5)
    return healthy_int4(w)


def returns_a_tuple(w: Tensor) -> Tensor:
    return (healthy_int4(w), scale_of(w, 7))  # type: ignore[return-value]


CALLS = itertools.count()


def nondeterministic(w: Tensor) -> Tensor:
    return healthy_int4(w) * (1 + next(CALLS) / 1e4)


def stochastic(w: Tensor) -> Tensor:
    scale = scale_of(w, 7)
    return straight_through(w, (w / scale + torch.rand_like(w) - 0.5).round() * scale)


def stochastic_int8(w: Tensor) -> Tensor:
    scale = scale_of(w, 127)
    return straight_through(w, (w / scale + torch.rand_like(w) - 0.5).round() * scale)


def raises(w: Tensor) -> Tensor:
    raise ArithmeticError("no codes left\x1b[31m\nsecond line")


def raises_in_training(w: Tensor) -> Tensor:
    """Healthy where the probes look at it: only the embedding and the head have 128 rows of 32."""
    if w.shape == (128, 32):
        raise RuntimeError("no room for 128 rows")
    return healthy_int4(w)


def never_ends(w: Tensor) -> Tensor:
    while True:
        time.sleep(0.05)


#: Name -> (quantizer, bits). A twin is named after what it mends.
BROKEN: dict[str, tuple[Quantizer, float | None]] = {
    "round_without_ste": (round_without_ste, 8),
    "under_no_grad": (under_no_grad, 4),
    "negated_gradient": (negated_gradient, 4),
    "scale_left_out": (scale_left_out, 4),
    "coarse_grid": (coarse_grid, 4),
    "gf8_without_scale": (gf8_without_scale, 8),
    "no_zero_point": (no_zero_point, 8),
    "returns_its_input": (returns_its_input, 8),
    "zero_row_divides": (zero_row_divides, 4),
    "overflows": (overflows, 16),
    "infinite_gradient": (infinite_gradient, 4),
    "wrong_shape": (wrong_shape, 4),
    "wrong_dtype": (wrong_dtype, 4),
    "returns_nan": (returns_nan, 4),
    "changes_its_input": (changes_its_input, 4),
    "returns_a_tuple": (returns_a_tuple, 4),
    "nondeterministic": (nondeterministic, 4),
    "raises": (raises, 4),
    "raises_in_training": (raises_in_training, None),
    "never_ends": (never_ends, 4),
}
HEALTHY: dict[str, tuple[Quantizer, float | None]] = {
    "round_with_ste": (round_with_ste, 8),
    "healthy_int4": (healthy_int4, 4),
    "fitting_grid": (fitting_grid, 4),
    "gf8_with_scale": (gf8_with_scale, 8),
    "zero_point": (zero_point, 8),
    "copies_in_bfloat16": (copies_in_bfloat16, 16),
    "zero_row_is_guarded": (zero_row_is_guarded, 4),
    "stochastic": (stochastic, 4),
}


def pytest_quantgate_register(registry: object) -> None:
    for name, (quantizer, bits) in (BROKEN | HEALTHY).items():
        quantgate.register_format(name, quantizer, bits=bits)
    quantgate.register_format("gradient_times_scale", gradient_times_scale, bits=4)
    quantgate.register_format("stochastic_int8", stochastic_int8, bits=8)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "never_ends" in item.name:
            item.add_marker(pytest.mark.timeout(2))
