"""`aimet-torch` 2.42: `QuantizeDequantize` with learned ranges, whole models of quantized layers, and floats.

All of it runs on a CPU. The healthy ones end within 0.03 BPB of float32 (100 steps of AdamW).
"""

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


def _float8() -> Any:
    return quantization().float.FloatQuantizeDequantize(dtype=torch.float8_e4m3fn)


def _observe(quantizer: Any, batches: Batches) -> None:
    """Ranges from the tensors, under `compute_encodings`."""
    with quantizer.compute_encodings():
        feed(quantizer, batches)


def _layers(make: Callable[[nn.Linear], Any], inputs: Callable[[], Any] | None = None) -> Any:
    """AIMET's `QuantizedLinear` in place of each linear layer, the ranges of its weights computed."""

    def prepare(model: nn.Module) -> nn.Module:
        quantization()
        import aimet_torch.nn as qnn

        def swap(linear: nn.Linear) -> nn.Module:
            new = qnn.QuantizationMixin.from_module(linear)
            new.param_quantizers["weight"] = make(linear)
            if inputs is not None:
                new.input_quantizers[0] = inputs()
            new.compute_param_encodings()
            return new  # type: ignore[no-any-return]

        return replace_linears(model, swap)

    return prepare


def _observe_model(model: nn.Module, batches: Batches) -> None:
    """The ranges of the inputs, under `compute_encodings`."""
    import aimet_torch.nn as qnn

    with qnn.compute_encodings(model):
        feed(model, batches)


def _channel(linear: nn.Linear) -> Any:
    shape = (linear.out_features, 1)
    return quantization().affine.QuantizeDequantize(shape=shape, bitwidth=8, symmetric=True)


def _block(linear: nn.Linear) -> Any:
    return quantization().affine.QuantizeDequantize(
        shape=(linear.out_features, linear.in_features // 32), bitwidth=4, symmetric=True, block_size=(1, 32)
    )


def _grouped(linear: nn.Linear) -> Any:
    return quantization().affine.GroupedBlockQuantizeDequantize(
        shape=(linear.out_features, linear.in_features // 32),
        bitwidth=4,
        symmetric=True,
        decompressed_bw=8,
        block_size=(1, 32),
        block_grouping=(1, linear.in_features // 32),
    )


def _none(linear: nn.Linear) -> None:
    return None


def _shown(change: Callable[[Tensor], Tensor]) -> Callable[[Any, Batches], None]:
    """Calibration with data that is not what is quantized."""

    def calibrate(quantizer: Any, batches: Batches) -> None:
        _observe(quantizer, [change(batch) for batch in batches])

    return calibrate


def _ranged(low: float, high: float, *, symmetric: bool) -> Callable[[], Any]:
    """A range that was set by hand."""

    def make() -> Any:
        quantizer = _affine(8, symmetric=symmetric)()
        quantizer.set_range(torch.tensor(low), torch.tensor(high))
        return quantizer

    return make


def _unsigned() -> Any:
    quantizer = _affine(8, symmetric=True)()
    quantizer.signed = False
    return quantizer


def _codes() -> Any:
    return quantization().affine.Quantize(shape=(), bitwidth=8, symmetric=True)


def healthy() -> Setups:
    """As shipped."""
    return named(
        [
            made("aimet_symmetric_8", _affine(8, symmetric=True), 8, calibrate=_observe),
            made("aimet_symmetric_4", _affine(4, symmetric=True), 4, calibrate=_observe),
            # codes from 0 to 255 and an offset of 128: the same values
            made("aimet_unsigned_codes", _unsigned, 8, calibrate=_observe),
            made("aimet_asymmetric_8", _affine(8, symmetric=False), 8, calibrate=_observe),
            made("aimet_asymmetric_4", _affine(4, symmetric=False), 4, calibrate=_observe),
            recipe("aimet_channel_8", _layers(_channel), 8),
            recipe("aimet_block_4", _layers(_block), 4),
            recipe("aimet_grouped_block_4", _layers(_grouped), 4),
            recipe("aimet_w8a8", _layers(_channel, _affine(8, symmetric=False)), 8, _observe_model),
        ]
    )


def broken() -> Faults:
    """As users break it."""
    known = healthy()
    eight, asymmetric, channel = (
        known["aimet_symmetric_8"],
        known["aimet_asymmetric_8"],
        known["aimet_channel_8"],
    )
    magnitudes = made("aimet_magnitudes", _affine(8, symmetric=False), 8, calibrate=_shown(torch.abs))
    tenth, wide = _ranged(-1e-2, 1e-2, symmetric=True), _ranged(-200.0, 200.0, symmetric=True)
    return faults(
        [
            fault("sign-lost", magnitudes, asymmetric),
            fault("scale-stale", made("aimet_range_too_small", tenth, 8), eight, "range-collapsed", "not-dequantized"),
            fault("range-collapsed", made("aimet_range_too_large", wide, 8), eight, "gradient-blocked"),
            # as shipped: `round()` without an estimator, and a cast to float8 whose gradient comes back in float8
            fault("gradient-blocked", made("aimet_float_e4m3", _float(4, 3), 8, calibrate=_observe), eight),
            fault("grad-format", made("aimet_float8", _float8, 8, calibrate=_observe), eight, "gradient-blocked"),
            fault("not-dequantized", made("aimet_codes", _codes, 8, calibrate=_observe), eight),
            fault("no-op", recipe("aimet_no_weight_quantizer", _layers(_none), 8), channel),
        ]
    )  # fmt: skip
