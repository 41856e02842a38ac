"""Numbers as people write them: 1,090 and not 1.09e+03."""

from __future__ import annotations

import re

#: Exponents from here to there are written out; beyond, zeros are harder to count than a power of ten is to read.
_WRITTEN_OUT = range(-6, 12)


def plain(text: str) -> str:
    """A formatted number without the exponent notation of programs; any other text as it is."""
    found = re.fullmatch(r"(-?)(\d)(?:\.(\d+))?e([+-]\d+)", text)
    if found is None:
        return text
    sign, first, rest, power = found[1], found[2], found[3] or "", int(found[4])
    if power in _WRITTEN_OUT:
        return f"{float(text):,.{max(0, len(rest) - power)}f}"
    return f"{sign}{first}{rest and f'.{rest}'} x 10^{power}"
