"""The vectors themselves: whole, the same at every call, and what this package's own codecs say."""

from __future__ import annotations

import json
import struct

import pytest

from quantgate.formats import BUILTIN
from quantgate.vectors.check import check
from quantgate.vectors.document import Answers, to_text
from quantgate.vectors.make import make_vectors

NAMES = [name for name, format in BUILTIN.items() if name != "gf256"]


@pytest.mark.parametrize("name", NAMES)
def test_a_formats_vectors_are_whole_and_answered_by_themselves(name: str) -> None:
    format = BUILTIN[name]
    vectors = make_vectors(format)
    answers = Answers(
        {int(v.code, 16): int(v.float32, 16) for v in vectors.values},
        {int(c.float32, 16): int(c.code, 16) for c in vectors.encode},
    )

    assert check(vectors, answers).wrong == 0
    assert len(vectors.values) == (1 << vectors.bits if vectors.bits <= 16 else 0)
    assert len(answers.encode) == len(vectors.encode) > 2000
    assert {"zero", "overflow", "subnormal", "random"} <= {c.tries for c in vectors.encode}
    assert json.loads(to_text(vectors))["format"] == name
    assert to_text(make_vectors(format)) == to_text(vectors)


@pytest.mark.parametrize(
    ("name", "number", "code"),
    [
        # By the standards' own tables.
        ("fp8_e4m3", 448.0, "0x7e"),
        ("fp8_e4m3", 1e9, "0x7e"),
        ("fp8_e4m3", -0.0, "0x80"),
        ("fp8_e5m2", 2.0**-17, "0x00"),
        ("fp16", 65504.0, "0x7bff"),
        ("bf16", 1.0, "0x3f80"),
        ("posit8", 1.0, "0x40"),
        ("posit8", 1e30, "0x7f"),
        ("posit8", -1e-30, "0xff"),
        ("int8", -1e9, "0x81"),
        ("int4", 0.5, "0x0"),
        ("nf4", 1.0, "0xf"),
        ("uint8", -5.0, "0x00"),
    ],
)
def test_codes_are_the_standards(name: str, number: float, code: str) -> None:
    import torch

    from quantgate.vectors.make import _encode, hexadecimal

    format = BUILTIN[name]
    assert hexadecimal(_encode(format, torch.tensor([number]))[0], int(format.bits or 0)) == code


def test_any_nan_is_as_good_as_another() -> None:
    vectors = make_vectors(BUILTIN["fp8_e5m2"])
    values = {int(v.code, 16): int(v.float32, 16) for v in vectors.values}
    encode = {int(c.float32, 16): int(c.code, 16) for c in vectors.encode}
    for code in (0x7D, 0x7E, 0x7F, 0xFD):
        values[code] = 0xFFFFFFFF
    encode[0x7FC00000] = 0xFD

    assert check(vectors, Answers(values, encode)).wrong == 0
    assert check(vectors, Answers(values, encode | {0x7FC00000: 0x7C})).wrong == 1


def test_what_is_not_asked_for_nan_is_said() -> None:
    assert make_vectors(BUILTIN["int8"]).rules == (
        "float32 in, at a scale of 1 and a zero point of 0; ties to the even code; what is beyond the range saturates; "
        "NaN is not asked"
    )
    patterns = [int(c.float32, 16) for c in make_vectors(BUILTIN["int8"]).encode]
    assert all(x == x for x in (struct.unpack("<f", p.to_bytes(4, "little"))[0] for p in patterns))
