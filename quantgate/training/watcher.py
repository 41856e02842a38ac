"""The stages of a training, as its watcher is told of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

from torch import Tensor, nn
from torch.optim import Optimizer

from quantgate.corpus.tensors import Data
from quantgate.training.model import TinyTransformer


class Watcher:
    """Observes a training and must not change it. Every method does nothing here; override what you need."""

    def model_built(self, model: TinyTransformer) -> None:
        """The float32 model has its first weights; nothing was prepared yet."""

    def prepared(self, trainee: nn.Module, data: Data) -> None:
        """The model was prepared for low precision; it has no optimizer yet."""

    def stored(self, before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> None:
        """In-place storage put the first weights on the grid: the named float32 weights before and after."""

    def optimizers_built(self, trainee: nn.Module, optimizers: Sequence[Optimizer]) -> None:
        """The optimizers hold what they were given; no step was taken yet."""

    def wants_gradients(self, step: int) -> bool:
        """Whether `differentiated` is to be called in this step, from 0; never for in-place storage."""
        return False

    def watching(self, step: int, trainee: nn.Module) -> AbstractContextManager[None]:
        """Surrounds the forward pass of a recipe's model, in the steps that `wants_gradients`."""
        return nullcontext()

    def differentiated(self, step: int, trainee: nn.Module, weights: Mapping[str, Tensor]) -> None:
        """Gradients are there, and the optimizers have not stepped.

        Args:
            step: The step, from 0.
            trainee: What is trained; its parameters hold their gradients.
            weights: The quantized weights that the forward pass read, with gradients of their own; empty for a
                recipe. Quantized inputs are in `QuantizedModel.seen_inputs`.
        """

    def wants_update(self, step: int) -> bool:
        """Whether `updated` is to be called in this step of in-place storage."""
        return False

    def updated(
        self, before: Mapping[str, Tensor], intended: Mapping[str, Tensor], after: Mapping[str, Tensor]
    ) -> None:
        """In-place storage: weights before the step, the step that the optimizers took, and what storage kept."""

    def stepped(self, step: int) -> None:
        """So many steps were taken."""

    def scored(self, step: int, score: float) -> None:
        """The held-out score after so many steps, in bits per byte."""
