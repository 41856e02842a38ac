"""What makes a training repeat to the last bit, and leaves torch as it was found."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def reproducible(seed: int, device: str) -> Iterator[None]:
    """One thread, a seeded generator and deterministic kernels; all as before afterwards."""
    threads = torch.get_num_threads()
    deterministic = _deterministic()
    accelerator = torch.device(device).type
    devices = [torch.device(device).index or 0] if accelerator != "cpu" else []
    if accelerator == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with torch.random.fork_rng(devices=devices, device_type=accelerator if devices else "cuda"):
        try:
            torch.set_num_threads(1)
            if devices:
                torch.use_deterministic_algorithms(True, warn_only=True)
            torch.manual_seed(seed)
            with torch.enable_grad():
                yield
        finally:
            torch.set_num_threads(threads)
            # The call imports torch._inductor, and with it torch._dynamo: only where there is something to restore.
            if _deterministic() != deterministic:
                torch.use_deterministic_algorithms(deterministic[0], warn_only=deterministic[1])


def _deterministic() -> tuple[bool, bool]:
    """(whether deterministic algorithms are asked for, whether others only warn)."""
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
