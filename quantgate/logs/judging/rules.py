"""What a curve from elsewhere is held against: chance, the unit, the lines, the horizon."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from quantgate.records.verdict import CHANCE_BPB, DEFAULT_LIMITS, Limits

Unit = Literal["bits", "nats"]

#: From so many steps on, a run must have learned more than how often each symbol occurs.
LONG_STEPS = 2000
#: Bits of a symbol by its frequency alone, over chance: 4.78 of 7 for the bytes of tiny shakespeare; GPT-2's tokens of
#: English have about 0.7. A run of weeks that ends above it has learned next to nothing.
UNIGRAM_SHARE = 4.78 / 7
#: The first score is near chance if it is at least this share of it: initial weights know nothing. Above chance it may
#: be, where they are large; by more than this share only where somebody said what chance is.
NEAR_CHANCE = 0.9
FAR_ABOVE = 1.1
#: How near (share) a first score must be to chance in the other unit for the unit to be the likely mistake.
UNIT_SLACK = 0.06
#: Fewer steps than this say nothing against a format: float32 has hardly moved either.
LEAST_STEPS = 20
#: A run that ended before this share of its horizon ended early.
EARLY_SHARE = 0.5


def bits_in(unit: Unit) -> float:
    """Bits in one of a unit."""
    return 1.0 if unit == "bits" else 1 / math.log(2)


@dataclass(frozen=True)
class Rules:
    """How curves are judged. Scores are in `unit`, everything else in bits a symbol."""

    chance: float = CHANCE_BPB
    unit: Unit = "bits"
    #: The last step that a whole run has; None where that is not known.
    horizon: int | None = None
    #: The lines; None takes this package's own, in proportion to chance, and a stricter one for long runs.
    limits: Limits | None = None
    #: How far behind its control a run may end; None takes the one of its bits and optimizer.
    tolerance: float | None = None
    #: Whether a first score below chance is taken as it is: the unit is known from other runs, which start at chance.
    late_start: bool = False
    #: Whether chance is derived, so that a start far above it is of another vocabulary.
    derived: bool = False
    #: Whether chance was given, or runs start at it.
    known: bool = True

    @property
    def in_bits(self) -> float:
        """Bits in one unit."""
        return bits_in(self.unit)

    @property
    def scale(self) -> float:
        """What a difference of one bit at a chance of 7 is here."""
        return self.chance / CHANCE_BPB

    def lines(self, steps: int | None) -> Limits:
        """The lines for a run of so many steps; without steps, those of a long one."""
        if self.limits is not None:
            return self.limits
        fail = DEFAULT_LIMITS.fail_bpb * self.scale
        if steps is None or steps >= LONG_STEPS:
            fail = UNIGRAM_SHARE * self.chance
        return Limits(fail, DEFAULT_LIMITS.dead_bpb * self.scale)
