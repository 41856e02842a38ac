"""The codec that runs a layout."""

from __future__ import annotations

from quantgate.formats.codecs.affine import AffineCodec
from quantgate.formats.codecs.block import BlockCodec
from quantgate.formats.codecs.scaled import ScaledCodec
from quantgate.formats.encoded import Codec
from quantgate.formats.layout import Layout


def build_codec(layout: Layout) -> Codec:
    """The codec of a layout, by the kind of its scale."""
    if layout.scale.block is not None:
        return BlockCodec(layout)
    return AffineCodec(layout) if layout.scale.kind == "affine" else ScaledCodec(layout)
