"""Codecs of registered formats: a fake-quantize function or factory, or a pair of encode and decode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class FunctionCodec:
    """A user's fake-quantizer: its own backward is under test.

    Exactly one of `function` and `factory` is given; `factory()` makes a function or module for each
    parameter of each cell. `export` is the codec with which the trained weights are stored.
    """

    function: Callable[[Tensor], Tensor] | None = None
    factory: Callable[[], Callable[[Tensor], Tensor]] | None = None
    export: PairCodec | None = None

    @property
    def values(self) -> tuple[float, ...] | None:
        return None

    def make(self) -> Callable[[Tensor], Tensor]:
        """The function, or a new one from the factory."""
        if self.factory is not None:
            return self.factory()
        assert self.function is not None
        return self.function

    def fake_quantize(self, x: Tensor, scale: object = None) -> Tensor:
        _no_scale(scale)
        return self.make()(x)

    def encode(self, x: Tensor, scale: object = None) -> Any:
        return self._exported().encode(x, scale)

    def decode(self, encoded: Any) -> Tensor:
        return self._exported().decode(encoded)

    def _exported(self) -> PairCodec:
        if self.export is None:
            raise TypeError("this format was registered as a fake-quantizer alone: it has no codes")
        return self.export


@dataclass(frozen=True)
class PairCodec:
    """A user's encode and decode; the gate adds the straight-through estimator."""

    encoder: Callable[[Tensor], Any]
    decoder: Callable[[Any], Tensor]

    @property
    def values(self) -> tuple[float, ...] | None:
        return None

    def fake_quantize(self, x: Tensor, scale: object = None) -> Tensor:
        _no_scale(scale)
        return self.decoder(self.encoder(x))

    def encode(self, x: Tensor, scale: object = None) -> Any:
        _no_scale(scale)
        return self.encoder(x)

    def decode(self, encoded: Any) -> Tensor:
        return self.decoder(encoded)


def _no_scale(scale: object) -> None:
    if scale is not None:
        raise TypeError(
            "a registered quantizer chooses its own scale; call the function itself to give it one"
        )
