"""`brevitas`: `QuantLinear` with the quantizers that it ships.

All of it runs on a CPU. The healthy ones end within 0.08 BPB of float32 (100 steps of AdamW), binary and
ternary within 0.6.
The constant scale of 0.1 that binary and ternary ship with is a placeholder, 4 times this model's head: it is set
from the weights here.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from tests.integration.parts import Batches, Faults, Setups, fault, faults, feed, linears, named, recipe

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


def _swapped(weight: Any, inputs: Any = None, chosen: str = "", **options: Any) -> Any:
    """`QuantLinear` in place of each linear layer, the weights as they are.

    Args:
        weight: The weights' quantizer: a name, a function of the layer, or None.
        inputs: The inputs' quantizer, as well.
        chosen: What the names of the layers that are replaced contain.
        options: Of `QuantLinear`, `weight_bit_width` among them.
    """

    def prepare(model: nn.Module) -> nn.Module:
        import brevitas.nn as qnn

        for name, linear in list(linears(model)):
            if chosen in name:
                new = qnn.QuantLinear(
                    linear.in_features,
                    linear.out_features,
                    bias=False,
                    weight_quant=_resolved(weight, linear),
                    input_quant=_resolved(inputs, linear),
                    **options,
                )
                new.load_state_dict({"weight": linear.weight.data}, strict=False)
                model.set_submodule(name, new)
        return model

    return prepare


def _resolved(quantizer: Any, linear: nn.Linear) -> Any:
    return _quant(quantizer) if isinstance(quantizer, str) else quantizer and quantizer(linear)


def _let(name: str, **options: Any) -> Any:
    return lambda linear: _quant(name, **options)


def _of_mean(name: str, times: float = 1.0) -> Any:
    """A constant scale: the weights' mean magnitude."""
    return lambda linear: _quant(name, scaling_init=float(linear.weight.abs().mean()) * times)


def _floored(linear: nn.Linear) -> Any:
    from brevitas.inject.enum import FloatToIntImplType

    return _quant("Int8WeightPerTensorFloat", float_to_int_impl_type=FloatToIntImplType.FLOOR, bit_width=4)


def _constant(threshold: float) -> Any:
    """A threshold that is not of these weights."""

    def make(linear: nn.Linear) -> Any:
        from brevitas.inject.enum import ScalingImplType

        return _quant(
            "Int8WeightPerTensorFloat", scaling_impl_type=ScalingImplType.CONST, scaling_init=threshold
        )

    return make


def _collect(model: nn.Module, batches: Batches) -> None:
    """Activation scales come from statistics of the first batches."""
    from brevitas.graph.calibrate import calibration_mode

    with calibration_mode(model):
        feed(model, batches)


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
            recipe("brevitas_decoupled", _swapped("Int8WeightPerChannelFloatDecoupled"), 8),
            recipe("brevitas_binary", _swapped(_of_mean("SignedBinaryWeightPerTensorConst")), 1),
            recipe("brevitas_ternary", _swapped(_of_mean("SignedTernaryWeightPerTensorConst")), 1.58),
        ]
    )


def broken() -> Faults:
    """As users break it."""
    known = healthy()
    w8, w4, w8a8 = known["brevitas_w8"], known["brevitas_w4"], known["brevitas_w8a8"]
    binary = _of_mean("SignedBinaryWeightPerTensorConst", 45.0)
    unsigned = _let("Int8WeightPerTensorFloat", signed=False)
    narrow = _let("Int8ActPerTensorFloatMinMaxInit", min_val=-1e-3, max_val=1e-3)
    name = "Int8WeightPerTensorFloat"
    small, large = _swapped(_constant(1e-2)), _swapped(_constant(100.0))
    rectified = _swapped(name, "Uint8ActPerTensorFloat")
    return faults(
        [
            fault("no-op", recipe("brevitas_no_weight_quant", _swapped(None), 8), w8),
            fault("partly-applied", recipe("brevitas_attention_only", _swapped(name, chosen="qkv"), 8), w8),
            fault("sign-lost", recipe("brevitas_unsigned", _swapped(unsigned), 8), w8),
            # inputs are signed: they come from a norm
            fault("sign-lost", recipe("brevitas_unsigned_inputs", rectified, 8, _collect), w8a8, "gradient-blocked"),
            # As shipped: its scale is the power of two below the largest value of a block, over 128, so that up to half
            # of that value is clipped. 16 dB, where the format can do 42; under Muon it ends 0.4 BPB behind float32.
            fault("scale-stale", recipe("brevitas_mxint8", _swapped("MXInt8Weight"), 8), known["brevitas_mxfp8"]),
            fault("rounding-biased", recipe("brevitas_floored", _swapped(_floored), 4), w4),
            fault("scale-stale", recipe("brevitas_clipped", small, 8), w8, "range-collapsed", "not-dequantized"),
            fault("range-collapsed", recipe("brevitas_threshold_large", large, 8), w8, "gradient-blocked"),
            fault("not-dequantized", recipe("brevitas_binary_45_times", _swapped(binary), 1), known["brevitas_binary"]),
            fault("scale-stale", recipe("brevitas_inputs_clipped", _swapped(name, narrow), 8), w8a8, "range-collapsed"),
        ]
    )  # fmt: skip
