"""How a learning rate moves over a training: plain data, with the share of the peak at each step."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up to the peak, then half a cosine down to `floor` times the peak at the last step.

    The schedule of most language models since GPT-3 (arXiv 2005.14165, appendix B); the cosine is SGDR's without its
    restarts (arXiv 1608.03983).
    """

    #: Steps of the warm-up; the last of them is the first at the peak.
    warmup: int
    #: Share of the peak at the last step, 0..1.
    floor: float

    def share(self, step: int, steps: int) -> float:
        """The rate over its peak at a step, from 0, of so many; above 0 and at most 1."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        passed = (step + 1 - self.warmup) / max(1, steps - self.warmup)
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * passed)) / 2
