"""`nncf` 3: its fake quantizers, with scales that are learned, alone.

`calibrate` sets scales from the tensors, as NNCF's own initialization does. The first use compiles for a minute.
All of it runs on a CPU, and ends within 0.03 BPB of float32 (100 steps of AdamW).
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch

from tests.integration.parts import (
    Batches,
    Faults,
    Setups,
    fault,
    faults,
    made,
    named,
    without_torchvision_kernels,
)

PACKAGE = "nncf"


def _made(
    bits: int,
    *,
    asymmetric: bool = False,
    narrow: bool = False,
    logarithm: bool = False,
    signed: bool = True,
    half: bool = False,
) -> Any:
    """A quantizer of one scale, before it is initialized."""

    def make() -> Any:
        without_torchvision_kernels()
        from nncf.common.quantization.structs import QuantizationScheme
        from nncf.torch.quantization import layers

        mode = QuantizationScheme.ASYMMETRIC if asymmetric else QuantizationScheme.SYMMETRIC
        spec = layers.PTQuantizerSpec(bits, mode, signed, narrow, half, (1,), logarithm)
        return (layers.AsymmetricQuantizer if asymmetric else layers.SymmetricQuantizer)(spec)

    return make


def _range(quantizer: Any, batches: Batches, share: float = 1.0) -> None:
    """The smallest and the largest value that was seen, or a share of them."""
    seen = torch.cat([batch.detach().flatten() for batch in batches]) * share
    largest = max(float(seen.abs().max()), 1e-6)
    with torch.no_grad():
        if hasattr(quantizer, "input_low"):
            quantizer.input_low.data.fill_(float(seen.min()))
            quantizer.input_range.data.fill_(max(float(seen.max() - seen.min()), 1e-6))
        elif quantizer._is_using_log_scale_storage:
            quantizer._scale_param_storage.data.fill_(math.log(largest))
        else:
            quantizer.scale.data.fill_(largest)


def healthy() -> Setups:
    """As shipped."""
    return named(
        [
            made("nncf_symmetric_8", _made(8), 8, calibrate=_range),
            made("nncf_symmetric_4", _made(4), 4, calibrate=_range),
            made("nncf_narrow_8", _made(8, narrow=True), 8, calibrate=_range),
            made("nncf_logarithm_8", _made(8, logarithm=True), 8, calibrate=_range),
            made("nncf_asymmetric_8", _made(8, asymmetric=True), 8, calibrate=_range),
            made("nncf_asymmetric_4", _made(4, asymmetric=True), 4, calibrate=_range),
        ]
    )


def _without_negatives(quantizer: Any, batches: Batches) -> None:
    """Calibrated on magnitudes."""
    _range(quantizer, [batch.abs() for batch in batches])
    quantizer.input_low.data.zero_()


def _disabled() -> Any:
    quantizer = _made(8)()
    quantizer.disable_quantization()
    return quantizer


def broken() -> Faults:
    """As users break it."""
    known = healthy()
    eight, four, asymmetric = known["nncf_symmetric_8"], known["nncf_symmetric_4"], known["nncf_asymmetric_8"]
    low = made("nncf_low_of_0", _made(8, asymmetric=True), 8, calibrate=_without_negatives)
    tenth = made("nncf_tenth", _made(8), 8, calibrate=partial(_range, share=0.1))
    return faults(
        [
            # a scale of 1, which nobody set: steps of an eighth
            fault("range-collapsed", made("nncf_uncalibrated", _made(4), 4), four, "qparams-invalid", "scale-stale"),
            fault("sign-lost", made("nncf_unsigned", _made(8, signed=False), 8, calibrate=_range), eight),
            fault("sign-lost", low, asymmetric),
            # initialized with data of a tenth of the size
            fault("scale-stale", tenth, eight, "range-collapsed", "not-dequantized"),
            fault("no-op", made("nncf_disabled", _disabled, 8, calibrate=_range), eight),
        ]
    )  # fmt: skip
