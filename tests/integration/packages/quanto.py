"""`optimum-quanto`: `quantize()` and train, which quantizes the weights anew in each forward pass.

All of it runs on a CPU; the first use of 4 bits compiles for a minute. Each healthy one ends within 0.05 BPB of
float32 (100 steps of AdamW).
"""

from __future__ import annotations

from typing import Any

from torch import nn

from tests.integration.parts import (
    Batches,
    Faults,
    Setups,
    fault,
    faults,
    feed,
    named,
    recipe,
    without_torchvision_kernels,
)

PACKAGE = "optimum.quanto"


def quanto() -> Any:
    without_torchvision_kernels()
    import optimum.quanto as quanto

    return quanto


def _quantized(weights: str | None, activations: str | None = None, **options: Any) -> Any:
    """`quantize()` with types by their names."""

    def prepare(model: nn.Module) -> nn.Module:
        quanto().quantize(model, weights=weights, activations=activations, **options)
        return model

    return prepare


def _calibrate(model: nn.Module, batches: Batches) -> None:
    """Activations get their scales under `Calibration`."""
    with quanto().Calibration():
        feed(model, batches)


def _frozen(model: nn.Module) -> nn.Module:
    """`freeze()` before training: the weights are their codes."""
    quanto().quantize(model, weights="qint8")
    quanto().freeze(model)
    return model


def _scaled(factor: float) -> Any:
    """`quantize()` with an optimizer of scales that is off by a factor."""

    def prepare(model: nn.Module) -> nn.Module:
        class Off(quanto().AbsmaxOptimizer):  # type: ignore[misc]
            def optimize(self, *args: Any, **options: Any) -> Any:
                return super().optimize(*args, **options) * factor

        quanto().quantize(model, weights="qint8", optimizer=Off())
        return model

    return prepare


def healthy() -> Setups:
    """As shipped."""
    return named(
        [
            recipe("quanto_int8", _quantized("qint8"), 8),
            recipe("quanto_int4", _quantized("qint4"), 4),
            recipe("quanto_int2", _quantized("qint2"), 2),
            recipe("quanto_float8", _quantized("qfloat8"), 8),
            recipe("quanto_float8_e5m2", _quantized("qfloat8_e5m2"), 8),
            recipe("quanto_int8_int8", _quantized("qint8", "qint8"), 8, _calibrate),
            recipe("quanto_int4_int8", _quantized("qint4", "qint8"), 4, _calibrate),
        ]
    )


def broken() -> Faults:
    """As users break it."""
    int8 = healthy()["quanto_int8"]
    return faults(
        [
            # weights that are codes have no gradient
            fault("gradient-blocked", recipe("quanto_frozen", _frozen, 8), int8, "update-swallowed"),
            fault(
                "no-op", recipe("quanto_matches_nothing", _quantized("qint8", include="attention.*"), 8), int8
            ),
            fault(
                "partly-applied",
                recipe("quanto_attention_only", _quantized("qint8", include="*qkv"), 8),
                int8,
            ),
            fault("scale-stale", recipe("quanto_scale_too_small", _scaled(0.05), 8), int8, "range-collapsed"),
            fault("range-collapsed", recipe("quanto_scale_too_large", _scaled(300.0), 8), int8, "sign-lost"),
        ]
    )
