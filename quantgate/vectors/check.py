"""An implementation's answers beside the reference."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from quantgate.vectors.document import Answers, Vectors

#: How many differences are shown.
MOST_SHOWN = 5


@dataclass(frozen=True)
class Difference:
    """An answer that is wrong, or missing."""

    #: `decode` or `encode`.
    what: str
    #: What was asked, what is right and what was answered, as bits.
    asked: int
    right: int
    answered: int | None
    #: What the case tries.
    tries: str


@dataclass(frozen=True)
class Checked:
    """How many answers there were, and what is wrong with them."""

    format: str
    bits: int
    decoded: int
    encoded: int
    differences: tuple[Difference, ...]

    @property
    def wrong(self) -> int:
        """How many are wrong or missing."""
        return len(self.differences)


def check(vectors: Vectors, answers: Answers) -> Checked:
    """The answers, each held against the vectors in every bit; any NaN is as good as another.

    Raises:
        ValueError: There is no answer at all.
    """
    if not answers.values and not answers.encode:
        raise ValueError('the answers have neither "values" nor "encode"; fill in the lists of the vectors')
    nans = {int(value.code, 16) for value in vectors.values if _is_nan(int(value.float32, 16))}
    differences = []
    for value in vectors.values:
        code, right = int(value.code, 16), int(value.float32, 16)
        answered = answers.values.get(code)
        if answered != right and not (answered is not None and _is_nan(right) and _is_nan(answered)):
            differences.append(
                Difference("decode", code, right, answered, "nan" if _is_nan(right) else "value")
            )
    for case in vectors.encode:
        asked, right = int(case.float32, 16), int(case.code, 16)
        code_given = answers.encode.get(asked)
        if code_given != right and not (right in nans and code_given in nans):
            differences.append(Difference("encode", asked, right, code_given, case.tries))
    return Checked(vectors.format, vectors.bits, len(vectors.values), len(vectors.encode), tuple(differences))


def to_text(checked: Checked) -> str:
    """What is wrong, the first of each kind in bits."""
    asked = f"{checked.decoded:,} values and {checked.encoded:,} encodings"
    if not checked.wrong:
        return f"{checked.format}: all of {asked} are right, in every bit"
    kinds: dict[str, list[Difference]] = {}
    for difference in checked.differences:
        kind = "missing" if difference.answered is None else f"{difference.what}, {difference.tries}"
        kinds.setdefault(kind, []).append(difference)
    lines = [f"{checked.format}: {checked.wrong:,} of {asked} are wrong"]
    for kind, members in kinds.items():
        lines.append(f"  {kind}: {len(members):,}")
        lines += [f"    {_line(each, checked.bits)}" for each in members[:MOST_SHOWN]]
    return "\n".join(lines)


def _line(difference: Difference, bits: int) -> str:
    digits = (bits + 3) // 4
    if difference.what == "decode":
        given = "nothing" if difference.answered is None else _float(difference.answered)
        return f"decode 0x{difference.asked:0{digits}x} is {_float(difference.right)}, answered {given}"
    given = "nothing" if difference.answered is None else _code(difference.answered, bits)
    return f"encode {_float(difference.asked)} is {_code(difference.right, bits)}, answered {given}"


def _code(code: int, bits: int) -> str:
    shown = f"0x{code:0{(bits + 3) // 4}x}"
    return f"{shown} ({code:0{bits}b})" if bits <= 16 else shown


def _float(pattern: int) -> str:
    if not 0 <= pattern < 1 << 32:
        return f"0x{pattern:x} (more than 32 bits)"
    (number,) = struct.unpack("<f", pattern.to_bytes(4, "little"))
    return f"0x{pattern:08x} ({number:.9g})"


def _is_nan(pattern: int) -> bool:
    return pattern & 0x7FFFFFFF > 0x7F800000
