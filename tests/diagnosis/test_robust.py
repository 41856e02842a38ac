"""No measurement, however odd, makes the diagnosis itself fail: one cell must not cost the others their results."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from quantgate.diagnosis.diagnose import diagnose
from quantgate.diagnosis.evidence import Evidence, TensorEvidence

SHARES = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1))
SIZES = st.one_of(st.sampled_from([0.0, 1.0, math.inf, math.nan]), st.floats(0, 1e30))

TENSORS = st.builds(
    TensorEvidence,
    tensor=st.sampled_from(["head.weight", "input of head", "output of head", "N(0, 1)"]),
    step=st.sampled_from([0, 50, 99]),
    rms=SIZES,
    changed=SHARES,
    gain=SIZES,
    snr=st.one_of(st.sampled_from([math.inf, -math.inf, math.nan]), st.floats(-100, 200)),
    zeros=SHARES,
    negatives_kept=SHARES,
    positives_kept=SHARES,
    saturated=SHARES,
    reference_gradient=SIZES,
    gradient=st.one_of(st.none(), SIZES),
    gradient_cosine=st.floats(-1, 1),
    gradient_zeros=SHARES,
    blocked_unclipped=SHARES,
    lines_kept=SHARES,
    drift=st.floats(-1, 1),
    peak=SIZES,
    clip_noise=SHARES,
)


@given(
    st.lists(TENSORS, max_size=4),
    st.lists(TENSORS, max_size=2),
    st.sampled_from([None, 1, 1.58, 3, 4, 8, 32]),
    st.booleans(),
)
def test_any_measurement_is_diagnosed(
    weights: list[TensorEvidence], inputs: list[TensorEvidence], bits: float | None, moved: bool
) -> None:
    weights = sorted(weights, key=lambda tensor: tensor.step)
    for finding in diagnose(
        Evidence(weights=tuple(weights), inputs=tuple(inputs), range_moved=moved), bits=bits
    ):
        assert finding.because
