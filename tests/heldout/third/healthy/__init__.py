"""Setups that are unusual and right."""

from __future__ import annotations

from collections.abc import Mapping

from quantgate.faults.setups import Setup
from tests.heldout.third.healthy import codecs, functions, optimizers, recipes, stateful

HEALTHY: Mapping[str, Setup] = {
    **recipes.HEALTHY,
    **optimizers.HEALTHY,
    **stateful.HEALTHY,
    **codecs.HEALTHY,
    **functions.HEALTHY,
}
