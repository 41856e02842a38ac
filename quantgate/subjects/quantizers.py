"""Turn a subject into what is trained: a quantizer for each parameter, in a model that reads through them."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from quantgate.formats import Format
from quantgate.records.cell import Scope, Storage
from quantgate.subjects.codecs import FunctionCodec
from quantgate.subjects.kinds import Recipe, Subject
from quantgate.training.fakequant import QuantizedModel, Quantizer, straight_through


def quantizer_factory(format: Format) -> Callable[[], Quantizer]:
    """A function that makes the quantizer of one parameter.

    A user's function brings its own backward; any other format gets the straight-through estimator.
    """
    codec = format.codec
    if isinstance(codec, FunctionCodec):
        return codec.make
    return lambda: straight_through(format.fake_quantize)


def preparation(subject: Subject, storage: Storage, scope: Scope) -> Callable[[nn.Module], nn.Module]:
    """A function that prepares the float32 model: a recipe's own, or one that quantizes every parameter.

    Args:
        subject: A format or a recipe; a recipe decides storage and scope for itself.
        storage: `inplace` reads the stored weights as they are, since they are on the grid already.
        scope: Whether the inputs of linear layers are quantized too.
    """
    if isinstance(subject, Recipe):
        return subject.prepare
    return lambda model: QuantizedModel(
        model,
        quantizer_factory(subject),
        activations=scope == "weights+activations",
        read_quantized=storage != "inplace",
    )
