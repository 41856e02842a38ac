"""What makes a training repeat to the last bit, whatever ran before it, and leaves torch as it was found."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from quantgate.training.state import STATES, read_generators, seed_generators, write_generators


@contextmanager
def reproducible(seed: int, device: str) -> Iterator[None]:
    """The state of a fresh process, one thread, seeded generators, deterministic kernels; all as before afterwards.

    Raises:
        RuntimeError: A state cannot be set; the message names it and what it is.
    """
    with torch.inference_mode(False):  # one that is entered by its block, and ended by nothing else
        found = [(state, state.read()) for state in STATES]
        generators, deterministic = read_generators(), _deterministic()
        try:
            for state in STATES:
                state.write(state.fresh)
                if (now := state.read()) != state.fresh:
                    raise RuntimeError(
                        f"torch's {state.name} is {now} in this process and cannot be set to {state.fresh}; "
                        "run the gate in a process of its own"
                    )
            with _seeded(seed, device):
                yield
        finally:
            for state, value in found:
                state.write(value)
            write_generators(generators)
            # The call imports torch._inductor, and with it torch._dynamo: only where there is something to restore.
            if _deterministic() != deterministic:
                torch.use_deterministic_algorithms(deterministic[0], warn_only=deterministic[1])


@contextmanager
def _seeded(seed: int, device: str) -> Iterator[None]:
    accelerator = torch.device(device).type
    devices = [torch.device(device).index or 0] if accelerator != "cpu" else []
    if accelerator == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with torch.random.fork_rng(devices=devices, device_type=accelerator if devices else "cuda"):
        if devices:
            torch.use_deterministic_algorithms(True, warn_only=True)
        elif torch.are_deterministic_algorithms_enabled():
            torch.use_deterministic_algorithms(False)
        torch.manual_seed(seed)
        seed_generators(seed)
        yield


def _deterministic() -> tuple[bool, bool]:
    """(whether deterministic algorithms are asked for, whether others only warn)."""
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
