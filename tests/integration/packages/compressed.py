"""`compressed-tensors`: the presets' weight schemes, by `fake_quantize` and a straight-through estimator.

Groups are as large as this model's rows allow, 32 in place of 128. All of it runs on a CPU, and the healthy ones end
within 0.03 BPB of float32 (100 steps of AdamW).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from quantgate.faults.setups import Setup
from tests.integration.parts import (
    Faults,
    Setups,
    fault,
    faults,
    function,
    linears,
    named,
    recipe,
    ste,
    without_torchvision_kernels,
)

PACKAGE = "compressed_tensors"


def quantization() -> Any:
    without_torchvision_kernels()
    import compressed_tensors.quantization as quantization

    return quantization


def _scheme(name: str, **changes: Any) -> Any:
    """What a preset does to weights."""
    return quantization().preset_name_to_scheme(name, ["Linear"]).weights.model_copy(update=changes)


def _qparams(x: Tensor, args: Any) -> tuple[Tensor, Tensor, Tensor | None]:
    """Scale, zero point and scale of the tensor, as an observer of minimum and maximum gives them."""
    from compressed_tensors.quantization.utils import calculate_qparams, generate_gparam

    strategy = str(args.strategy)
    if "group" in strategy:
        values = x.reshape(*x.shape[:-1], -1, args.group_size)
        low, high = values.amin(-1), values.amax(-1)
    elif strategy == "channel":
        low, high = x.amin(-1, keepdim=True), x.amax(-1, keepdim=True)
    else:
        low, high = x.min(), x.max()
    whole = generate_gparam(x.min(), x.max()) if strategy == "tensor_group" else None
    scale, zero_point = calculate_qparams(low, high, args, global_scale=whole)
    return scale, zero_point, whole


def _grid(
    name: str,
    change: Callable[[Tensor, Tensor, Any], tuple[Tensor, Tensor, Any]] | None = None,
    **changes: Any,
) -> Callable[[Tensor], Tensor]:
    """`fake_quantize` with a preset; `change` is given scale, zero point and the tensor's scale."""

    def quantize(x: Tensor) -> Tensor:
        args = _scheme(name, **changes)
        qparams = _qparams(x.detach(), args)
        scale, zero_point, whole = qparams if change is None else change(*qparams)
        found: Tensor = quantization().fake_quantize(x, scale, zero_point, args, global_scale=whole)
        return found

    return quantize


def _made(name: str, preset: str, bits: float, **changes: Any) -> Setup:
    return function(name, ste(_grid(preset, **changes)), bits)


def _changed(name: str, preset: str, bits: float, change: Any, **changes: Any) -> Setup:
    return function(name, ste(_grid(preset, change, **changes)), bits)


def _layers(preset: str, scales: bool = True, **changes: Any) -> Any:
    """`apply_quantization_config`, and the scales as an observer would set them once; else 1."""

    def prepare(model: nn.Module) -> nn.Module:
        found = quantization()
        scheme = found.preset_name_to_scheme(preset, ["Linear"])
        if changes:
            scheme.weights = scheme.weights.model_copy(update=changes)
        config = found.QuantizationConfig(config_groups={"all": scheme})
        found.apply_quantization_config(model, config)
        for _, linear in linears(model):
            scale, zero_point, _ = _qparams(linear.weight.detach(), scheme.weights)
            held: dict[str, Any] = {**dict(linear.named_parameters()), **dict(linear.named_buffers())}
            held["weight_scale"].data.copy_(scale if scales else torch.ones_like(scale))
            if "weight_zero_point" in held:
                held["weight_zero_point"].data.copy_(zero_point)
        return model

    return prepare


def _no_zero_point(scale: Tensor, zero_point: Tensor, whole: Any) -> tuple[Tensor, Tensor, Any]:
    return scale, torch.full_like(zero_point, -8), whole


def _ones(scale: Tensor, zero_point: Tensor, whole: Any) -> tuple[Tensor, Tensor, Any]:
    return torch.ones_like(scale), zero_point, whole


def _of_8_bits(scale: Tensor, zero_point: Tensor, whole: Any) -> tuple[Tensor, Tensor, Any]:
    return scale * 7 / 127, zero_point, whole


def _without_whole(scale: Tensor, zero_point: Tensor, whole: Any) -> tuple[Tensor, Tensor, Any]:
    return scale, zero_point, None


def healthy() -> Setups:
    """As shipped."""
    return named(
        [
            _made("ct_w8a8", "W8A8", 8),
            _made("ct_w4a16", "W4A16", 4, group_size=32),
            _made("ct_w4a16_asymmetric", "W4A16_ASYM", 4, group_size=32),
            _made("ct_fp8", "FP8", 8),
            _made("ct_fp8_dynamic", "FP8_DYNAMIC", 8),
            _made("ct_nvfp4", "NVFP4A16", 4),
            _made("ct_mxfp4", "MXFP4A16", 4),
            _made("ct_mxfp8", "MXFP8", 8),
        ]
    )


def broken() -> Faults:
    """As users break it."""
    known = healthy()
    w8, w4, nvfp4 = known["ct_w8a8"], known["ct_w4a16"], known["ct_nvfp4"]
    no_scales = _layers("W4A16", False, group_size=32)
    layers = recipe("ct_layers_w4a16", _layers("W4A16", group_size=32), 4)
    of_8_bits = _changed("ct_scale_of_8_bits", "W4A16", 4, _of_8_bits, group_size=32)
    local = _changed("ct_nvfp4_local_scales_alone", "NVFP4A16", 4, _without_whole)
    no_point = _changed("ct_zero_point_of_qmin", "W4A16_ASYM", 4, _no_zero_point, group_size=32)
    return faults(
        [
            # `fake_quantize` runs under `no_grad`
            fault("gradient-blocked", function("ct_without_ste", _grid("W8A8"), 8), w8),
            # scales that were set once, and weights that are trained: 0.02 behind so far
            fault("scale-stale", layers, w4),
            # inputs are quantized under `no_grad`: only the last layer learns
            fault("gradient-blocked", recipe("ct_layers_w8a8", _layers("W8A8"), 8), w8),
            fault("range-collapsed", _changed("ct_scale_of_1", "W8A8", 8, _ones), w8, "sign-lost"),
            fault("range-collapsed", recipe("ct_layers_scales_of_1", no_scales, 4), w4),
            fault("scale-stale", of_8_bits, w4, "range-collapsed", "not-dequantized"),
            fault("not-dequantized", local, nvfp4, "range-collapsed"),
            fault("sign-lost", no_point, known["ct_w4a16_asymmetric"]),
        ]
    )  # fmt: skip
