"""On a GPU every format gives the bits that it gives on the CPU."""

from __future__ import annotations

import pytest
import torch

from quantgate.formats import BUILTIN

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.parametrize("name", sorted(BUILTIN))
def test_cuda_gives_the_same_bits(name: str) -> None:
    format = BUILTIN[name]
    generator = torch.Generator().manual_seed(47)
    for size in (1e-30, 0.03, 1.0, 1e20):
        x = torch.randn(33, 70, generator=generator) * size
        x[0, 0], x[1, 1], x[2, 2] = 0.0, -0.0, torch.inf
        y = format.fake_quantize(x.cuda())
        assert y.is_cuda
        assert torch.equal(y.cpu().view(torch.int32), format.fake_quantize(x).view(torch.int32))
        encoded = format.encode(x.cuda())
        assert torch.equal(encoded.codes.cpu(), format.encode(x).codes)
        assert torch.equal(format.decode(encoded), y)
        assert torch.equal(format.fake_quantize(x.cuda(), scale=encoded), y)
    x[3, 3] = torch.nan
    assert torch.equal(format.fake_quantize(x.cuda()).isnan().cpu(), format.fake_quantize(x).isnan())
