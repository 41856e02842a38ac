"""`aimet-torch`: `QuantizeDequantize` with learned ranges, whole models of quantized layers, and floats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tests.integration.parts import (
    Batches,
    Faults,
    Setups,
    fault,
    faults,
    feed,
    made,
    named,
    recipe,
    replace_linears,
    without_torchvision_kernels,
)

PACKAGE = "aimet_torch"


def quantization() -> Any:
    without_torchvision_kernels()
    import aimet_torch.quantization as quantization

    return quantization


def _affine(bits: int, *, symmetric: bool, **more: Any) -> Callable[[], Any]:
    return lambda: quantization().affine.QuantizeDequantize(
        shape=(), bitwidth=bits, symmetric=symmetric, **more
    )


def _float(exponent: int, mantissa: int) -> Callable[[], Any]:
    return lambda: quantization().float.FloatQuantizeDequantize(
        exponent_bits=exponent, mantissa_bits=mantissa
    )


def _observe(quantizer: Any, batches: Batches) -> None:
    """Ranges from the tensors, under `compute_encodings`."""
    with quantizer.compute_encodings():
        feed(quantizer, batches)


def _layers(make: Callable[[nn.Linear], Any], inputs: Callable[[], Any] | None = None) -> Any:
    """AIMET's `QuantizedLinear` in place of each linear layer."""

    def prepare(model: nn.Module) -> nn.Module:
        without_torchvision_kernels()
        import aimet_torch.nn as qnn

        def swap(linear: nn.Linear) -> nn.Module:
            new = qnn.QuantizationMixin.from_module(linear)
            new.param_quantizers["weight"] = make(linear)
            if inputs is not None:
                new.input_quantizers[0] = inputs()
            with new.compute_encodings() if False else _weights_only(new):
                pass
            return new  # type: ignore[no-any-return]

        return replace_linears(model, swap)

    return prepare


def healthy() -> Setups:
    """As shipped."""
    return named(
        [
            made("aimet_symmetric_8", _affine(8, symmetric=True), 8, calibrate=_observe),
            made("aimet_symmetric_4", _affine(4, symmetric=True), 4, calibrate=_observe),
            made("aimet_asymmetric_8", _affine(8, symmetric=False), 8, calibrate=_observe),
            made("aimet_asymmetric_4", _affine(4, symmetric=False), 4, calibrate=_observe),
            made("aimet_float_e4m3", _float(4, 3), 8, calibrate=_observe),
        ]
    )


def broken() -> Faults:
    """As users break it."""
    return faults([])
