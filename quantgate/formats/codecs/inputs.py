"""Checks of a codec's inputs: tensors, scales and codes, each with one clear message."""

from __future__ import annotations

import torch
from torch import Tensor

from quantgate.formats.encoded import Encoded, GivenScale


def working(x: Tensor, keep_float64: bool = False) -> Tensor:
    """`x` without its graph, in float32 (or float64 where that is kept). Shares memory if it can.

    Raises:
        TypeError: `x` is not a floating-point tensor.
    """
    if not isinstance(x, Tensor):
        raise TypeError(
            f"expected a floating-point tensor, got {type(x).__name__}. Hint: wrap numbers in torch.tensor()."
        )
    if x.dtype is torch.float32 or (keep_float64 and x.dtype is torch.float64):
        return x.detach()
    if not x.is_floating_point():
        raise TypeError(
            f"expected a floating-point tensor, got {x.dtype}. "
            f"If these are codes, use decode(); otherwise convert them with .float()."
        )
    return x.detach().to(torch.float32)


def refuse_nan(w: Tensor) -> None:
    """Raises ValueError if `w` holds NaN, for formats that cannot encode it."""
    count = int(w.isnan().sum())
    if count:
        raise ValueError(
            f"cannot encode {count} NaN among {w.numel()} elements: the format has no NaN. The computation "
            f"before has probably diverged. Hint: mask them, or use fake_quantize(), which keeps NaN."
        )


def given_scale(scale: GivenScale, shape: tuple[int, ...], w: Tensor, *, zero: bool = False) -> Tensor:
    """The caller's scale as float32 on `w`'s device, with `shape` or 0-d.

    Args:
        scale: What the caller gave, not None.
        shape: The shape that the format's own scale would have.
        w: The tensor to be scaled.
        zero: Whether 0 is a scale (of a block of zeros), and NaN one (of a block with NaN).

    Raises:
        ValueError: another shape, or a scale that is not positive and finite.
    """
    if isinstance(scale, Encoded):
        scale = scale.scale
        if scale is None:
            raise ValueError("the Encoded given as scale has no scale. Hint: encode with the same format.")
    s = torch.as_tensor(scale).detach().to(dtype=torch.float32, device=w.device)
    if s.ndim and s.shape != shape:
        raise ValueError(
            f"scale has shape {tuple(s.shape)}, expected {tuple(shape)} or a number for a tensor of shape "
            f"{tuple(w.shape)}. Hint: take it from encode(x).scale."
        )
    wrong = (s < 0) | s.isinf() if zero else ~((s > 0) & s.isfinite())
    if bool(wrong.any()):
        seen = float(s[wrong].flatten()[0])
        raise ValueError(
            f"scale holds {seen}: scales are positive and finite. Hint: take it from encode(x).scale."
        )
    return s


def check_codes(codes: Tensor, dtype: torch.dtype) -> None:
    """Raises TypeError if codes are not of the dtype that the format produces."""
    if codes.dtype is not dtype:
        raise TypeError(f"codes are {codes.dtype}, expected {dtype}: they were encoded by another format.")
