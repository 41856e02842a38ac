"""Deliberately broken formats, recipes and optimizers, each with a healthy twin that differs in nothing else.

They prove that the gate can fail: three of them are in every run as negative controls, and `quantgate power` runs
them all. Run them against your own settings: `FAULTS["int4_round_without_ste"].broken.subject`.
"""

from quantgate.faults.library import FAULTS, NEGATIVE_CONTROLS, Fault, Setup

__all__ = ["FAULTS", "NEGATIVE_CONTROLS", "Fault", "Setup"]
