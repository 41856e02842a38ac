"""Deliberately broken formats, recipes and optimizers, each with a healthy twin that differs in nothing else.

Holds the library of faults, what they are put together from, the measurement of the gate's power over them, and the
incident. They prove that the gate can fail: `quantgate power` runs them all, and they run against your own settings:
`FAULTS["int4_round_without_ste"].broken.subject`. Imports `gate` and what lies below it, and torch. Read by `cli`.
"""

from quantgate.faults.library import FAULTS
from quantgate.faults.setups import Fault, Setup

__all__ = ["FAULTS", "Fault", "Setup"]
