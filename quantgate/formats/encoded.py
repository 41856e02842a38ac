"""`Encoded`, the codes and scales of a tensor, and `Codec`, the protocol of all codecs. Does not import torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Encoded:
    """Codes and scales of one tensor of shape `[..., n]`.

    Codes are not packed: one code takes one integer, its low bits the bit pattern. Integer formats hold the
    integer itself (`int8`, `int16` or, unsigned, `uint8`). Other formats up to 8 bits take `uint8`, up to 16
    `int16`, up to 32 `int32`, up to 64 `int64` (a full-width pattern wraps into the sign), `gf256` 32 bytes,
    lowest first.
    """

    #: Shape of the tensor, for 256-bit formats with a last axis of 32 bytes.
    codes: Tensor
    #: dtype of the tensor that was encoded; `decode` gives it back.
    dtype: torch.dtype
    #: None where the format has no scale. Per tensor: float32, 0-d. Per channel: float32, 1 on every axis but
    #: the channel's. Blocks: `[..., ceil(n / block)]`, `float8_e8m0fnu` for MX, `float8_e4m3fn` for nvfp4,
    #: float32 for nf4.
    scale: Tensor | None = None
    #: uint4 and uint8: int32, 0-d. A value is `(code - zero_point) * scale`.
    zero_point: Tensor | None = None
    #: nvfp4: float32, 0-d. A value is `element * (scale * tensor_scale)`.
    tensor_scale: Tensor | None = None


#: A scale given by the caller: a number, a tensor shaped like `Encoded.scale`, or an `Encoded` whose scale,
#: zero point and tensor scale are all taken. None: the format derives it.
GivenScale: TypeAlias = "float | Tensor | Encoded | None"


class Codec(Protocol):
    """What runs a format. Built-in layouts build theirs; a user's format brings its own."""

    @property
    def values(self) -> tuple[float, ...] | None:
        """The finite values of the grid at scale 1, ascending; None where the grid is not published."""

    def fake_quantize(self, x: Tensor, scale: GivenScale = None) -> Tensor:
        """See `Format.fake_quantize`."""

    def encode(self, x: Tensor, scale: GivenScale = None) -> Encoded:
        """See `Format.encode`."""

    def decode(self, encoded: Encoded) -> Tensor:
        """See `Format.decode`."""
