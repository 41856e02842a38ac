"""`qtorch` (QPyTorch): fixed point, floats and block floating point, to nearest and stochastic.

All of it runs on a CPU; the first import compiles for half a minute. Stochastic rounding draws from a generator of
its own, which torch's seed does not reach: healthy, and not reproducible.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from quantgate.faults.setups import Setup
from tests.integration.parts import Faults, Setups, fault, faults, function, named

PACKAGE = "qtorch"

Number = Callable[[], Any]


def _fixed(word: int, fraction: int, **options: Any) -> Number:
    def make() -> Any:
        from qtorch import FixedPoint

        return FixedPoint(word, fraction, **options)

    return make


def _float(exponent: int, mantissa: int) -> Number:
    def make() -> Any:
        from qtorch import FloatingPoint

        return FloatingPoint(exponent, mantissa)

    return make


def _block(word: int, dim: int = 0) -> Number:
    def make() -> Any:
        from qtorch import BlockFloatingPoint

        return BlockFloatingPoint(word, dim)

    return make


def _made(
    name: str,
    number: Number,
    bits: float,
    rounding: str = "nearest",
    backward: Number | None = None,
    **options: Any,
) -> Setup:
    """A function of `qtorch.quant.quantizer`."""
    built: list[Callable[[Tensor], Tensor]] = []

    def quantize(x: Tensor) -> Tensor:
        from qtorch.quant import quantizer

        if not built:
            gradients = None if backward is None else backward()
            built.append(
                quantizer(
                    number(), gradients, forward_rounding=rounding, backward_rounding=rounding, **options
                )
            )
        return built[0](x)

    return function(name, quantize, bits)


def _bare(x: Tensor) -> Tensor:
    from qtorch.quant import fixed_point_quantize

    found: Tensor = fixed_point_quantize(x, 8, 7, rounding="nearest")
    return found


def healthy() -> Setups:
    """As shipped."""
    return named(
        [
            _made("qtorch_fixed_8", _fixed(8, 7), 8),
            _made("qtorch_fixed_12", _fixed(12, 10), 12),
            _made("qtorch_fixed_8_stochastic", _fixed(8, 7), 8, "stochastic"),
            _made("qtorch_fixed_8_clamped_gradient", _fixed(8, 7), 8, clamping_grad_zero=True),
            _made("qtorch_e4m3", _float(4, 3), 8),
            _made("qtorch_e5m2", _float(5, 2), 8),
            _made("qtorch_e5m2_stochastic", _float(5, 2), 8, "stochastic"),
            _made("qtorch_e8m7_both", _float(8, 7), 16, backward=_float(8, 7)),
            _made("qtorch_block_8", _block(8), 8),
            _made("qtorch_block_8_stochastic", _block(8), 8, "stochastic"),
            _made("qtorch_block_4", _block(4), 4),
        ]
    )


def broken() -> Faults:
    """As users break it."""
    known = healthy()
    fixed, e5m2 = known["qtorch_fixed_8"], known["qtorch_e5m2"]
    clipped = _made("qtorch_fixed_8_12", _fixed(8, 12), 8)
    e4m3 = _made("qtorch_gradient_e4m3", _float(5, 2), 8, backward=_float(4, 3))
    both = _made("qtorch_gradient_fixed", _fixed(8, 7), 8, backward=_fixed(8, 7))
    return faults(
        [
            # steps of a quarter: nearly all weights are 0
            fault("range-collapsed", _made("qtorch_fixed_4_2", _fixed(4, 2), 4), fixed, "sign-lost"),
            # a range of a 32nd: most weights are clipped
            fault("scale-stale", clipped, fixed, "range-collapsed", "not-dequantized"),
            # steps of an eighth
            fault("range-collapsed", _made("qtorch_fixed_8_3", _fixed(8, 3), 8), fixed, "sign-lost"),
            # gradients as they are, and far below the smallest value
            fault("grad-format", e4m3, e5m2, "gradient-blocked"),
            fault("grad-format", both, fixed, "gradient-blocked"),
            # the bare function has no backward
            fault("gradient-blocked", function("qtorch_without_ste", _bare, 8), fixed),
        ]
    )  # fmt: skip
