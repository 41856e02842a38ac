"""Turn a subject into what is trained: a quantizer for each parameter, in a model that reads through them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from quantgate.formats import Format
from quantgate.records.cell import Scope, Storage
from quantgate.subjects.codecs import FunctionCodec
from quantgate.subjects.kinds import Recipe, Subject
from quantgate.training.fakequant import QuantizedModel, Quantizer, layer_inputs, straight_through

#: Of a quantizer that is calibrated on zeros.
_GUARD = "layers may start at 0, so clamp the range away from it"


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
        activations=scope == "weights+activations" or subject.activation is not None,
        make_input_quantizer=subject.activation,
        read_quantized=storage != "inplace",
    )


def calibration(subject: Subject) -> Callable[[nn.Module, Sequence[Tensor]], object] | None:
    """A function that calibrates the prepared model on batches of tokens; None where nothing needs it.

    A format's own `calibrate(quantizer, batches)` is given what each quantizer will be given: its weight, or the
    inputs of its layer in float32.
    """
    if isinstance(subject, Recipe) or subject.calibrate is None:
        return subject.calibrate
    calibrate = subject.calibrate

    def each(trainee: nn.Module, batches: Sequence[Tensor]) -> None:
        assert isinstance(trainee, QuantizedModel)
        for name, p in trainee.model.named_parameters():
            calibrate(trainee.weight_quantizers[name], [p.detach()])
        inputs = layer_inputs(trainee.model, [module for module, _ in trainee.input_quantizers], batches)
        for (_, quantizer), given in zip(trainee.input_quantizers, inputs, strict=True):
            calibrate(quantizer, given)

    return each


def calibrated(make: Callable[[], Quantizer], subject: Format) -> Callable[[], Quantizer]:
    """`make`, whose quantizers are calibrated on the first tensor that they are given."""
    calibrate = subject.calibrate
    if calibrate is None:
        return make

    def prepared() -> Quantizer:
        quantizer = make()
        seen: list[bool] = []

        def first_calibrated(x: Tensor) -> Tensor:
            if not seen:
                seen.append(True)
                try:
                    calibrate(quantizer, [x.detach()])
                except Exception as error:
                    if not x.any():
                        error.add_note(f"for calibrate on zeros of shape {tuple(x.shape)}: {_GUARD}")
                    raise
            return quantizer(x)

        return first_calibrated

    return prepared
