"""Exact codecs of low-precision number formats.

Each format is data: a `Format` with a layout (the grid, its codes, its scale), run by a codec of `formats.codecs` over
a grid of `formats.elements`. Names, widths and links are there without torch, which the first tensor imports. Imports
no other layer. Read by `subjects`, `probes`, `plan`, `gate`, `faults`, `logs`, `vectors` and `cli`.

Where the specifications leave a choice or contradict each other, this package has one policy:

- Values beyond the range saturate at the largest finite value, infinities too; only lossless formats keep
  infinities. Posits never round a number to 0.
- NaN stays NaN in `fake_quantize`; `encode` raises ValueError where the format has no NaN. In MX formats a
  NaN makes its block's scale, and so the block, NaN.
- Rounding is to nearest, ties to the even code; for nf4 the midpoint goes to the lower entry.
- Minifloats keep -0; posits, integers and nf4 have none and give 0.
- Scales come from the finite elements. All-zero tensors, rows and blocks, and those so small that their
  scale underflows, give zeros.
- Scaling divides by the scale. Multiplying by its reciprocal would differ near ties.
"""

from quantgate.formats.catalogue import ALIASES, BUILTIN, known_format
from quantgate.formats.descriptor import Format
from quantgate.formats.encoded import Codec, Encoded

__all__ = ["ALIASES", "BUILTIN", "Codec", "Encoded", "Format", "known_format"]
