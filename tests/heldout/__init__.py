"""Faults and healthy quantizers that the gate's thresholds were not set on.

They were written by somebody who had not read the probes or the diagnosis: nothing here was changed after a
verdict of the gate was seen, and nothing in the gate may be tuned on them.
"""
