"""Run every probe of a quantizer that needs no model."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from quantgate.diagnosis.evidence import Evidence, TensorEvidence
from quantgate.probes.crash import describe
from quantgate.probes.quantizer.calls import INPUT_SIGMAS, SEED, gradient, normal, seeded, upstream
from quantgate.probes.quantizer.contract import contract_violation, unrepeatable
from quantgate.probes.quantizer.precision import codes_used
from quantgate.probes.quantizer.ramp import ROLL, levels_kept, ramp, rounding_evidence, table_error
from quantgate.probes.quantizer.relations import relations
from quantgate.probes.quantizer.scale import (
    Scaling,
    changes_wide,
    differs,
    one_sided_peak,
    scaling,
    zero_input,
)
from quantgate.probes.quantizer.state import state_of
from quantgate.probes.tensors import share, tensor_evidence
from quantgate.training.fakequant import Quantizer


def examine_quantizer(
    make_quantizer: Callable[[], Quantizer],
    *,
    name: str,
    fresh: bool,
    bits: float | None = None,
    static: bool = False,
    export: Quantizer | None = None,
    device: str = "cpu",
) -> Evidence:
    """Check a quantizer's contract and collect its evidence without a model.

    Args:
        make_quantizer: Makes the function under test.
        name: The subject's name, which may claim a published codebook (`mylib_nf4`).
        fresh: Whether each call of `make_quantizer` makes a new one (`factory=`), which may then keep state.
        bits: Declared bits of an element; None where unknown.
        static: Whether its scale was calibrated before, and is not to follow.
        export: decode(encode(x)) if the subject has a codec of its own beside the function.
        device: Where the inputs lie.
    """
    state = None if fresh else state_of(make_quantizer())
    inputs = {f"N(0, {sigma:g})": normal(sigma, device) for sigma in INPUT_SIGMAS}
    weight_like = inputs[f"N(0, {INPUT_SIGMAS[1]:g})"]
    steps = ramp(device)
    try:
        for label, x in inputs.items():
            if broken := contract_violation(make_quantizer, label, x):
                return Evidence(contract=broken, state=state)
        q, again = seeded(make_quantizer(), steps.clone()), seeded(make_quantizer(), steps.clone(), SEED + 1)
        rolled = seeded(make_quantizer(), steps.roll(ROLL, 0)).roll(-ROLL, 0)
        kept = levels_kept(lambda x: seeded(make_quantizer(), x), steps, q)
        rounding = rounding_evidence(steps, q, again, rolled, kept)
        narrow = inputs[f"N(0, {INPUT_SIGMAS[2]:g})"]
        scale = Scaling() if static else scaling(make_quantizer(), narrow, keeps_state=fresh)
        trained = seeded(make_quantizer(), weight_like.clone())
        return Evidence(
            inputs=tuple(_probe(make_quantizer(), label, x) for label, x in inputs.items()),
            state=state,
            unrepeatable=unrepeatable(make_quantizer, weight_like),
            changes_wide=changes_wide(make_quantizer(), device),
            zero_input=zero_input(make_quantizer, device),
            scale_follows=scale.follows,
            late_gain=scale.late_gain,
            fixed_grid=scale.fixed_grid,
            one_sided_peak=None if static else one_sided_peak(make_quantizer, device),
            gradient_underflow=_gradient_underflow(make_quantizer(), weight_like),
            gradient_additive=_gradient_additive(make_quantizer, weight_like),
            codes_used=codes_used(make_quantizer, device)
            if rounding.uniform and scale.follows is not None
            else None,
            rounding=rounding,
            relations=relations(
                make_quantizer, steps, q, bits=bits, varies=rounding.varies, by_place=rounding.by_place
            ),
            table_error=table_error(name, q),
            export_differs=None if export is None else differs(trained, seeded(export, weight_like.clone())),
        )
    except Exception as error:  # the subject's own code: whatever it raises is a result of this cell
        return Evidence(crash=describe(error), state=state)


def _probe(quantizer: Quantizer, name: str, x: Tensor) -> TensorEvidence:
    given = upstream(x.device)
    q, received = gradient(quantizer, x, given)
    return tensor_evidence(name, 0, x, q, received, given)


def _gradient_underflow(quantizer: Quantizer, x: Tensor) -> float:
    """The share of gradient elements that pass at size 1 and are 0 at size 2^-20."""
    given = upstream(x.device)
    large, small = (gradient(quantizer, x, given * size)[1] for size in (1.0, 2.0**-20))
    if large is None or small is None:
        return 0.0
    passes = large != 0
    return share(passes & (small == 0), int(passes.sum()))


def _gradient_additive(make_quantizer: Callable[[], Quantizer], x: Tensor) -> float | None:
    """How far the gradient of a sum is from the sum of the gradients, as a share of it; None without a gradient.

    Every backward is linear in the gradient that it is given, until it rounds it.
    """
    one = upstream(x.device)
    other = one.roll(1, dims=1)
    parts = [gradient(make_quantizer(), x, given)[1] for given in (one, other, one + other)]
    if any(part is None for part in parts):
        return None
    first, second, whole = (part.float() for part in parts if part is not None)
    norm = float(whole.detach().norm())
    return float((whole - first - second).detach().norm()) / norm if norm else None
