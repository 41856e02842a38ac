"""Held out, second: written by somebody who had seen neither the probes nor the rules, and then looked at."""

from __future__ import annotations

from tests.heldout.second.faults import FAULTS
from tests.heldout.second.healthy import HEALTHY

__all__ = ["FAULTS", "HEALTHY"]
