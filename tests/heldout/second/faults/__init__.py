"""Faults of real practice, each beside the same setup without it."""

from __future__ import annotations

from collections.abc import Mapping

from quantgate.faults.setups import Fault
from tests.heldout.second.faults import (
    codecs,
    functions,
    optimizers,
    recipes_a,
    recipes_b,
    stateful_a,
    stateful_b,
)

FAULTS: Mapping[str, Fault] = {
    **recipes_a.FAULTS,
    **recipes_b.FAULTS,
    **optimizers.FAULTS,
    **stateful_a.FAULTS,
    **stateful_b.FAULTS,
    **codecs.FAULTS,
    **functions.FAULTS,
}
