"""The tiny model: at chance when dead, at chance when new, and no way around its body."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quantgate.corpus.tensors import load_data
from quantgate.records.cell import SEEDS
from quantgate.records.verdict import DEFAULT_LIMITS
from quantgate.training.model import VOCABULARY, ModelConfig, TinyTransformer, build_model, norm

BODY = ("qkv", "proj", "up", "down")


def make(seed: int = 47, **shape: int) -> TinyTransformer:
    return build_model(ModelConfig(**shape), torch.Generator().manual_seed(seed))


def zero(model: TinyTransformer, *parts: str) -> TinyTransformer:
    with torch.no_grad():
        for name, p in model.named_parameters():
            if any(part in name.split(".") for part in parts):
                p.zero_()
    return model


@torch.no_grad()
def bpb(model: TinyTransformer) -> float:
    data = load_data("builtin", ModelConfig().context, "cpu")
    return F.cross_entropy(model(data.inputs).flatten(0, 1), data.targets.flatten()).item() / math.log(2)


@pytest.mark.parametrize("dead", [BODY, ("up",), ("down",), ("head",), ("embed", "position")], ids=" ".join)
@pytest.mark.parametrize("depth", [1, 2])
def test_a_dead_body_scores_seven(dead: tuple[str, ...], depth: int) -> None:
    assert bpb(zero(make(depth=depth), *dead)) == pytest.approx(7.0, abs=1e-6)


def test_a_dead_body_gives_logits_of_zero() -> None:
    tokens = torch.arange(64).view(1, 64)

    assert not zero(make(), *BODY)(tokens).any()


def test_only_attention_can_be_walked_around() -> None:
    assert bpb(zero(make(), "qkv", "proj")) != 7.0


@pytest.mark.parametrize("seed", SEEDS)
def test_it_starts_near_chance_so_that_what_never_moves_is_dead(seed: int) -> None:
    assert DEFAULT_LIMITS.dead_bpb < bpb(make(seed)) < 7.3


@pytest.mark.parametrize("width", [16, 32, 128])
def test_it_starts_near_chance_at_other_widths(width: int) -> None:
    assert DEFAULT_LIMITS.dead_bpb < bpb(make(width=width)) < 7.3


def test_every_parameter_is_a_matrix_of_a_plain_module() -> None:
    model = make(depth=2)
    owners = [module for module in model.modules() if list(module.parameters(recurse=False))]

    assert {p.ndim for p in model.parameters()} == {2}
    assert {type(module) for module in owners} == {nn.Embedding, nn.Linear}
    assert all(module.bias is None for module in owners if isinstance(module, nn.Linear))
    assert list(model.buffers()) == []
    assert len(list(model.parameters())) == 3 + 4 * 2


def test_every_parameter_has_a_gradient() -> None:
    model = make()
    tokens = torch.arange(128).view(2, 64)
    F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten()).backward()  # type: ignore[no-untyped-call]

    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


@pytest.mark.parametrize(("width", "heads"), [(16, 1), (32, 1), (64, 2), (128, 4)])
def test_heads_have_16_or_32_channels(width: int, heads: int) -> None:
    assert ModelConfig(width=width).heads == heads
    assert make(width=width)(torch.zeros(2, 5, dtype=torch.long)).shape == (2, 5, VOCABULARY)


def test_the_future_is_hidden() -> None:
    model = make()
    tokens = torch.arange(64).view(1, 64)
    other = tokens.clone()
    other[0, 40:] = 7

    with torch.no_grad():
        first, second = model(tokens), model(other)

    torch.testing.assert_close(first[:, :40], second[:, :40])
    assert not torch.allclose(first[:, 40:], second[:, 40:])


def test_places_are_told_apart() -> None:
    logits: Tensor = make()(torch.full((1, 8), 65))

    assert not torch.allclose(logits[0, 0], logits[0, 7])


def parameters(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_weights_depend_on_the_generator_alone() -> None:
    torch.manual_seed(1)
    first = parameters(make(47))
    torch.manual_seed(2)
    second = parameters(make(47))

    assert torch.equal(first, second)
    assert not torch.equal(first, parameters(make(89)))


def test_weights_are_scaled_to_their_columns_and_the_head_less() -> None:
    model = make(width=64)

    for name, p in model.named_parameters():
        expected = 1 / math.sqrt(p.shape[1]) * (0.25 if name == "head.weight" else 1.0)
        assert p.std().item() == pytest.approx(expected, rel=0.05)


def test_the_norm_has_size_one_and_nothing_to_learn() -> None:
    x = torch.randn(4, 8, generator=torch.Generator().manual_seed(0)) * 100

    torch.testing.assert_close(norm(x).square().mean(-1), torch.ones(4))
    assert not norm(torch.zeros(2, 8)).any()
