"""Recipes, an optimizer whose state is quantized, and an exported codec."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tests.heldout.healthy.scales import hqq_int4
from tests.heldout.parts import QuantizedLinear, amax, groups, ste, swap_linears, symmetric


def encode_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    scale = amax(x, -1) / 127
    return (x / scale).round().clamp(-127, 127).to(torch.int8), scale


def decode_rows(encoded: tuple[Tensor, Tensor]) -> Tensor:
    codes, scale = encoded
    return codes * scale


class BlockwiseAdam(Optimizer):
    """Adam with 8-bit moments in blocks of 64: the first linear, the second by its fourth root, rounded up."""

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state.update(step=0, first=torch.zeros_like(p), second=torch.zeros_like(p))
                state["step"] += 1
                first = state["first"].lerp(p.grad, 0.1)
                second = state["second"].lerp(p.grad.square(), 0.001)
                mean = first / (1 - 0.9 ** state["step"])
                root = (second / (1 - 0.999 ** state["step"])).sqrt()
                p.sub_(mean / (root + 1e-8), alpha=group["lr"])
                state["first"] = groups(64, _signed_root)(first)
                state["second"] = groups(64, _fourth_root)(second)


def _signed_root(m: Tensor) -> Tensor:
    root = m.abs().sqrt() * m.sign()
    return symmetric(127, -1)(root).square() * m.sign()


def _fourth_root(v: Tensor) -> Tensor:
    root = v.sqrt().sqrt()
    scale = amax(root, -1) / 255
    return ((root / scale).ceil() * scale) ** 4


def int8_linears(model: nn.Module) -> nn.Module:
    """Every linear layer; the embeddings stay."""
    return swap_linears(model, lambda linear: QuantizedLinear(linear, ste(symmetric(127, -1))))


def int8_both(model: nn.Module) -> nn.Module:
    """Weights by rows and inputs by tokens in int8; the head stays, as in most recipes."""
    rows = ste(symmetric(127, -1))
    return swap_linears(
        model, lambda linear: QuantizedLinear(linear, rows, rows), lambda name: name != "head"
    )


class _Parametrized(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return hqq_int4(weight)


def int4_parametrized(model: nn.Module) -> nn.Module:
    """Linear layers and embeddings, by parametrization."""
    for module in list(model.modules()):
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.utils.parametrize.register_parametrization(module, "weight", _Parametrized())
    return model
