"""Which learned parameters scale the output, whatever they are called."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quantgate.probes.learned import Role, roles

X = torch.randn(16, 32, generator=torch.Generator().manual_seed(0))


class Affine(nn.Module):
    """Codes 0 .. 15 between two bounds, and a parameter that nothing reads."""

    def __init__(self) -> None:
        super().__init__()
        self.low, self.high = nn.Parameter(torch.tensor(-3.0)), nn.Parameter(torch.tensor(2.5))
        self.spare = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        step = (self.high - self.low) / 15
        return ((x - self.low) / step).round().clamp(0, 15) * step + self.low


class Scaled(nn.Module):
    """A scale for each row, a zero point, the logarithm of another scale, and a scale that is not learned."""

    def __init__(self) -> None:
        super().__init__()
        self.row = nn.Parameter(torch.full((16, 1), 0.3))
        self.zero_point = nn.Parameter(torch.tensor(2.0))
        self.log = nn.Parameter(torch.tensor(-1.0))
        self.fixed = nn.Parameter(torch.tensor(1.0), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.row * self.log.exp() * self.fixed
        return ((x / scale + self.zero_point).round().clamp(-8, 7) - self.zero_point) * scale


def test_bounds_are_no_scales_and_what_is_not_read_is_not_used() -> None:
    assert roles(Affine(), X) == {
        "low": Role(is_scale=False, used=True),
        "high": Role(is_scale=False, used=True),
        "spare": Role(is_scale=False, used=False, learns_clipped=False),
    }


def test_a_scale_is_told_from_a_zero_point_and_a_logarithm() -> None:
    assert roles(Scaled(), X) == {
        "row": Role(is_scale=True, used=True),
        "zero_point": Role(is_scale=False, used=True),
        "log": Role(is_scale=False, used=True),
    }


def test_the_quantizer_and_the_generator_stay_as_they_were() -> None:
    quantizer, state = Scaled(), torch.get_rng_state()
    before = [p.clone() for p in quantizer.parameters()]
    roles(quantizer, X)

    assert all(p.equal(q) for p, q in zip(quantizer.parameters(), before, strict=True))
    assert torch.get_rng_state().equal(state)


def test_a_quantizer_that_raises_has_no_roles() -> None:
    class Raises(Scaled):
        def forward(self, x: Tensor) -> Tensor:
            raise ValueError("no")

    assert roles(Raises(), X) == {}


class Threshold(nn.Module):
    """A range of a power of two, whose exponent is rounded up with or without a gradient."""

    def __init__(self, through: bool) -> None:
        super().__init__()
        self.through = through
        self.log = nn.Parameter(torch.tensor(1.3))

    def forward(self, x: Tensor) -> Tensor:
        up = self.log.ceil()
        exponent = self.log + (up - self.log).detach() if self.through else up
        scale = 2.0**exponent / 127
        codes = (x / scale).clamp(-127, 127)
        return (codes + (codes.round() - codes).detach()) * scale


def test_what_gets_no_gradient_where_values_are_clipped_gets_none() -> None:
    assert roles(Threshold(through=True), X)["log"].learns_clipped
    assert not roles(Threshold(through=False), X)["log"].learns_clipped
