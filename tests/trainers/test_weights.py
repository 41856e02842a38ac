"""What dumped weights are evidence of: the causes are those of a format, by the same rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quantgate.diagnosis.diagnose import diagnose
from quantgate.trainers.dump import Moment
from quantgate.trainers.weights import evidence_of

RANDOM = np.random.default_rng(47)
X = RANDOM.normal(0, 0.1, (64, 48)).astype(np.float32)
G = RANDOM.normal(0, 1e-3, X.shape).astype(np.float32)
STEP = RANDOM.normal(0, 1e-4, X.shape).astype(np.float32)


def grid(x: Any, codes: int = 127, axis: int | None = None) -> Any:
    scale = np.abs(x).max(axis=axis, keepdims=axis is not None) / codes
    return (np.round(x / scale) * scale).astype(np.float32)


def causes(*moments: Moment, bits: float = 8) -> list[str]:
    return [finding.cause for finding in diagnose(evidence_of(moments, bits), bits=bits) if finding.blames]


def moment(step: int = 0, **roles: Any) -> Moment:
    return Moment(
        step, {role: {"w": np.asarray(x, dtype=np.float32)} for role, x in {"weights": X, **roles}.items()}
    )


@pytest.mark.parametrize(
    ("roles", "bits"),
    [
        ({"quantized": grid(X)}, 8),
        ({"quantized": grid(X, axis=1)}, 8),
        ({"quantized": grid(X, 7)}, 4),
        ({"quantized": grid(X, 7, axis=1), "gradient": G, "reference": G}, 4),
        ({"quantized": X + (grid(X) - X)}, 8),
        ({"quantized": grid(X), "intended": X + STEP, "stored": X + STEP}, 8),
        ({"quantized": X.astype(np.float16)}, 16),
    ],
    ids=["tensor", "row", "int4", "gradients", "ste", "master", "fp16"],
)
def test_healthy_ones_are_blamed_for_nothing(roles: dict[str, Any], bits: float) -> None:
    assert causes(moment(**roles), bits=bits) == []


@pytest.mark.parametrize(
    ("roles", "bits", "cause"),
    [
        ({"quantized": X}, 8, "no-op"),
        ({"quantized": grid(X) * 1270}, 8, "not-dequantized"),
        ({"quantized": np.maximum(grid(X), 0)}, 8, "sign-lost"),
        ({"quantized": np.where(np.abs(X) > 0.2, X, 0)}, 4, "range-collapsed"),
        ({"quantized": grid(np.clip(X, -0.03, 0.03))}, 8, "scale-stale"),
        ({"quantized": grid(X, 127)}, 4, "too-many-levels"),
        ({"quantized": np.where(np.arange(64)[:, None] < 8, X, grid(X))}, 8, "partly-applied"),
        ({"quantized": grid(X), "gradient": 0 * G, "reference": G}, 8, "gradient-blocked"),
        ({"quantized": grid(X), "gradient": -G, "reference": G}, 8, "gradient-wrong"),
        ({"quantized": grid(X), "gradient": G / 100, "reference": G}, 8, "gradient-misscaled"),
        ({"quantized": grid(X), "intended": X + STEP, "stored": grid(X + STEP)}, 8, "update-swallowed"),
        ({"quantized": np.where(X > 0.3, np.nan, X)}, 8, "non-finite"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_fault_is_named(roles: dict[str, Any], bits: float, cause: str) -> None:
    assert causes(moment(**roles), bits=bits)[0] == cause


def test_weights_on_the_grid_are_judged_where_they_are_stored() -> None:
    on_grid = grid(X)
    step = 20 * STEP * (np.arange(64)[:, None] < 32)  # an embedding's rows without a gradient stay
    roles = {"weights": on_grid, "quantized": on_grid, "intended": on_grid + step}

    assert causes(moment(**roles, stored=grid(on_grid + step))) == []
    assert causes(moment(**roles, stored=on_grid)) == ["update-swallowed"]


def test_weights_that_stay_where_they_were_are_swallowed() -> None:
    first = moment(quantized=grid(X), gradient=G)
    moved, still = (moment(step=99, weights=x, quantized=grid(x)) for x in (X + STEP, X))

    assert causes(first, moved) == []
    assert causes(first, still) == ["update-swallowed"]
    assert causes(first, moment(step=9, quantized=grid(X))) == []  # too soon to say
