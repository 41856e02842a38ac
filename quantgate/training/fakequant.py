"""Fake-quantize a whole model: every weight and, optionally, every input of a linear layer.

A quantizer is a function `Tensor -> Tensor` with a backward. The straight-through estimator (STE) is the
backward that passes the gradient unchanged; formats without a backward of their own get it here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

Quantizer = Callable[[Tensor], Tensor]


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, quantize: Quantizer) -> Tensor:
        return quantize(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


def straight_through(quantize: Quantizer) -> Quantizer:
    """`quantize` with the gradient of the identity."""

    def quantizer(x: Tensor) -> Tensor:
        y: Tensor = _StraightThrough.apply(x, quantize)  # type: ignore[no-untyped-call]
        return y

    return quantizer


def called(quantizer: Quantizer, x: Tensor, name: str) -> Tensor:
    """quantizer(x); what it raises carries a note of what it was given, and of which shape."""
    try:
        return quantizer(x)
    except Exception as error:
        error.add_note(f"for {name} of shape {tuple(x.shape)}")
        raise


def watched(tensor: Tensor) -> Tensor:
    """The tensor, set up to hold its own gradient after a backward pass; detached if it has no graph."""
    if not tensor.requires_grad:
        return tensor.detach().requires_grad_()
    tensor.retain_grad()
    return tensor


class QuantizedModel(nn.Module):
    """A model that reads each of its parameters through a quantizer.

    Args:
        model: The model; its parameters stay the master weights.
        make_quantizer: Called once for each parameter, and once for each linear layer's input with
            `activations`.
        activations: Whether the inputs of linear layers are quantized too.
        make_input_quantizer: Makes the quantizer of one linear layer's input; None where weights' are made.
        read_quantized: False where the stored weights are already on the grid (in-place storage).
    """

    def __init__(
        self,
        model: nn.Module,
        make_quantizer: Callable[[], Quantizer],
        *,
        activations: bool = False,
        make_input_quantizer: Callable[[], Quantizer] | None = None,
        read_quantized: bool = True,
    ) -> None:
        super().__init__()
        self.model = model
        self.read_quantized = read_quantized
        self.weight_quantizers: dict[str, Quantizer] = {
            name: make_quantizer() for name, _ in model.named_parameters()
        }
        linears = [module for module in model.modules() if isinstance(module, nn.Linear)]
        make_input = make_input_quantizer or make_quantizer
        self.input_quantizers = [(module, make_input()) for module in linears] if activations else []
        #: Filled while it is a list: (input, quantized input) of each linear layer.
        self.seen_inputs: list[tuple[Tensor, Tensor]] | None = None
        # Quantizers with parameters of their own (a learned scale) are trained with the model.
        made = (*self.weight_quantizers.values(), *(q for _, q in self.input_quantizers))
        self.learned = nn.ModuleList(q for q in made if isinstance(q, nn.Module))

    @property
    def has_modules(self) -> bool:
        """Whether a weight's quantizer is a module, which may make its parameters at its first call."""
        return any(isinstance(q, nn.Module) for q in self.weight_quantizers.values())

    def weights(self) -> dict[str, Tensor]:
        """The weights that the forward pass reads: one call of each parameter's quantizer."""
        named: dict[str, Tensor] = dict(self.model.named_parameters())
        return self.quantize(named) if self.read_quantized else named

    def quantize(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Each of the model's named tensors through its parameter's quantizer."""
        return {name: called(self.weight_quantizers[name], tensor, name) for name, tensor in tensors.items()}

    def forward(self, tokens: Tensor, weights: dict[str, Tensor] | None = None) -> Tensor:
        """Logits for tokens (batch, time), with `weights` or freshly quantized ones."""
        read = self.weights() if weights is None else weights
        with self._quantized_inputs():
            logits: Tensor = functional_call(self.model, read, (tokens,))
        return logits

    @contextmanager
    def _quantized_inputs(self) -> Iterator[None]:
        def hook(quantizer: Quantizer) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...]]:
            def quantized(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
                q = called(quantizer, inputs[0], "an input")
                if self.seen_inputs is not None:
                    q = watched(q)
                    self.seen_inputs.append((watched(inputs[0]), q))
                return (q, *inputs[1:])

            return quantized

        handles = [
            module.register_forward_pre_hook(hook(quantizer)) for module, quantizer in self.input_quantizers
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def layer_inputs(
    model: nn.Module, layers: Sequence[nn.Module], batches: Sequence[Tensor]
) -> list[list[Tensor]]:
    """What each of the layers is given, batch by batch, by a model that runs in float32."""
    seen: list[list[Tensor]] = [[] for _ in layers]

    def keeping(place: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda module, inputs: seen[place].append(inputs[0].detach())

    handles = [layer.register_forward_pre_hook(keeping(place)) for place, layer in enumerate(layers)]
    try:
        with torch.no_grad():
            for tokens in batches if layers else ():
                model(tokens)
    finally:
        for handle in handles:
            handle.remove()
    return seen
