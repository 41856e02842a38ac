"""`brevitas`: `QuantLinear` and `QuantIdentity` with the quantizers that it ships."""

from __future__ import annotations

from typing import Any

import torch
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
    replace_linears,
)

PACKAGE = "brevitas"


def _quant(name: str, **options: Any) -> Any:
    """A quantizer of `brevitas.quant`, with options of its own if given."""
    import importlib

    modules = (
        "scaled_int",
        "shifted_scaled_int",
        "fixed_point",
        "binary",
        "ternary",
        "float",
        "mx_quant_ocp",
        "none",
    )
    for module in modules:
        found = getattr(importlib.import_module(f"brevitas.quant.{module}"), name, None)
        if found is not None:
            return found.let(**options) if options else found
    raise AttributeError(f"brevitas.quant has no {name}")


def _swapped(weight: str, inputs: str | None = None, head: bool = True, **options: Any) -> Any:
    """`QuantLinear` in place of each linear layer, the weights as they are.

    Args:
        weight: The weights' quantizer.
        inputs: The inputs' quantizer.
        head: Whether the last layer is replaced too.
        options: Of `QuantLinear`, `weight_bit_width` and `input_bit_width` among them.
    """

    def prepare(model: nn.Module) -> nn.Module:
        import brevitas.nn as qnn

        def make(linear: nn.Linear) -> nn.Module:
            if linear.out_features == 128 and linear.in_features == 64 and linear is model.head and not head:
                return linear
            new = qnn.QuantLinear(
                linear.in_features,
                linear.out_features,
                bias=False,
                weight_quant=_quant(weight),
                input_quant=None if inputs is None else _quant(inputs),
                **options,
            )
            new.load_state_dict({"weight": linear.weight.data}, strict=False)
            return new  # type: ignore[no-any-return]

        return replace_linears(model, make)

    return prepare


def _then(prepare: Any, change: Any) -> Any:
    def changed(model: nn.Module) -> nn.Module:
        prepared: nn.Module = prepare(model)
        change(prepared)
        return prepared

    return changed


def _collect(model: nn.Module, batches: Batches) -> None:
    """Activation scales come from statistics of the first batches."""
    from brevitas.graph.calibrate import calibration_mode

    with calibration_mode(model):
        feed(model, batches)


def _disabled(model: nn.Module) -> None:
    """The weights' quantizers are off, as a calibration without its end leaves them."""
    from brevitas.graph.calibrate import disable_enable_quantization

    disable_enable_quantization if False else None  # noqa: B018
    for module in model.modules():
        if hasattr(module, "weight_quant"):
            module.weight_quant.disable_quant = True


def healthy() -> Setups:
    """As shipped."""
    w8, a8 = "Int8WeightPerTensorFloat", "Int8ActPerTensorFloat"
    channel, shifted = "Int8WeightPerChannelFloat", "ShiftedUint8WeightPerTensorFloat"
    return named(
        [
            recipe("brevitas_w8", _swapped(w8), 8),
            recipe("brevitas_w8_channel", _swapped(channel), 8),
            recipe("brevitas_w4", _swapped(w8, weight_bit_width=4), 4),
            recipe("brevitas_w4_channel", _swapped(channel, weight_bit_width=4), 4),
            recipe("brevitas_w8a8", _swapped(w8, a8), 8, _collect),
            recipe("brevitas_w4a8", _swapped(w8, a8, weight_bit_width=4), 4, _collect),
            recipe("brevitas_w8a8_uncalibrated", _swapped(w8, a8), 8),
            recipe("brevitas_shifted", _swapped(shifted), 8),
            recipe("brevitas_shifted_channel", _swapped("ShiftedUint8WeightPerChannelFloat"), 8),
            recipe("brevitas_shifted_w8a8", _swapped(shifted, "ShiftedUint8ActPerTensorFloat"), 8, _collect),
            recipe("brevitas_fixed_point", _swapped("Int8WeightPerTensorFixedPoint"), 8),
            recipe("brevitas_fp8", _swapped("Fp8e4m3WeightPerTensorFloat"), 8),
            recipe("brevitas_mxfp8", _swapped("MXFloat8e4m3Weight"), 8),
            recipe("brevitas_mxint8", _swapped("MXInt8Weight"), 8),
            recipe("brevitas_decoupled", _swapped("Int8WeightPerChannelFloatDecoupled"), 8),
            recipe("brevitas_binary", _swapped("SignedBinaryWeightPerTensorConst"), 1),
            recipe("brevitas_ternary", _swapped("SignedTernaryWeightPerTensorConst"), 1.58),
        ]
    )


def broken() -> Faults:
    """As users break it."""
    return faults([])
