"""How a scale follows: at once, late, never, and with one scale for the division and another for the product."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from quantgate.probes.quantizer.scale import Scaling, scaling

X = torch.randn(32, 64, generator=torch.Generator().manual_seed(0))


class Observed(nn.Module):
    """int8 with the range of a moving average, or of calls up to one."""

    def __init__(self, constant: float = 1.0, last: int = 10_000, late: bool = False) -> None:
        super().__init__()
        self.constant, self.last, self.late = constant, last, late
        self.calls, self.range, self.before = 0, 0.0, 0.0

    def forward(self, x: Tensor) -> Tensor:
        peak, self.before = float(x.detach().abs().amax()), self.range
        if self.calls < self.last:
            self.range += (self.constant if self.calls else 1.0) * (peak - self.range)
        self.calls += 1
        codes = (x / (self.range / 127)).round().clamp(-127, 127)
        return codes * ((self.before if self.late and self.before else self.range) / 127)


def asked(quantizer: nn.Module) -> Scaling:
    return scaling(quantizer, X, keeps_state=True)


@pytest.mark.parametrize(
    ("quantizer", "follows"),
    [
        (Observed(), 4.0),
        (Observed(constant=0.01), 2.0),
        (Observed(constant=0.0), 1.0),
        (Observed(last=1), 1.0),
        (Observed(last=50), 1.0),
    ],
    ids=["at once", "average", "never", "stops at once", "stops within the training"],
)
def test_a_scale_follows_or_does_not(quantizer: nn.Module, follows: float) -> None:
    found = asked(quantizer).follows

    assert found is not None
    assert found == pytest.approx(follows, abs=0.2) if follows < 2 else found >= 2


def test_codes_times_the_scale_of_the_call_before_come_back_too_small() -> None:
    assert asked(Observed(late=True)).late_gain == pytest.approx(0.25, abs=0.02)
    assert asked(Observed()).late_gain == pytest.approx(1.0, abs=0.05)
    assert asked(Observed(constant=0.01)).late_gain == pytest.approx(1.0, abs=0.05)
