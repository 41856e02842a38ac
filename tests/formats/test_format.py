"""The catalogue, and `Format` as the type of a user's formats."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys

import pytest
import torch

from quantgate.formats import ALIASES, BUILTIN, Encoded, Format

NAMES = [
    *("int4", "int8", "int16", "uint4", "uint8"),
    *("fp16", "bf16", "fp8_e4m3", "fp8_e5m2", "fp6_e2m3", "fp6_e3m2", "fp4_e2m1"),
    *("gf4", "gf8", "gf12", "gf16", "gf20", "gf24", "gf32", "gf64", "gf256"),
    *("posit8", "posit16", "posit32", "nf4"),
    *("mxfp8", "mxfp8_e5m2", "mxfp6_e2m3", "mxfp6_e3m2", "mxfp4", "mxint8", "nvfp4"),
    *("fp32", "fp64"),
]


def test_the_catalogue() -> None:
    assert list(BUILTIN) == NAMES
    assert dict(ALIASES) == {"mxfp8_e4m3": "mxfp8"}
    for name, format in BUILTIN.items():
        assert format.name == name
        assert format.spec.startswith("https://")
        assert format.family != "user"


def test_bits_are_those_of_one_element() -> None:
    digits = {name: int("".join(c for c in name.split("_")[0] if c.isdigit())) for name in NAMES}
    assert {name: format.bits for name, format in BUILTIN.items()} == digits


def test_values_are_published_up_to_16_bits() -> None:
    for name, format in BUILTIN.items():
        values = format.values
        assert (values is None) == (float(format.bits or 0) > 16), name
        if values is not None:
            assert list(values) == sorted(set(values))
            assert format.values is values


@pytest.mark.parametrize("name", NAMES)
def test_formats_are_frozen_hashable_and_picklable(name: str) -> None:
    format = BUILTIN[name]
    with pytest.raises(dataclasses.FrozenInstanceError):
        format.bits = 1  # type: ignore[misc]
    x = torch.linspace(-1, 1, 40)
    expected = format.fake_quantize(x)
    copy = pickle.loads(pickle.dumps(format))
    assert copy == format
    assert hash(copy) == hash(format)
    assert torch.equal(copy.fake_quantize(x), expected)


def test_names_and_widths_cost_no_torch() -> None:
    program = (
        "import sys\n"
        "from quantgate.formats import ALIASES, BUILTIN, Encoded, Format\n"
        "assert BUILTIN['int4'].bits == 4 and not BUILTIN['int4'].lossless and BUILTIN['int4'].spec\n"
        "BUILTIN['int8'].per_channel(0)\n"
        "print(sorted({'torch', 'numpy'} & set(sys.modules)))\n"
        "BUILTIN['int4'].values\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\nTrue\n"


class Ternary:
    """A user's codec, with a gradient of its own."""

    values = (-1.0, 0.0, 1.0)

    def fake_quantize(self, x: torch.Tensor, scale: object = None) -> torch.Tensor:
        return x + (x.round().clamp(-1, 1) - x).detach()

    def encode(self, x: torch.Tensor, scale: object = None) -> Encoded:
        return Encoded(x.round().clamp(-1, 1).to(torch.int8), x.dtype)

    def decode(self, encoded: Encoded) -> torch.Tensor:
        return encoded.codes.to(encoded.dtype)


def test_a_users_codec_is_called_as_it_is() -> None:
    format = Format("ternary", Ternary(), bits=1.58, gap_tolerance=0.3)
    assert (format.family, format.lossless, format.values) == ("user", False, (-1.0, 0.0, 1.0))
    x = torch.tensor([0.4, 0.6, -3.0], requires_grad=True)
    y = format.fake_quantize(x)
    torch.autograd.backward(y.sum())
    assert y.tolist() == [0.0, 1.0, -1.0]
    assert x.grad is not None
    assert x.grad.tolist() == [1.0, 1.0, 1.0]
    assert format.decode(format.encode(x)).tolist() == [0.0, 1.0, -1.0]
    with pytest.raises(ValueError, match="ternary cannot be scaled per channel"):
        format.per_channel(0)


def test_bits_may_be_unknown() -> None:
    assert Format("mystery", Ternary()).bits is None
