"""Fake-quantization of a model: who is called, on what, and what the gradient is."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import Tensor, nn

from quantgate.training.fakequant import QuantizedModel, Quantizer, straight_through
from quantgate.training.model import ModelConfig, build_model

TOKENS = torch.arange(64).view(1, 64)


def model() -> nn.Module:
    return build_model(ModelConfig(width=32), torch.Generator().manual_seed(47))


class Counting:
    """Makes quantizers, each of which counts its calls; `number` tells them apart."""

    def __init__(self, quantize: Quantizer = lambda x: x * 1.0) -> None:
        self.quantize = quantize
        self.made = 0
        self.calls: Counter[int] = Counter()

    def __call__(self) -> Quantizer:
        number = self.made
        self.made += 1

        def quantizer(x: Tensor) -> Tensor:
            self.calls[number] += 1
            return self.quantize(x)

        return quantizer


class Learned(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.step = nn.Parameter(torch.tensor(0.1))

    def forward(self, x: Tensor) -> Tensor:
        return x + (x / self.step - x / self.step.detach()) * self.step.detach()


# the straight-through estimator


def test_the_straight_through_estimator_rounds_forward_and_is_the_identity_backward() -> None:
    x = torch.tensor([0.2, 0.7, -1.6], requires_grad=True)
    y = straight_through(torch.round)(x)
    y.backward(torch.tensor([1.0, 2.0, 3.0]))  # type: ignore[no-untyped-call]

    assert y.tolist() == [0.0, 1.0, -2.0]
    assert x.grad is not None
    assert x.grad.tolist() == [1.0, 2.0, 3.0]


def test_the_straight_through_estimator_replaces_the_functions_own_backward() -> None:
    x = torch.tensor([0.2], requires_grad=True)
    straight_through(lambda x: x * -5)(x).sum().backward()  # type: ignore[no-untyped-call]

    assert x.grad is not None
    assert x.grad.tolist() == [1.0]


# who is called


def test_each_parameter_has_a_quantizer_of_its_own_called_once_a_forward() -> None:
    make = Counting()
    trainee = QuantizedModel(model(), make)
    assert not make.calls

    trainee(TOKENS)
    assert make.calls == dict.fromkeys(range(7), 1)

    trainee(TOKENS)
    assert make.calls == dict.fromkeys(range(7), 2)


def test_given_weights_are_read_as_they_are() -> None:
    make = Counting()
    trainee = QuantizedModel(model(), make)
    weights = trainee.weights()

    assert torch.equal(trainee(TOKENS, weights), trainee(TOKENS))
    assert make.calls == dict.fromkeys(range(7), 2)


def test_activations_add_one_quantizer_for_each_linear_layers_input() -> None:
    make = Counting()
    trainee = QuantizedModel(model(), make, activations=True)
    trainee(TOKENS)

    assert make.made == 7 + 5
    assert make.calls == dict.fromkeys(range(12), 1)


def test_hooks_on_inputs_are_gone_after_the_forward_even_where_it_fails() -> None:
    inner = model()

    def fail(x: Tensor) -> Tensor:
        if x.ndim == 3:
            raise RuntimeError("no activations")
        return x

    trainee = QuantizedModel(inner, lambda: fail, activations=True)
    with pytest.raises(RuntimeError, match="no activations"):
        trainee(TOKENS)

    assert all(not module._forward_pre_hooks for module in inner.modules())


def test_stored_weights_are_read_without_a_quantizer() -> None:
    make = Counting(torch.zeros_like)
    inner = model()
    trainee = QuantizedModel(inner, make, read_quantized=False)

    assert torch.equal(trainee(TOKENS), inner(TOKENS))
    assert not make.calls
    assert not any(q.any() for q in trainee.quantize(dict(inner.named_parameters())).values())


# what they do


def test_a_quantizer_of_zeros_silences_the_model() -> None:
    assert not QuantizedModel(model(), lambda: torch.zeros_like)(TOKENS).any()


def test_weights_are_quantized_and_the_masters_are_not() -> None:
    inner = model()
    before = {name: p.detach().clone() for name, p in inner.named_parameters()}
    weights = QuantizedModel(inner, lambda: straight_through(lambda x: (x * 8).round() / 8)).weights()

    assert set(weights) == set(before)
    assert all(torch.equal(weights[name], (p * 8).round() / 8) for name, p in before.items())
    assert all(torch.equal(p, before[name]) for name, p in inner.named_parameters())


def test_gradients_reach_the_masters() -> None:
    inner = model()
    QuantizedModel(inner, lambda: straight_through(lambda x: (x * 8).round() / 8), activations=True)(
        TOKENS
    ).square().sum().backward()

    assert all(p.grad is not None and p.grad.any() for p in inner.parameters())


def test_quantized_activations_change_the_logits() -> None:
    def round_activations() -> Quantizer:
        return lambda x: x if x.ndim == 2 else x.round()

    with torch.no_grad():
        plain = QuantizedModel(model(), round_activations)(TOKENS)
        quantized = QuantizedModel(model(), round_activations, activations=True)(TOKENS)

    assert not torch.equal(plain, quantized)


def test_parameters_of_quantizers_are_the_models() -> None:
    trainee = QuantizedModel(model(), Learned, activations=True)

    assert len(trainee.learned) == 12
    assert len(list(trainee.parameters())) == 7 + 12
    trainee(TOKENS).square().sum().backward()
    assert all(p.grad is not None for p in trainee.parameters())


def test_one_shared_module_is_held_once() -> None:
    shared = Learned()

    assert len(list(QuantizedModel(model(), lambda: shared).parameters())) == 7 + 1
