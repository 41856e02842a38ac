"""`nncf` 3: its fake quantizers, with scales that are learned, alone.

`calibrate` sets scales from the tensors, as NNCF's own initialization does.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

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
    with torch.no_grad():
        if hasattr(quantizer, "input_low"):
            quantizer.input_low.data.fill_(float(seen.min()))
            quantizer.input_range.data.fill_(float(seen.max() - seen.min()))
        elif quantizer._is_using_log_scale_storage:
            quantizer._scale_param_storage.data.fill_(float(seen.abs().max().log()))
        else:
            quantizer.scale.data.fill_(float(seen.abs().max()))


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


def broken() -> Faults:
    """As users break it."""
    return faults([])
