"""`torch.ao.quantization`: eager-mode fake quantizers, learned scales and `prepare_qat`.

Everything runs on a CPU. The healthy ones end within 0.04 BPB of float32 (100 steps of AdamW).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
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
    function,
    linears,
    made,
    named,
    recipe,
    ste,
)

PACKAGE = "torch"


def tao() -> Any:
    import torch.ao.quantization as tao

    return tao


def _default(name: str) -> Callable[[], Any]:
    return lambda: getattr(tao(), name)()


def _fake(**options: Any) -> Callable[[], Any]:
    """A `FakeQuantize` of a moving-average observer."""
    return lambda: tao().FakeQuantize.with_args(observer=tao().MovingAverageMinMaxObserver, **options)()


def _symmetric(quant_min: int, quant_max: int, **more: Any) -> Callable[[], Any]:
    return _fake(
        quant_min=quant_min,
        quant_max=quant_max,
        dtype=torch.qint8,
        qscheme=torch.per_tensor_symmetric,
        **more,
    )


def _after(factory: Callable[[], Any], change: Callable[[Any], object]) -> Callable[[], Any]:
    def make() -> Any:
        quantizer = factory()
        change(quantizer)
        return quantizer

    return make


def _learnable(quant_min: int, quant_max: int, **more: Any) -> Callable[[], Any]:
    def make() -> Any:
        from torch.ao.quantization import _learnable_fake_quantize as learnable

        make_one: Any = learnable._LearnableFakeQuantize
        return make_one(
            tao().MovingAverageMinMaxObserver,
            quant_min,
            quant_max,
            dtype=torch.qint8,
            qscheme=torch.per_tensor_symmetric,
            use_grad_scaling=True,
            **more,
        )

    return make


def _learn(quantizer: Any, batches: Batches) -> None:
    """As its documentation says: static estimates first, then learning."""
    quantizer.enable_static_estimate()
    feed(quantizer, batches)
    quantizer.enable_param_learning()


def _frozen_after_one(quantizer: Any) -> None:
    """The observer is off after the first tensor."""

    def once(module: Any, inputs: Any, output: Any) -> None:
        module.disable_observer()

    quantizer.register_forward_hook(once)


def _prepared(
    qconfig: Callable[[], Any], embeddings: Callable[[], Any] | None = None, *, head: bool = False
) -> Any:
    """`prepare_qat` with a qconfig for the linear layers, and one for the embeddings if asked."""

    def prepare(model: nn.Module) -> nn.Module:
        for name, linear in linears(model):
            if head or name != "head":
                linear.qconfig = qconfig()
        if embeddings is not None:
            for module in model.modules():
                if isinstance(module, nn.Embedding):
                    module.qconfig = embeddings()
        found: nn.Module = tao().prepare_qat(model.train())
        return found

    return prepare


def _backend(name: str) -> Callable[[], Any]:
    return lambda: tao().get_default_qat_qconfig(name)


def _then(prepare: Any, change: Callable[[nn.Module], None]) -> Any:
    def prepared(model: nn.Module) -> nn.Module:
        found: nn.Module = prepare(model)
        found.apply(change)
        return found

    return prepared


def _no_fake(module: nn.Module) -> None:
    tao().disable_fake_quant(module)


def _no_observer(module: nn.Module) -> None:
    tao().disable_observer(module)


def _clipped_activations() -> Any:
    """Activations with an int8 grid of fixed scale 1/1024, whatever they are."""
    fixed = tao().FixedQParamsFakeQuantize.with_args(
        observer=tao().FixedQParamsObserver.with_args(
            scale=2**-10, zero_point=128, dtype=torch.quint8, quant_min=0, quant_max=255
        )
    )
    return tao().QConfig(activation=fixed, weight=tao().default_weight_fake_quant)


def _quantized_tensor(x: Tensor) -> Tensor:
    scale = float(x.detach().abs().max()) / 127 or 1.0
    return torch.quantize_per_tensor(x, scale, 0, torch.qint8).dequantize()


def _codes(x: Tensor) -> Tensor:
    scale = float(x.abs().max()) / 127 or 1.0
    return torch.quantize_per_tensor(x, scale, 0, torch.qint8).int_repr().to(x.dtype)


def _scale_of_8_bits_on_4(x: Tensor) -> Tensor:
    """The observer was made for 8 bits and the fake quantizer for 4: the range is a sixteenth."""
    observer = tao().MinMaxObserver(dtype=torch.qint8, qscheme=torch.per_tensor_symmetric)
    observer(x.detach())
    scale, _ = observer.calculate_qparams()
    return torch.fake_quantize_per_tensor_affine(x, float(scale), 0, -8, 7)


def healthy() -> Setups:
    """As shipped."""
    return named(
        [
            made("tao_default", _default("default_fake_quant"), 8),
            made("tao_weight", _default("default_weight_fake_quant"), 8),
            made("tao_per_channel", _default("default_per_channel_weight_fake_quant"), 8),
            made("tao_histogram", _default("default_histogram_fake_quant"), 8),
            made("tao_fused_act", _default("default_fused_act_fake_quant"), 8),
            made("tao_fused_weight", _default("default_fused_wt_fake_quant"), 8),
            made("tao_fused_per_channel", _default("default_fused_per_channel_wt_fake_quant"), 8),
            made("tao_fused_127", _default("fused_wt_fake_quant_range_neg_127_to_127"), 8),
            made("tao_4_bits", _symmetric(-8, 7), 4),
            # LSQ: its scale does not ask for a gradient while an observer sets it
            made("tao_lsq_static", _after(_learnable(-128, 127), lambda q: q.enable_static_estimate()), 8),
            made("tao_lsq_8", _learnable(-128, 127), 8, calibrate=_learn),
            made("tao_lsq_4", _learnable(-8, 7), 4, calibrate=_learn),
            made(
                "tao_act", _default("default_weight_fake_quant"), 8, activation=_default("default_fake_quant")
            ),
            recipe("tao_qat_fbgemm", _prepared(_backend("fbgemm")), 8),
            recipe("tao_qat_qnnpack", _prepared(_backend("qnnpack")), 8),
            recipe("tao_qat_x86", _prepared(_backend("x86")), 8),
            recipe("tao_qat_default", _prepared(lambda: tao().default_qat_qconfig), 8),
            recipe(
                "tao_qat_embeddings",
                _prepared(_backend("fbgemm"), lambda: tao().default_embedding_qat_qconfig),
                8,
            ),
        ]
    )


def broken() -> Faults:
    """As users break it."""
    weight, known = _symmetric(-128, 127), healthy()
    head = recipe("tao_qat_head", _prepared(_backend("fbgemm"), head=True), 8)
    still = _symmetric(-128, 127, averaging_constant=0.0)
    tao_weight, lsq_8, fbgemm = known["tao_weight"], known["tao_lsq_8"], known["tao_qat_fbgemm"]
    return faults(
        [
            # quant_min copied from an unsigned activation: every negative weight is 0
            fault("sign-lost", made("tao_qmin_0", _symmetric(0, 127), 8), tao_weight),
            fault("no-op", made("tao_disabled", _after(weight, lambda q: q.disable_fake_quant()), 8), tao_weight),
            # scale 1 until an observer has seen something: all weights below 0.5 are 0
            fault(
                "range-collapsed",
                made("tao_observer_off", _after(weight, lambda q: q.disable_observer()), 8),
                tao_weight,
                "qparams-invalid",
            ),
            fault(
                "scale-stale", made("tao_observer_off_after_one", _after(weight, _frozen_after_one), 8), tao_weight
            ),
            # averaging so slow that the scale is the first tensor's for ever
            fault("scale-stale", made("tao_never_averaged", still, 8), tao_weight),
            fault(
                "scale-stale",
                function("tao_scale_of_8_bits_on_4", _scale_of_8_bits_on_4, 4),
                known["tao_4_bits"],
                "range-collapsed",
                "not-dequantized",
            ),
            # a quantized tensor has no backward
            fault("gradient-blocked", function("tao_quantized_tensor", _quantized_tensor, 8), tao_weight),
            fault("not-dequantized", function("tao_int_repr", ste(_codes), 8), tao_weight),
            # learning from a scale of 1, which nobody set
            fault(
                "range-collapsed",
                made("tao_lsq_uncalibrated", _after(_learnable(-128, 127), lambda q: q.enable_param_learning()), 8),
                lsq_8,
                "qparams-invalid",
            ),
            fault(
                "no-op",
                recipe("tao_qat_disabled", _then(_prepared(_backend("fbgemm")), _no_fake), 8),
                fbgemm,
            ),
            # scales of 1 for weights and outputs, and zero points of 0: an output keeps no negative value
            fault(
                "range-collapsed",
                recipe("tao_qat_no_observer", _then(_prepared(_backend("fbgemm")), _no_observer), 8),
                fbgemm,
                "qparams-invalid",
                "not-dequantized",
                "sign-lost",
            ),
            # 0.21 BPB behind: logits grow faster than an observer that moves by 1% a step, and are clipped; not so
            # under Lion
            fault("scale-stale", replace(head, takes=frozenset({"adamw", "muon", "sgd"})), fbgemm),
            # outputs beyond an eighth are clipped, the logits too
            fault(
                "scale-stale",
                recipe("tao_qat_clipped", _prepared(_clipped_activations, head=True), 8),
                fbgemm,
                "range-collapsed",
                "clip-gradient-lost",
            ),
        ]
    )  # fmt: skip
