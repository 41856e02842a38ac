"""Faults, each beside its healthy twin."""

from __future__ import annotations

from collections.abc import Mapping

from quantgate.faults.setups import Fault
from tests.heldout.third.faults import codecs, functions, optimizers, recipes, stateful

FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for module in (recipes, optimizers, stateful, codecs, functions)
    for fault in module.FAULTS
}
