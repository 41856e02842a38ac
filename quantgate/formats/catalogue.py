"""The built-in formats, each one record. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from quantgate.formats.codebook import NF4
from quantgate.formats.descriptor import Format
from quantgate.formats.layout import Codebook, Integer, Layout, Minifloat, Posit, Scale

_IEEE = "https://doi.org/10.1109/IEEESTD.2019.8766229"
_BF16 = "https://arxiv.org/abs/1905.12322"
_OFP8 = "https://www.opencompute.org/documents/ocp-8-bit-floating-point-specification-ofp8-revision-1-0-2023-12-01-pdf-1"
_MX = "https://www.opencompute.org/documents/ocp-microscaling-formats-mx-v1-0-spec-final-pdf"
_GOLDEN = "https://arxiv.org/abs/2606.05017"
_POSIT = "https://posithub.org/docs/posit_standard-2.pdf"
_INT = "https://arxiv.org/abs/1712.05877"
_QLORA = "https://arxiv.org/abs/2305.14314"
_NVFP4 = "https://arxiv.org/abs/2509.25149"

_E4M3 = Minifloat(4, 3, "fn")
_E5M2 = Minifloat(5, 2)
_E2M3 = Minifloat(2, 3, "finite")
_E3M2 = Minifloat(3, 2, "finite")
_E2M1 = Minifloat(2, 1, "finite")

_NONE = Scale()
_AMAX = Scale("amax")
_AFFINE = Scale("affine")
_RMS = Scale("rms")
_E8M0 = Scale("e8m0", block=32)


def _format(
    name: str, layout: Layout, family: str, spec: str, *, lossless: bool = False, bits: int | None = None
) -> Format:
    bits = layout.element.bits if bits is None else bits
    return Format(name, layout, bits=bits, lossless=lossless, spec=spec, family=family)


_FORMATS = (
    _format("int4", Layout(Integer(4), _AMAX), "int", _INT),
    _format("int8", Layout(Integer(8), _AMAX), "int", _INT),
    _format("int16", Layout(Integer(16), _AMAX), "int", _INT),
    _format("uint4", Layout(Integer(4, signed=False), _AFFINE), "int", _INT),
    _format("uint8", Layout(Integer(8, signed=False), _AFFINE), "int", _INT),
    _format("fp16", Layout(Minifloat(5, 10), _NONE), "float", _IEEE),
    _format("bf16", Layout(Minifloat(8, 7), _NONE), "float", _BF16),
    _format("fp8_e4m3", Layout(_E4M3, _AMAX), "float", _OFP8),
    _format("fp8_e5m2", Layout(_E5M2, _AMAX), "float", _OFP8),
    _format("fp6_e2m3", Layout(_E2M3, _AMAX), "float", _MX),
    _format("fp6_e3m2", Layout(_E3M2, _AMAX), "float", _MX),
    _format("fp4_e2m1", Layout(_E2M1, _AMAX), "float", _MX),
    _format("gf4", Layout(Minifloat(1, 2), _AMAX), "goldenfloat", _GOLDEN),
    _format("gf8", Layout(Minifloat(3, 4), _AMAX), "goldenfloat", _GOLDEN),
    _format("gf12", Layout(Minifloat(4, 7), _NONE), "goldenfloat", _GOLDEN),
    _format("gf16", Layout(Minifloat(6, 9), _NONE), "goldenfloat", _GOLDEN),
    _format("gf20", Layout(Minifloat(7, 12), _NONE), "goldenfloat", _GOLDEN),
    _format("gf24", Layout(Minifloat(9, 14), _NONE), "goldenfloat", _GOLDEN),
    _format("gf32", Layout(Minifloat(12, 19), _NONE), "goldenfloat", _GOLDEN),
    _format("gf64", Layout(Minifloat(24, 39), _NONE), "goldenfloat", _GOLDEN, lossless=True),
    _format("gf256", Layout(Minifloat(97, 158), _NONE), "goldenfloat", _GOLDEN, lossless=True),
    _format("posit8", Layout(Posit(8), _RMS), "posit", _POSIT),
    _format("posit16", Layout(Posit(16), _RMS), "posit", _POSIT),
    _format("posit32", Layout(Posit(32), _RMS), "posit", _POSIT),
    _format("nf4", Layout(Codebook(NF4), Scale("absmax", block=64)), "codebook", _QLORA),
    _format("mxfp8", Layout(_E4M3, _E8M0), "mx", _MX),
    _format("mxfp8_e5m2", Layout(_E5M2, _E8M0), "mx", _MX),
    _format("mxfp6_e2m3", Layout(_E2M3, _E8M0), "mx", _MX),
    _format("mxfp6_e3m2", Layout(_E3M2, _E8M0), "mx", _MX),
    _format("mxfp4", Layout(_E2M1, _E8M0), "mx", _MX),
    _format("mxint8", Layout(Integer(8, step=2.0**-6), _E8M0), "mx", _MX),
    _format("nvfp4", Layout(_E2M1, Scale("nvfp4", block=16)), "nvfp4", _NVFP4),
    _format("fp32", Layout(Minifloat(8, 23), _NONE), "float", _IEEE, lossless=True),
    _format("fp64", Layout(Minifloat(11, 52), _NONE), "float", _IEEE, lossless=True),
)

#: Every built-in format by its canonical name.
BUILTIN: Mapping[str, Format] = MappingProxyType({format.name: format for format in _FORMATS})

#: Aliases of built-in formats -> canonical names.
ALIASES: Mapping[str, str] = MappingProxyType({"mxfp8_e4m3": "mxfp8"})


def known_format(name: str) -> Format | None:
    """The built-in format that others call so, in whatever case; None where there is none."""
    return BUILTIN.get(ALIASES.get(name.lower(), name.lower()))
