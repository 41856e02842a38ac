"""Faults as authors make them, none of which is in `quantgate.faults`, each with a twin that differs in it alone.

`ALSO_RIGHT` names, for the faults where an author would be helped as well by another cause, that other cause;
it was written with the faults, before any verdict was seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from quantgate.faults import Fault
from tests.heldout.faults import codes, coverage, gradients, learned, rounding, scales, stale, updates

#: Causes beside the expected one that name the fault as well.
ALSO_RIGHT: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        # The little gradient that there is comes by way of the scale.
        "ternary_gradient_by_scale_only": frozenset({"gradient-wrong"}),
        # Next to nothing is beyond the clip, so that next to no gradient is left.
        "int8_clip_mask_inverted": frozenset({"gradient-blocked"}),
        # The size is off by the ratio of row and column, which is little.
        "int8_scale_of_columns": frozenset({"scale-stale"}),
        # The range is fixed, and 100 times too wide.
        "int6_lsq_step_left_at_one": frozenset({"qparams-invalid"}),
        # Negative codes come back as large positive ones.
        "int4_nibble_not_sign_extended": frozenset({"not-dequantized"}),
        # 0 / 0 is what the author sees.
        "ternary_mean_of_nothing": frozenset({"non-finite"}),
        "mxfp4_log2_of_zero": frozenset({"non-finite"}),
        "uint4_constant_row": frozenset({"non-finite"}),
        "fp8_e5m2_cast_overflows": frozenset({"contract"}),
        "nf4_two_entries_swapped": frozenset({"rounding-biased"}),
    }
)

#: Every held-out fault by its name.
HELDOUT: Mapping[str, Fault] = MappingProxyType(
    {
        fault.name: replace(fault, also_right=ALSO_RIGHT.get(fault.name, frozenset()))
        for part in (gradients, scales, stale, learned, rounding, codes, coverage, updates)
        for fault in part.faults()
    }
)
