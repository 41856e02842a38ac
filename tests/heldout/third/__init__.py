"""Held out, third: written by another author; half of it was looked at, by the hash of its names, and
half is only counted.
"""

from __future__ import annotations

from tests.heldout.third.faults import FAULTS
from tests.heldout.third.healthy import HEALTHY

__all__ = ["FAULTS", "HEALTHY"]
