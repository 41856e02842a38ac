"""Deliberately broken formats, recipes and optimizers, each with a healthy twin that differs in nothing else.

They prove that the gate can fail, and run against your own settings: `FAULTS["int4_round_without_ste"].broken.subject`.
Holds the library, what its faults are put together from, the measurement of the gate's power over them, and the
incident. Imports `diagnosis`, `records`, `formats`, `training`, `subjects`, `probes` and `gate`. Read by `cli`.
"""

from quantgate.faults.library import FAULTS
from quantgate.faults.setups import Fault, Setup

__all__ = ["FAULTS", "Fault", "Setup"]
