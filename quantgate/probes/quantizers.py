"""Measurements that name a cause: of one tensor and its quantizer, and of a quantizer by itself."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from quantgate.diagnosis.evidence import Evidence, TensorEvidence
from quantgate.training.fakequant import Quantizer
from quantgate.probes.rounding import ROLL, SAME, ramp, rounding_evidence, table_error

#: Standard deviations of the inputs that a quantizer is probed on by itself: a model's first weights have
#: 1 / sqrt(width), trained ones up to about 1, a small head 1 / 32.
INPUT_SIGMAS = (1.0, 1 / 8, 1 / 32)
INPUT_SHAPE = (48, 96)
_SEED = 20_827
#: So many elements of one sign say nothing yet.
FEW = 32


def tensor_evidence(
    name: str, step: int, x: Tensor, q: Tensor, gradient: Tensor | None, reference: Tensor | None
) -> TensorEvidence:
    """What can be said of a tensor, its fake-quantized self and the gradients of both.

    Args:
        name: What the tensor is called in messages.
        step: The optimizer step before which it is measured.
        x: The tensor.
        q: q(x), of the same shape.
        gradient: d loss / d x as the quantizer's backward gives it; None where none came.
        reference: d loss / d q(x) on the same forward, which is what a straight-through estimator gives x.
    """
    x, q = x.detach().flatten().float(), q.detach().flatten().float()
    count = max(x.numel(), 1)
    power = float(x.dot(x))
    rms = math.sqrt(power / count)
    error = float((q - x).square().sum())
    magnitude = q.abs()
    negative, positive = x < -rms / 2, x > rms / 2
    norm, reference_norm, cosine, zeros = _compare(gradient, reference)
    largest = float(magnitude.max()) if x.numel() else 0.0
    return TensorEvidence(
        tensor=name,
        step=step,
        rms=rms,
        changed=_share(q != x, count),
        gain=math.sqrt(float(q.dot(q)) / power) if power else 1.0,
        snr=_decibels(power, error),
        zeros=_share(q == 0, count),
        negatives_kept=_kept(negative, q < 0),
        positives_kept=_kept(positive, q > 0),
        saturated=_share(magnitude >= (1 - SAME) * largest, count) if largest else 0.0,
        reference_gradient=reference_norm,
        gradient=norm,
        gradient_cosine=cosine,
        gradient_zeros=zeros,
        blocked_unclipped=_blocked_unclipped(x, q, gradient, reference) if 0 < zeros < 1 else 0.0,
    )


def _blocked_unclipped(x: Tensor, q: Tensor, gradient: Tensor | None, reference: Tensor | None) -> float:
    """Of the elements that lost their gradient, those that q left as large as they were."""
    if gradient is None or reference is None:
        return 0.0
    lost = (reference.flatten() != 0) & (gradient.flatten() == 0)
    return _share(lost & (q.abs() >= x.abs() * (1 - SAME)) & (q != 0), int(lost.sum()))


def _compare(gradient: Tensor | None, reference: Tensor | None) -> tuple[float | None, float, float, float]:
    """(norm, reference norm, cosine, share of zeros where the reference has none)."""
    if reference is None:
        return (None if gradient is None else float(gradient.norm()), 0.0, 0.0, 0.0)
    expected = reference.detach().flatten().float()
    norm = float(expected.norm())
    if gradient is None:
        return None, norm, 0.0, 1.0
    got = gradient.detach().flatten().float()
    got_norm = float(got.norm())
    cosine = float(got.dot(expected)) / (norm * got_norm) if norm and got_norm else 0.0
    present = expected != 0
    return got_norm, norm, cosine, _share(present & (got == 0), int(present.sum()))


def _kept(of: Tensor, sign: Tensor) -> float:
    count = int(of.sum())
    return _share(of & sign, count) if count >= FEW else 1.0


def _share(mask: Tensor, count: int) -> float:
    return float(mask.sum()) / count if count else 0.0


def _decibels(signal: float, noise: float) -> float:
    if not math.isfinite(noise):
        return -math.inf
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf


def examine_quantizer(
    make_quantizer: Callable[[], Quantizer],
    *,
    name: str,
    fresh: bool,
    export: Quantizer | None = None,
    device: str = "cpu",
) -> Evidence:
    """The contract, and the evidence that a quantizer gives without a model.

    Args:
        make_quantizer: Makes the function under test.
        name: The subject's, which may claim a published table.
        fresh: Whether each call makes a new one (`factory=`), which may then keep state between its calls.
        export: decode(encode(x)) where the subject has a codec of its own beside the function.
        device: Where the inputs lie.
    """
    state = None if fresh else _state_of(make_quantizer())
    inputs = {f"N(0, {sigma:g})": _normal(sigma, device) for sigma in INPUT_SIGMAS}
    weight_like = inputs[f"N(0, {INPUT_SIGMAS[1]:g})"]
    steps = ramp(device)
    try:
        for label, x in inputs.items():
            if broken := _breach(make_quantizer, label, x):
                return Evidence(contract=broken, state=state)
        q, again = (
            _seeded(make_quantizer(), steps.clone()),
            _seeded(make_quantizer(), steps.clone(), _SEED + 1),
        )
        rolled = _seeded(make_quantizer(), steps.roll(ROLL, 0)).roll(-ROLL, 0)
        rounding = rounding_evidence(steps, q, again, rolled)
        follows, fixed_grid = _scaling(make_quantizer(), inputs[f"N(0, {INPUT_SIGMAS[2]:g})"])
        trained = _seeded(make_quantizer(), weight_like.clone())
        return Evidence(
            inputs=tuple(_probe(make_quantizer(), label, x) for label, x in inputs.items()),
            state=state,
            changes_wide=_differs_bitwise(make_quantizer(), _wide(device)),
            zero_input=_zero_input(make_quantizer, device),
            scale_follows=follows,
            fixed_grid=fixed_grid,
            gradient_underflow=_gradient_underflow(make_quantizer(), weight_like),
            rounding=rounding,
            table_error=table_error(name, q),
            export_differs=None
            if export is None
            else _differs(trained, _seeded(export, weight_like.clone())),
        )
    except Exception as error:  # the subject's own code: whatever it raises is a result of this cell
        return Evidence(crash=describe(error), state=state)


def _zero_input(make_quantizer: Callable[[], Quantizer], device: str) -> str | None:
    """Which of an all-zero tensor and an all-zero row does not come back finite."""
    row = _normal(1.0, device)
    row[3] = 0.0
    for label, x in (("an all-zero tensor", torch.zeros_like(row)), ("an all-zero row", row)):
        if not torch.isfinite(_seeded(make_quantizer(), x)).all():
            return label
    return None


def _scaling(quantizer: Quantizer, x: Tensor) -> tuple[float | None, float]:
    """(max |q(4 x)| / max |q(x)|, share of elements with q(4 x) != 4 q(x)), on one instance.

    None for a learned scale, or no output. A delayed scale (a maximum over past calls) is given four calls to follow.
    """
    before = _seeded(quantizer, x.clone())
    if isinstance(quantizer, nn.Module) and any(True for _ in quantizer.parameters()):
        return None, 0.0  # asked after the first call, which may have made them
    for _ in range(4):
        after = _seeded(quantizer, 4 * x)
    largest = float(before.abs().max())
    return (float(after.abs().max()) / largest if largest else None), _differs(4 * before, after)


def _gradient_underflow(quantizer: Quantizer, x: Tensor) -> float:
    upstream = _normal(1.0, str(x.device)).roll(1, dims=0)
    large, small = (_gradient(quantizer, x, upstream * size)[1] for size in (1.0, 2.0**-20))
    if large is None or small is None:
        return 0.0
    passes = large != 0
    return _share(passes & (small == 0), int(passes.sum()))


def _wide(device: str) -> Tensor:
    return _normal(1.0, device) * 2.0 ** torch.linspace(-60, 60, INPUT_SHAPE[1], device=device)


def _differs_bitwise(quantizer: Quantizer, x: Tensor) -> bool:
    return not torch.equal(_seeded(quantizer, x.clone()), x)


def _differs(q: Tensor, other: Tensor) -> float:
    """The share of elements off by more than the straight-through idiom's rounding."""
    return _share((q - other).abs() > SAME * float(q.abs().max()), q.numel())


def describe(error: BaseException) -> str:
    """An exception in one line, the first of its own."""
    text = str(error).strip().splitlines()
    where = ""
    if error.__traceback__ is not None:
        frames = inspect.getinnerframes(error.__traceback__, context=0)
        where = f" (at {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {text[0][:300] if text else 'no message'}{where}"


def _normal(sigma: float, device: str) -> Tensor:
    generator = torch.Generator().manual_seed(_SEED)
    return torch.randn(INPUT_SHAPE, generator=generator).mul_(sigma).to(device)


def _breach(make_quantizer: Callable[[], Quantizer], name: str, x: Tensor) -> str | None:
    """How the quantizer breaks its contract on x; None where it does not."""
    given = x.clone()
    first = _seeded(make_quantizer(), given)
    if not isinstance(first, Tensor):
        return f"returns {type(first).__name__}, not a tensor."
    if first.shape != x.shape:
        return f"returns shape {tuple(first.shape)} for {tuple(x.shape)}."
    if first.dtype != x.dtype:
        return f"returns {first.dtype} for {x.dtype}; dequantize to the input's dtype."
    if first.device != x.device:
        return f"returns a tensor on {first.device} for one on {x.device}."
    if not torch.equal(given, x):
        return f"changes its input in place ({_share(given != x, x.numel()):.0%} of {name})."
    if not torch.isfinite(first).all():
        return f"returns {int((~torch.isfinite(first)).sum())} non-finite elements for finite {name}."
    if not torch.equal(first, _seeded(make_quantizer(), x.clone())):
        return (
            "gives other results under the same torch seed; draw from torch's generator, "
            "and register what keeps state with factory=."
        )
    return None


def _seeded(quantizer: Quantizer, x: Tensor, seed: int = _SEED) -> Tensor:
    torch.manual_seed(seed)
    with torch.no_grad():
        return quantizer(x)


def _gradient(quantizer: Quantizer, x: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor | None]:
    """q(x), and the gradient that `upstream` becomes; None where none comes."""
    leaf = x.clone().requires_grad_()
    torch.manual_seed(_SEED)
    with torch.enable_grad():
        q = quantizer(leaf)
        if not q.requires_grad:
            return q, None
        (gradient,) = torch.autograd.grad(q, leaf, upstream, allow_unused=True)
    return q, gradient


def _probe(quantizer: Quantizer, name: str, x: Tensor) -> TensorEvidence:
    """The tensor's evidence under an upstream gradient that depends on no weight."""
    upstream = _normal(1.0, str(x.device)).roll(1, dims=0)
    q, gradient = _gradient(quantizer, x, upstream)
    return tensor_evidence(name, 0, x, q, gradient, upstream)


def _state_of(quantizer: Quantizer) -> str | None:
    """State that a plain function would share between the parameters and cells that it serves."""
    if isinstance(quantizer, nn.Module):
        held = [name for name, _ in (*quantizer.named_parameters(), *quantizer.named_buffers())]
        return _state_message(held)
    owner = getattr(quantizer, "__self__", None)
    if isinstance(owner, nn.Module):
        return _state_of(owner)
    if inspect.isfunction(quantizer) and quantizer.__closure__:
        names = quantizer.__code__.co_freevars
        cells = zip(names, quantizer.__closure__, strict=True)
        return _state_message([name for name, cell in cells if _is_mutable(cell)])
    return None


def _is_mutable(cell: object) -> bool:
    try:
        content = cell.cell_contents  # type: ignore[attr-defined]
    except ValueError:  # an empty cell
        return False
    return isinstance(content, Tensor | nn.Module | list | dict | set)


def _state_message(held: list[str]) -> str | None:
    if not held:
        return None
    return (
        f"it keeps state ({', '.join(held[:4])}) that all parameters and cells share; "
        "register it with factory= to give each its own."
    )
