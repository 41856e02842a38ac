"""Inputs that every codec is tried on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """The machine is shared, and these tensors are small."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def every_bfloat16() -> NDArray[np.float32]:
    """All 65,536 bfloat16 values as float32: subnormals, infinities, -0 and 254 NaN among them."""
    return (np.arange(1 << 16, dtype=np.uint32) << 16).view(np.float32)


@pytest.fixture(scope="session")
def million() -> NDArray[np.float32]:
    """A million random float32 numbers: half of them any bit pattern, half normally distributed."""
    random = np.random.default_rng(47)
    bits = random.integers(0, 1 << 32, 500_000, dtype=np.uint32).view(np.float32)
    normal = random.standard_normal(500_000).astype(np.float32) * random.choice([0.01, 1, 30], 500_000)
    both = np.concatenate([bits, normal.astype(np.float32)])
    numbers: NDArray[np.float32] = both[~np.isnan(both)]
    return numbers


@pytest.fixture(scope="session")
def special() -> NDArray[np.float32]:
    """Zeros, subnormals, infinities and the largest numbers, of both signs."""
    tiny, largest = np.float32(1e-45), np.finfo(np.float32).max
    ones = np.array([0, tiny, 1e-40, 2**-126, 2**-149, 2**-127, largest, np.inf, 1], np.float32)
    return np.concatenate([ones, -ones])


def _oracle(name: str, extra: str) -> Any:
    return pytest.importorskip(name, reason=f"{name} is not installed; it comes with quantgate[{extra}]")


@pytest.fixture(scope="session")
def ml_dtypes() -> Any:
    """JAX's minifloat dtypes for numpy."""
    return _oracle("ml_dtypes", "test")


@pytest.fixture(scope="session")
def gfloat() -> Any:
    """Graphcore's reference of parametric formats."""
    return _oracle("gfloat", "test")


@pytest.fixture(scope="session")
def apytypes() -> Any:
    """Bit-accurate floats of any width, by Linköping university."""
    return _oracle("apytypes", "test")


@pytest.fixture(scope="session")
def universal() -> Any:
    """Stillwater Universal, the reference of posits."""
    return _oracle("universal_dtypes", "test")


@pytest.fixture(scope="session")
def bitsandbytes() -> Any:
    """The implementation of the QLoRA paper's authors."""
    return _oracle("bitsandbytes", "oracles")


@pytest.fixture(scope="session")
def mx_formats() -> Any:
    """MX and nvfp4 of torchao."""
    return _oracle("torchao.prototype.mx_formats", "oracles")
