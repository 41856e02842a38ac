"""What real packages showed, row by row: who was blamed and is not any more, and what passed and is named now.

The probes alone are asked; `test_real_packages.py` trains. A row about packages that are not on PyPI is shown by a case
of the same kind, last.
"""

from __future__ import annotations

import pytest

from quantgate import examine
from quantgate.faults.setups import Fault
from quantgate.gate.examination import Examination, examine_subject
from quantgate.records.cell import Config
from quantgate.training.optimizers import OPTIMIZERS
from tests.integration.library import REAL

pytestmark = [pytest.mark.integration, pytest.mark.slow]

#: (what misfired, the subjects that it blamed)
BLAMED = [
    (
        "an average over 100 calls has grown 1.1-fold after four",
        "tao_default tao_fused_act tao_per_channel tao_weight",
    ),
    ("a parameter without requires_grad got no gradient", "tao_lsq_static"),
    (
        "a lower bound or a zero point is negative",
        "aimet_asymmetric_8 aimet_symmetric_8 nncf_asymmetric_8 tao_lsq_8",
    ),
    (
        "statistics are collected before a scale is learned",
        "brevitas_w8a8 brevitas_w4a8 brevitas_shifted_w8a8",
    ),
    ("the largest value of a row is on the edge of its range", "nncf_symmetric_8 nncf_symmetric_4"),
    ("a tensor subclass reads as float32", "ao_bitnet ao_embedding_int4"),
    (
        "a generator of one's own does not obey torch's seed",
        "qtorch_block_8_stochastic qtorch_e5m2_stochastic",
    ),
    ("state in fp8 loses some of a gradient of three decades", "ao_adamw_fp8"),
]

#: (what was not looked at, the subjects that passed, the cause)
PASSED = [
    ("the gain of a recipe's weights", "brevitas_binary_45_times", "not-dequantized"),
    ("a range that ends below the largest of a block", "brevitas_mxint8", "scale-stale"),
    ("what is lost by a range of the wrong sign", "ao_no_zero_point", "not-dequantized"),
    (
        "an optimizer's state beside the float32 algorithm's",
        "ao_linear_map ao_map_of_a_thousandth",
        "optimizer-state",
    ),
    ("where the groups of a scale lie", "bnb_nf4_blocks_128", "scale-misplaced"),
]


def _examined(name: str, *, broken: bool = False) -> Examination:
    found = REAL.get(name)
    if found is None:
        pytest.skip(f"the package of {name} is not installed")
    if isinstance(found, Fault):
        found = found.broken if broken else found.healthy
    config = Config(scope=found.scope)
    optimizer = found.optimizer or OPTIMIZERS["adamw"]
    return examine_subject(found.subject, optimizer=optimizer, storage=found.storage, config=config)


@pytest.mark.parametrize(("name", "row"), [(name, row) for row, names in BLAMED for name in names.split()])
def test_what_was_blamed_is_healthy(name: str, row: str) -> None:
    found = _examined(name)

    assert found.healthy, (row, found.findings)


@pytest.mark.parametrize(
    ("name", "row", "cause"), [(name, row, cause) for row, names, cause in PASSED for name in names.split()]
)
def test_what_passed_is_named(name: str, row: str, cause: str) -> None:
    assert _examined(name, broken=True).cause == cause, row


def test_a_generator_of_ones_own_is_a_warning() -> None:
    found = _examined("qtorch_block_8_stochastic")

    assert ("not-reproducible", "warning") in {(each.cause, each.severity) for each in found.findings}


def test_a_nan_for_zeros_does_not_hide_what_matters() -> None:
    """As DoReFa and lsq-net have it: an unguarded scale, and beside it a straight-through estimator that is missing."""
    import torch

    from quantgate.subjects.registry import Registry

    def unguarded(x: torch.Tensor) -> torch.Tensor:
        return (x / (scale := x.abs().amax() / 127)).round() * scale

    assert examine(Registry().register_format("mine", unguarded, bits=8)).cause == "gradient-blocked"
