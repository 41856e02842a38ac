"""`torchao` 0.18: QAT configurations and quantizers, float8 and other low-precision training.

The healthy ones end within 0.04 BPB of float32 (100 steps of AdamW), BitNet within 0.5 as ternary does.
What does not run on a CPU at this model's size, and so is not here:

| subject | error |
|---|---|
| `Int4WeightOnlyQATQuantizer` | Padding for QAT 4w is not supported yet (rows of fewer than 1,024) |
| `Float8ActInt4WeightQATQuantizer` | groups of 128, rows of 64 |
| `NVFP4FakeQuantizeConfig`, as a quantizer of its own | Unknown config type |
| `NVFP4DynamicActivationNVFP4WeightConfig`, QAT | Invalid scaling configuration (the matrix product) |
| `Int8MixedPrecisionTrainingLinearWeight` compiled | no Triton |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from quantgate.training.optimizers import ADAMW_LR, OptimizerSpec
from tests.integration.parts import Batches, Faults, Setups, fault, faults, function, made, named, recipe, ste

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


def _dtype(name: str) -> Any:
    """A dtype of torch that its type stubs do not know."""
    return getattr(torch, name)


def _intx(dtype: str, granularity: Any = "per_group", **more: Any) -> Any:
    return qat().IntxFakeQuantizeConfig(_dtype(dtype), granularity, **more)


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


def _learned() -> Any:
    return _intx("int8", group_size=32, is_symmetric=True, is_dynamic=False, range_learning=True)


def _initialize(model: nn.Module, batches: Batches) -> None:
    """Range learning starts from the first batch."""
    qat().initialize_fake_quantizers(model, (next(iter(batches)),))


def _initialized(model: nn.Module) -> nn.Module:
    """Range learning, started from any batch, for weights alone are quantized."""
    prepared: nn.Module = _weights(_learned)(model)
    _initialize(prepared, [torch.zeros(1, 8, dtype=torch.int64)])
    return prepared


def _without_scales() -> OptimizerSpec:
    """AdamW of what is no scale."""

    def build(model: nn.Module, lr: float) -> Any:
        held = [p for name, p in model.named_parameters() if "scale" not in name]
        return torch.optim.AdamW(held, lr, weight_decay=0.0)

    return OptimizerSpec("adamw_without_scales", build, ADAMW_LR, per_width=True)


def _slow_scales() -> OptimizerSpec:
    """AdamW with a hundredth of the rate for scales, which are that much smaller than weights."""

    def build(model: nn.Module, lr: float) -> Any:
        scales = [p for name, p in model.named_parameters() if "scale" in name]
        rest = [p for name, p in model.named_parameters() if "scale" not in name]
        groups: list[dict[str, Any]] = [{"params": rest}, {"params": scales, "lr": lr / 100}]
        return torch.optim.AdamW(groups, lr, weight_decay=0.0)

    return OptimizerSpec("adamw_slow_scales", build, ADAMW_LR, per_width=True)


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


def _disable(module: nn.Module) -> None:
    from torchao.quantization.qat.linear import disable_linear_fake_quant

    disable_linear_fake_quant(module)


def _disabled(model: nn.Module) -> nn.Module:
    prepared: nn.Module = _weights(_int4)(model)
    prepared.apply(_disable)
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
    return _intx("int4", group_size=32, is_symmetric=True)


def _int8() -> Any:
    return _intx("int8", "per_channel", is_symmetric=True)


def _integer_scales() -> Any:
    return _intx("int8", "per_channel", is_symmetric=True, scale_precision=torch.int32)


def _qdq(
    x: Tensor, mapping: str, dtype: torch.dtype, limits: tuple[int, int], dropped: bool = False
) -> Tensor:
    """The primitives by hand: one scale a tensor, chosen for 8 bits."""
    import torchao.quantization.quant_primitives as primitives

    block = tuple(x.shape)
    full = (0, 255) if dtype is torch.uint8 else (-128, 127)
    kind = getattr(primitives.MappingType, mapping)
    scale, point = primitives.choose_qparams_affine(x, kind, block, dtype, *full)
    codes = primitives.quantize_affine(x, block, scale, point, dtype, *limits)
    point = point if not dropped else torch.zeros_like(point)
    back: Tensor = primitives.dequantize_affine(codes, block, scale, point, dtype, *full)
    return back


def _primitives(x: Tensor) -> Tensor:
    return _qdq(x, "SYMMETRIC", torch.int8, (-128, 127))


def _narrow(x: Tensor) -> Tensor:
    return _qdq(x, "SYMMETRIC", torch.int8, (-8, 7))


def _unsigned(x: Tensor) -> Tensor:
    return _qdq(x, "SYMMETRIC", torch.int8, (0, 127))


def _shifted(x: Tensor) -> Tensor:
    return _qdq(x, "ASYMMETRIC", torch.uint8, (0, 255), dropped=True)


def healthy() -> Setups:
    """As shipped."""
    group = {"group_size": 32}
    ranges = (_weights(_learned), 8)
    return named(
        [
            recipe("ao_int4_group", _weights(_int4), 4),
            recipe("ao_int8_channel", _weights(_int8), 8),
            recipe("ao_8da4w", _base("Int8DynamicActivationIntxWeightConfig", weight_dtype=_dtype("int4")), 4),
            recipe("ao_8da4w_legacy", _legacy("Int8DynActInt4WeightQATQuantizer", groupsize=32), 4),
            recipe("ao_int4_only", _base("Int4WeightOnlyConfig", **group), 4),
            recipe("ao_intx_only", _base("IntxWeightOnlyConfig", weight_dtype=_dtype("int8")), 8),
            recipe("ao_embedding_int4", _embedding, 4),
            replace(recipe("ao_range_learning", *ranges, calibrate=_initialize), optimizer=_slow_scales()),
            made("ao_fake_int4", _fake(_int4), 4),
            made("ao_fake_int8", _fake(_int8), 8),
            made("ao_fake_int3", _fake(lambda: _intx("int3", group_size=32, is_symmetric=True)), 3),
            made("ao_fake_int8_token", _fake(lambda: _intx("int8", "per_token", is_symmetric=False)), 8),
            recipe("ao_float8_training", _float8_training, 8),
            recipe("ao_bitnet", _training("bitnet_training"), 1.58),
            recipe("ao_int8_mixed", _training("int8_mixed_precision_training", module_swap=True), 8),
            # its int8 weights know how to be added to with a scale, and neither `mul_` nor `sub_` of Muon and Lion
            replace(
                recipe("ao_int8_training", _training("int8_weight_only_quantized_training"), 8),
                takes=frozenset({"adamw", "sgd"}),
            ),
        ]
    )  # fmt: skip


def broken() -> Faults:
    """As users break it, and as it is where the package's own code is what is wrong."""
    known = healthy()
    int4, channel, fake_int8 = known["ao_int4_group"], known["ao_int8_channel"], known["ao_fake_int8"]
    learned = known["ao_range_learning"]
    left_out = replace(recipe("ao_scales_left_out", _initialized, 8), optimizer=_without_scales())
    # the rate of weights is too large for a range under AdamW and Muon, and not under SGD and Lion
    one_rate = replace(
        recipe("ao_range_learning_one_rate", _weights(_learned), 8, calibrate=_initialize),
        takes=frozenset({"adamw", "muon"}),
    )
    affine = made(
        "ao_fake_int4_asymmetric", _fake(lambda: _intx("int4", group_size=32, is_symmetric=False)), 4
    )
    fp8_pair = _base("Float8DynamicActivationFloat8WeightConfig")
    return faults(
        [
            fault("no-op", recipe("ao_disabled", _disabled, 4), int4),
            # a filter that matches one of five layers
            fault("partly-applied", recipe("ao_attention_only", _attention_only, 4), int4),
            # weights of a deployed model ask for no gradient
            fault("gradient-blocked", recipe("ao_deployed", _deployed, 8), channel, "update-swallowed"),
            # as shipped: `_RoundToFloat8`'s gradient comes back in float8, unscaled, and is 0 below 2^-10
            fault("grad-format", made("ao_fake_fp8", _fake(_float8()), 8), fake_int8, "gradient-blocked"),
            fault("grad-format", recipe("ao_fp8_fp8", fp8_pair, 8), channel, "gradient-blocked"),
            # as shipped: `F.linear` of the tensor subclass falls through to the float32 product
            fault(
                "no-op",
                recipe("ao_int8_mixed_subclass", _training("int8_mixed_precision_training"), 8),
                known["ao_int8_mixed"],
            ),
            # the codes without their zero point: all is shifted by half the range
            fault("not-dequantized", function("ao_no_zero_point", ste(_shifted), 8), fake_int8, "sign-lost"),
            fault("sign-lost", function("ao_unsigned", ste(_unsigned), 8), fake_int8),
            # as shipped: the zero points are floats in the unit of the weights, cast to integers, where they are 0
            fault("qparams-invalid", affine, known["ao_fake_int4"]),
            # as shipped, with one rate for all: a fifth of the scales of `head` falls below 0 in 100 steps
            fault("qparams-invalid", one_rate, learned, "scale-stale"),
            # the primitives round with no gradient of their own
            fault("gradient-blocked", function("ao_primitives_without_ste", _primitives, 8), fake_int8),
            # a scale for the range of 8 bits, with codes of 4
            fault("scale-stale", function("ao_4_of_8_bits", ste(_narrow), 4), known["ao_fake_int4"], "range-collapsed"),
            # the optimizer was built before `initialize_fake_quantizers` made the scales
            fault("orphaned-parameter", left_out, learned),
            # scales cast to integers are 0, and weights are divided by them
            fault("scale-zero", recipe("ao_integer_scales", _weights(_integer_scales), 8), channel, "non-finite"),
        ]
    )  # fmt: skip
