"""Healthy quantizers of every sharing are blamed for nothing in a dump, and broken ones by their cause."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from quantgate.diagnosis.diagnose import diagnose
from quantgate.trainers.dump import Moment
from quantgate.trainers.weights import evidence_of

RANDOM = np.random.default_rng(47)
#: With tails, and more values in a row than 8 bits have codes.
X = (RANDOM.standard_t(4, (128, 512)) * 0.05).astype(np.float32)
NORMAL = RANDOM.normal(0, 0.05, X.shape).astype(np.float32)


def grid(x: Any, codes: int, axis: int | None = None, rounded: Callable[[Any], Any] = np.round) -> Any:
    scale = np.abs(x).max(axis=axis, keepdims=axis is not None) / codes
    return np.clip(rounded(x / scale), -codes - 1, codes) * scale


def grouped(x: Any, codes: int, size: int) -> Any:
    return grid(x.reshape(-1, size), codes, 1).reshape(x.shape)


def asymmetric(x: Any, codes: int) -> Any:
    low, high = x.min(1, keepdims=True), x.max(1, keepdims=True)
    scale = (high - low) / codes
    return np.round((x - low) / scale) * scale + low


def float8(x: Any) -> Any:
    scale = np.abs(x).max() / 448
    exponent = np.maximum(np.floor(np.log2(np.maximum(np.abs(x / scale), 1e-30))), -6)
    return np.round(x / scale / 2.0 ** (exponent - 3)) * 2.0 ** (exponent - 3) * scale


def stochastic(x: Any) -> Any:
    return np.floor(x + np.random.default_rng(3).random(x.shape))


def findings(x: Any, q: Any, bits: float) -> dict[str, str]:
    moment = Moment(0, {"weights": {"w": x}, "quantized": {"w": np.asarray(q, dtype=np.float32)}})
    found = diagnose(evidence_of([moment], bits), bits=bits)
    return {each.cause: each.because for each in found if each.blames}


@pytest.mark.parametrize("x", [X, NORMAL], ids=["tails", "normal"])
@pytest.mark.parametrize(
    ("quantize", "bits"),
    [
        (lambda x: grid(x, 127), 8),
        (lambda x: grid(x, 127, 1), 8),
        (lambda x: grid(x, 127, 0), 8),
        (lambda x: grouped(x, 7, 32), 4),
        (lambda x: grouped(x, 7, 16), 4),
        (lambda x: grouped(x, 7, 128), 4),
        (lambda x: grid(x, 7, 1), 4),
        (lambda x: grouped(x, 3, 32), 3),
        (lambda x: asymmetric(x, 255), 8),
        (lambda x: asymmetric(x, 15), 4),
        (float8, 8),
        (lambda x: grid(x, 127, rounded=stochastic), 8),
        (lambda x: grid(x, 7, 1, stochastic), 4),
    ],
    ids=["tensor8", "row8", "column8", "group32", "group16",
        "group128", "row4", "int3", "asym8", "asym4",
        "fp8", "stoch8", "stoch4"],
)  # fmt: skip
def test_healthy(x: Any, quantize: Callable[[Any], Any], bits: float) -> None:
    assert findings(x, quantize(x), bits) == {}


def test_one_scale_for_a_tensor_with_tails_covers_its_range() -> None:
    assert "scale-stale" not in findings(X, grid(X, 7), 4)
    assert findings(NORMAL, grid(NORMAL, 7), 4) == {}


@pytest.mark.parametrize(
    ("q", "bits", "cause", "said"),
    [
        (grid(NORMAL, 127, rounded=np.floor), 8, "rounding-biased", "w is rounded down"),
        (grid(NORMAL, 127, rounded=np.ceil), 8, "rounding-biased", "w is rounded up"),
        (grid(NORMAL, 127, rounded=np.trunc), 8, "rounding-biased", "w is rounded towards 0"),
        (grid(NORMAL, 7, rounded=np.floor), 4, "rounding-biased", "w is rounded down"),
        (grid(NORMAL, 127), 4, "too-many-levels", "distinct values in w, and too many in its rows"),
        (grid(np.clip(NORMAL, -0.05, 0.05), 127), 8, "scale-stale", ""),
        (np.maximum(grid(NORMAL, 127), 0), 8, "sign-lost", ""),
    ],
    ids=["floor", "ceil", "trunc", "floor4", "levels", "stale", "sign"],
)  # fmt: skip
def test_broken(q: Any, bits: float, cause: str, said: str) -> None:
    found = findings(NORMAL, q, bits)

    assert next(iter(found)) == cause, found
    assert said in found[cause]
