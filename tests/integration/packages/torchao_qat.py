"""`torchao`: QAT configurations and quantizers, float8 and other low-precision training.

What does not run on this CPU, and so is not here:

| subject | error |
|---|---|
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tests.integration.parts import Batches, Faults, Setups, fault, faults, function, made, named, recipe

PACKAGE = "torchao"


def qat() -> Any:
    import torchao.quantization.qat as qat

    return qat


def _quantize(model: nn.Module, config: Any, chosen: Callable[[str], bool] | None = None) -> nn.Module:
    from torchao.quantization import quantize_

    def linear(module: nn.Module, name: str) -> bool:
        return isinstance(module, nn.Linear) and (chosen is None or chosen(name))

    quantize_(model, config, filter_fn=linear)
    return model


def _intx(dtype: Any, granularity: Any = "per_group", **more: Any) -> Any:
    return qat().IntxFakeQuantizeConfig(dtype, granularity, **more)


def _weights(config: Callable[[], Any], activation: Callable[[], Any] | None = None) -> Any:
    """`QATConfig` with explicit configurations."""

    def prepare(model: nn.Module) -> nn.Module:
        inputs = None if activation is None else activation()
        return _quantize(
            model, qat().QATConfig(activation_config=inputs, weight_config=config(), step="prepare")
        )

    return prepare


def _base(name: str, **options: Any) -> Any:
    """`QATConfig` of a configuration for deployment."""

    def prepare(model: nn.Module) -> nn.Module:
        import torchao.quantization as quantization

        return _quantize(model, qat().QATConfig(getattr(quantization, name)(**options), step="prepare"))

    return prepare


def _legacy(name: str, **options: Any) -> Any:
    def prepare(model: nn.Module) -> nn.Module:
        found: nn.Module = getattr(qat(), name)(**options).prepare(model)
        return found

    return prepare


def _embedding(model: nn.Module) -> nn.Module:
    found: nn.Module = qat().Int4WeightOnlyEmbeddingQATQuantizer(group_size=32).prepare(model)
    return found


def _learned(dtype: Any) -> Callable[[], Any]:
    return lambda: _intx(dtype, group_size=32, is_symmetric=True, is_dynamic=False, range_learning=True)


def _initialize(model: nn.Module, batches: Batches) -> None:
    """Range learning starts from the first batch."""
    qat().initialize_fake_quantizers(model, (next(iter(batches)),))


def _initialized(config: Callable[[], Any], change: Callable[[Any], object] | None = None) -> Any:
    """Range learning, started from a batch of zeros: weights alone are quantized, so that any batch will do."""

    def prepare(model: nn.Module) -> nn.Module:
        prepared = _weights(config)(model)
        qat().initialize_fake_quantizers(prepared, (torch.zeros(1, 8, dtype=torch.int64),))
        for module in prepared.modules():
            if change is not None and isinstance(module, qat().IntxFakeQuantizer):
                change(module)
        return prepared

    return prepare


def _fake(config: Callable[[], Any]) -> Callable[[], Any]:
    """The quantizer of a configuration, alone."""

    def make() -> Any:
        from torchao.quantization.qat.fake_quantizer import FakeQuantizerBase

        return FakeQuantizerBase.from_config(config())

    return make


def _float8(**options: Any) -> Callable[[], Any]:
    return lambda: qat().Float8FakeQuantizeConfig(torch.float8_e4m3fn, **options)


def _float8_training(model: nn.Module) -> nn.Module:
    from torchao.float8 import Float8LinearConfig, convert_to_float8_training

    found: nn.Module = convert_to_float8_training(model, config=Float8LinearConfig(emulate=True))
    return found


def _training(name: str, **options: Any) -> Any:
    """A configuration of quantized training, in `torchao.prototype`."""

    def prepare(model: nn.Module) -> nn.Module:
        import torchao.prototype.quantized_training as training

        return _quantize(model, getattr(training, name)(**options))

    return prepare


def _prototype(name: str) -> Callable[[], Any]:
    """A configuration of `torchao.prototype.qat`."""

    def make() -> Any:
        import torchao.prototype.qat as prototype

        return getattr(prototype, name)()

    return make


def _disabled(model: nn.Module) -> nn.Module:
    prepared = _weights(_int4)(model)
    prepared.apply(qat().linear.disable_linear_fake_quant)
    return prepared


def _attention_only(model: nn.Module) -> nn.Module:
    return _quantize(
        model, qat().QATConfig(weight_config=_int4(), step="prepare"), lambda name: "qkv" in name
    )


def _deployed(model: nn.Module) -> nn.Module:
    """The configuration for deployment, taken for that of training."""
    from torchao.quantization import Int8WeightOnlyConfig

    return _quantize(model, Int8WeightOnlyConfig())


def _int4() -> Any:
    return _intx(torch.int4, group_size=32, is_symmetric=True)


def _int8() -> Any:
    return _intx(torch.int8, "per_channel", is_symmetric=True)


def _qdq(x: Tensor, quant_min: int, quant_max: int, *, zero: bool = False, scaled: bool = True) -> Tensor:
    """The primitives by hand, one scale a tensor."""
    from torchao.quantization.quant_primitives import (
        MappingType,
        choose_qparams_affine,
        dequantize_affine,
        quantize_affine,
    )

    block = tuple(x.shape)
    mapping = MappingType.ASYMMETRIC if zero else MappingType.SYMMETRIC
    dtype = torch.uint8 if zero else torch.int8
    limits = (quant_min, quant_max)
    scale, point = choose_qparams_affine(x, mapping, block, dtype, *limits)
    codes = quantize_affine(x, block, scale, point, dtype, *limits)
    back: Tensor = dequantize_affine(codes, block, scale, point if scaled else None, dtype, *limits)
    return back


def healthy() -> Setups:
    """As shipped."""
    group = {"group_size": 32}
    return named(
        [
            recipe("ao_int4_group", _weights(_int4), 4),
            recipe("ao_int8_channel", _weights(_int8), 8),
            recipe("ao_8da4w", _base("Int8DynamicActivationIntxWeightConfig", weight_dtype=torch.int4), 4),
            recipe("ao_8da4w_legacy", _legacy("Int8DynActInt4WeightQATQuantizer", groupsize=32), 4),
            recipe("ao_int4_legacy", _legacy("Int4WeightOnlyQATQuantizer", groupsize=32), 4),
            recipe("ao_int4_only", _base("Int4WeightOnlyConfig", **group), 4),
            recipe("ao_intx_only", _base("IntxWeightOnlyConfig", weight_dtype=torch.int8), 8),
            recipe("ao_fp8_fp8", _base("Float8DynamicActivationFloat8WeightConfig"), 8),
            recipe("ao_embedding_int4", _embedding, 4),
            recipe("ao_range_learning", _weights(_learned(torch.int8)), 8, calibrate=_initialize),
            made("ao_fake_int4", _fake(_int4), 4),
            made("ao_fake_int8", _fake(_int8), 8),
            made(
                "ao_fake_int4_asymmetric",
                _fake(lambda: _intx(torch.int4, group_size=32, is_symmetric=False)),
                4,
            ),
            made("ao_fake_int3", _fake(lambda: _intx(torch.int3, group_size=32, is_symmetric=True)), 3),
            made("ao_fake_int8_token", _fake(lambda: _intx(torch.int8, "per_token", is_symmetric=False)), 8),
            made("ao_fake_fp8", _fake(_float8()), 8),
            made("ao_fake_mxfp4", _fake(_prototype("MXFakeQuantizeConfig")), 4),
            made("ao_fake_nvfp4", _fake(_prototype("NVFP4FakeQuantizeConfig")), 4),
            recipe(
                "ao_nvfp4",
                _weights(_prototype("NVFP4FakeQuantizeConfig"), _prototype("NVFP4FakeQuantizeConfig")),
                4,
            ),
            recipe("ao_float8_training", _float8_training, 8),
            recipe("ao_bitnet", _training("bitnet_training"), 1.58),
            recipe("ao_int8_mixed", _training("int8_mixed_precision_training"), 8),
            recipe("ao_int8_training", _training("int8_weight_only_quantized_training"), 8),
        ]
    )


def broken() -> Faults:
    """As users break it."""
    known = healthy()
    int4, learned, fp8 = known["ao_int4_group"], known["ao_range_learning"], known["ao_fake_fp8"]
    return faults(
        [
            fault("no-op", recipe("ao_disabled", _disabled, 4), int4),
            # a filter that matches one of five layers
            fault("partly-applied", recipe("ao_attention_only", _attention_only, 4), int4),
            # weights of a deployed model ask for no gradient
            fault(
                "gradient-blocked",
                recipe("ao_deployed", _deployed, 8),
                known["ao_int8_channel"],
                "update-swallowed",
            ),
        ]
    )
