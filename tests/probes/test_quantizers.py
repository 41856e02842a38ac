"""The probes of a quantizer by itself, through `examine`, and of one tensor."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from quantgate import examine
from quantgate.diagnosis.diagnose import diagnose
from quantgate.diagnosis.evidence import Evidence
from quantgate.probes.crash import describe
from quantgate.probes.tensors import tensor_evidence
from quantgate.subjects.registry import Registry

X = torch.randn(64, 64, generator=torch.Generator().manual_seed(0)) / 8


def int8(x: Tensor) -> Tensor:
    scale = (x.detach().abs().amax() / 127).clamp_min(1e-12)
    return x + ((x / scale).round() * scale - x).detach()


def evidence_of(function: Any = None, **given: Any) -> Evidence:
    return examine(Registry().register_format("mine", function, bits=8, **given)).evidence


# one tensor


def test_a_faithful_tensor() -> None:
    found = tensor_evidence("w", 3, X, int8(X), X, X)

    assert (found.tensor, found.step) == ("w", 3)
    assert found.rms == pytest.approx(1 / 8, rel=0.05)
    assert found.gain == pytest.approx(1.0, abs=0.01)
    assert 30 < found.snr < 50
    assert found.changed > 0.99
    assert found.zeros < 0.03
    assert found.negatives_kept == found.positives_kept == 1.0
    assert found.gradient == found.reference_gradient == pytest.approx(float(X.norm()))
    assert found.gradient_cosine == pytest.approx(1.0)
    assert found.gradient_zeros == 0.0


def test_an_unchanged_tensor() -> None:
    found = tensor_evidence("w", 0, X, X, X, X)

    assert (found.changed, found.snr) == (0.0, math.inf)
    assert found.gain == pytest.approx(1.0)


def test_a_scale_that_was_left_out() -> None:
    assert tensor_evidence("w", 0, X, X * 1000, X, X).gain == pytest.approx(1000)


def test_a_tensor_that_fell_to_zero() -> None:
    found = tensor_evidence("w", 0, X, torch.zeros_like(X), X, X)

    assert (found.zeros, found.gain, found.negatives_kept) == (1.0, 0.0, 0.0)
    assert found.snr == pytest.approx(0.0, abs=1e-3)


def test_lost_signs() -> None:
    found = tensor_evidence("w", 0, X, X.clamp_min(0), X, X)

    assert (found.negatives_kept, found.positives_kept) == (0.0, 1.0)


def test_gradients_that_are_missing_negated_and_masked() -> None:
    missing = tensor_evidence("w", 0, X, int8(X), None, X)
    negated = tensor_evidence("w", 0, X, int8(X), -X, X)
    masked = tensor_evidence("w", 0, X, int8(X), torch.where(X > 0, X, 0), X)

    assert (missing.gradient, missing.gradient_zeros) == (None, 1.0)
    assert negated.gradient_cosine == pytest.approx(-1.0)
    assert masked.gradient_zeros == pytest.approx(0.5, abs=0.05)


def test_without_a_reference_there_is_nothing_to_compare() -> None:
    found = tensor_evidence("w", 0, X, int8(X), None, None)

    assert (found.gradient, found.reference_gradient, found.gradient_zeros) == (None, 0.0, 0.0)


@pytest.mark.parametrize(
    "x", [torch.zeros(0), torch.zeros(3), torch.tensor([1.0])], ids=["empty", "zeros", "one"]
)
def test_odd_tensors_give_numbers(x: Tensor) -> None:
    found = tensor_evidence("w", 0, x, x, x, x)

    assert found.gain == 1.0
    assert 0 <= found.zeros <= 1
    assert not math.isnan(found.snr)


# the contract


def remember() -> Callable[[Tensor], Tensor]:
    calls: list[int] = []

    def quantizer(x: Tensor) -> Tensor:
        calls.append(1)
        return x * len(calls)

    return quantizer


def alternate(x: Tensor) -> Tensor:
    return x + random.random()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: None, "returns NoneType, not a tensor."),
        (lambda x: (1, 2), "returns tuple, not a tensor."),
        (
            lambda x: (x, 1),
            "returns tuple, not a tensor: return the dequantized values alone, (x - zero_point) * scale of what it "
            "gives.",
        ),
        (
            lambda x: nn.Identity(),
            "returns Identity, not a tensor: it makes a quantizer; register it with factory=, or write factory: before "
            "its path.",
        ),
        (lambda x: x[:-1], "returns shape (47, 96) for (48, 96)."),
        (lambda x: x.half(), "returns torch.float16 for torch.float32; dequantize to the input's dtype."),
        (lambda x: x.double(), "returns torch.float64 for torch.float32; dequantize to the input's dtype."),
        (lambda x: x.detach().zero_(), "changes its input in place (100% of N(0, 1))."),
        (lambda x: x / 0, "returns 4608 non-finite elements for finite N(0, 1)."),
    ],
    ids=["none", "numbers", "tuple", "module", "shape", "half", "double", "in place", "inf"],
)
def test_a_breach_of_contract_is_said(function: Any, message: str) -> None:
    assert evidence_of(function).contract == message


def test_stochastic_rounding_from_torchs_generator_is_no_breach() -> None:
    found = evidence_of(lambda x: x + (torch.floor(x * 16 + torch.rand_like(x)) / 16 - x).detach())

    assert (found.contract, found.crash) == (None, None)


def test_a_factory_may_keep_state_between_calls() -> None:
    assert "under the same torch seed" in (evidence_of(remember()).unrepeatable or "")
    assert evidence_of(factory=remember).unrepeatable is None


def test_what_gives_other_results_under_one_seed_is_warned_of() -> None:
    (found,) = [each for each in diagnose(evidence_of(alternate), bits=8) if each.cause == "not-reproducible"]

    assert not found.blames
    assert found.because.endswith(
        "of the values are others under the same torch seed: it draws from a generator of its own, or keeps state and "
        "was not registered with factory=."
    )


def test_state_in_a_plain_function_is_said() -> None:
    assert evidence_of(remember()).state == (
        "it keeps state (calls) that all parameters and cells share; "
        "register it with factory= to give each its own."
    )
    assert evidence_of(factory=remember).state is None
    assert evidence_of(int8).state is None


def test_state_in_a_module_is_said() -> None:
    assert "(weight, bias)" in (evidence_of(nn.LayerNorm(96)).state or "")


# exceptions


def test_what_it_raises_is_said_in_a_line() -> None:
    def fails(x: Tensor) -> Tensor:
        raise KeyError("scale\nand more")

    found = evidence_of(fails).crash or ""

    assert found.startswith(r"KeyError: 'scale\nand more' (at test_quantizers.py:")


def test_an_exception_without_words_is_named() -> None:
    with pytest.raises(ValueError, match="does not have a parameter") as raised:  # inside torch, called here
        parametrize.register_parametrization(nn.Linear(2, 2), "no_weight", nn.Identity())
    assert "(at test_quantizers.py:" in describe(raised.value)
    assert describe(ValueError()) == "ValueError: no message"
    assert describe(RuntimeError("a\nb")) == "RuntimeError: a"


# what is left behind


def test_torch_is_left_as_it_was() -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    with torch.no_grad():
        evidence_of(int8)
        assert not torch.is_grad_enabled()

    assert torch.equal(torch.get_rng_state(), state)


def test_the_probes_repeat() -> None:
    assert repr(evidence_of(int8)) == repr(evidence_of(int8))


def test_a_crash_names_the_tensor_and_its_shape() -> None:
    def even_rows(x: Tensor) -> Tensor:
        return x.reshape(-1, 5).reshape(x.shape)

    def whole_blocks(x: Tensor) -> Tensor:
        if x.shape == (192, 64):
            raise ValueError("no such block")
        return int8(x)

    alone = examine(Registry().register_format("mine", even_rows, bits=8)).evidence.crash
    trained = examine(Registry().register_format("mine", whole_blocks, bits=8)).evidence.crash

    assert alone is not None
    assert alone.endswith(", for a probe of shape (48, 96)")
    assert trained is not None
    assert trained.startswith("ValueError: no such block (at test_quantizers.py:")
    assert trained.endswith(", for blocks.0.qkv.weight of shape (192, 64)")
