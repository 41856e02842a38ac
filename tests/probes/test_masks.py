"""What the probes show of real ways to mask a gradient, and what is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from quantgate.diagnosis.diagnose import diagnose
from quantgate.diagnosis.evidence import Evidence, TensorEvidence
from quantgate.probes.tensors import tensor_evidence


def causes(evidence: Evidence, bits: float | None = 8) -> list[str]:
    return [finding.cause for finding in diagnose(evidence, bits=bits)]


X = torch.randn(64, 64, generator=torch.Generator().manual_seed(0)) / 8


def masked(mask: Callable[[Tensor, Tensor, Tensor], Tensor], limit: float = 0.25) -> TensorEvidence:
    """An int4 grid that clips at `limit`, its gradient times mask(x, q, limit)."""
    step = limit / 7
    q = (X / step).round().clamp(-7, 7) * step
    upstream = torch.ones_like(X)
    return tensor_evidence("head", 0, X, q, upstream * mask(X, q, torch.tensor(limit)), upstream)


@pytest.mark.parametrize(
    ("mask", "limit", "cause"),
    [
        (lambda x, q, limit: torch.ones_like(x), 0.25, []),
        (lambda x, q, limit: x.abs() <= limit, 0.25, []),  # the usual clip mask
        (lambda x, q, limit: (x >= -limit) & (x < limit), 0.25, []),  # PACT's, open at one end
        (
            lambda x, q, limit: q.abs() < q.abs().amax(),
            0.2,
            ["scale-stale"],
        ),  # the edge of a range that clips too much
        (lambda x, q, limit: q.abs() < q.abs().amax(), 0.45, ["clip-gradient-lost"]),  # of one that does not
        (lambda x, q, limit: x > 0, 0.25, ["clip-gradient-lost"]),
        (lambda x, q, limit: torch.zeros_like(x), 0.25, ["gradient-blocked"]),
        (lambda x, q, limit: -torch.ones_like(x), 0.25, ["gradient-wrong"]),
        (lambda x, q, limit: limit * torch.ones_like(x), 0.25, ["gradient-misscaled"]),
    ],
    ids=["none", "clip", "PACT", "edge, clipping", "edge, wide", "half", "all", "negated", "scaled"],
)
def test_how_it_masks_is_named(mask: Any, limit: float, cause: list[str]) -> None:
    assert causes(Evidence(weights=(masked(mask, limit),)), 4) == cause
