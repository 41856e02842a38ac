"""What shares a scale in a dump is what is declared to, no other values and no more of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from quantgate.diagnosis.diagnose import diagnose
from quantgate.diagnosis.evidence import Evidence
from quantgate.trainers.declared import shares_as_declared
from quantgate.trainers.dump import Moment
from quantgate.trainers.weights import evidence_of
from tests.trainers.test_sharing import FP4, NORMAL, grid, grouped

#: Rounds lines that are divided by their scale.
Rounded = Callable[[Any], Any]
#: The scale of each line, from its sizes and the largest code.
ScaleOf = Callable[[Any, float, Rounded], Any]


def moment(x: Any, q: Any, step: int = 0) -> Moment:
    return Moment(step, {"weights": {"w": x}, "quantized": {"w": np.asarray(q, dtype=np.float32)}})


def evidence(x: Any, q: Any, bits: float, declared: str) -> Evidence:
    return evidence_of([moment(x, q)], bits, declared)


def integers(codes: int) -> Rounded:
    return lambda x: np.clip(np.round(x), -codes, codes)


def floats(mantissa: int, least: int, top: float) -> Rounded:
    def rounded(x: Any) -> Any:
        step = 2.0 ** (np.maximum(np.floor(np.log2(np.maximum(np.abs(x), 1e-30))), least) - mantissa)
        return np.clip(np.round(x / step) * step, -top, top)

    return rounded


def to_table(x: Any) -> Any:
    return FP4[np.abs(np.asarray(x)[..., None] - FP4).argmin(-1)]


#: Bits, largest code, rounding.
GRIDS: dict[str, tuple[float, float, Rounded]] = {
    "int8": (8, 127, integers(127)),
    "int4": (4, 7, integers(7)),
    "int2": (2, 1, integers(1)),
    "e4m3": (8, 448, floats(3, -6, 448)),
    "e5m2": (8, 57344, floats(2, -14, 57344)),
    "e3m2": (6, 28, floats(2, -2, 28)),
    "e2m1": (4, 6, to_table),
}


def of_largest(sizes: Any, top: float, rounded: Rounded) -> Any:
    return sizes.max(1, keepdims=True) / top


def of_quantile(sizes: Any, top: float, rounded: Rounded) -> Any:
    return np.quantile(sizes, 0.99, axis=1, keepdims=True) / top


def of_mean(sizes: Any, top: float, rounded: Rounded) -> Any:
    return 2 * sizes.mean(1, keepdims=True) / np.sqrt(top)


def of_least_error(sizes: Any, top: float, rounded: Rounded) -> Any:
    scales = of_largest(sizes, top, rounded) * np.linspace(0.3, 1, 15)[:, None, None]
    errors = [np.square(rounded(sizes / scale) * scale - sizes).sum(1) for scale in scales]
    return scales[np.argmin(errors, axis=0), np.arange(len(sizes))]


def constant(scales: Any) -> ScaleOf:
    return lambda *given: scales


def powers_of_2(of: ScaleOf) -> ScaleOf:
    return lambda *given: 2.0 ** np.ceil(np.log2(of(*given)))


def in_4_bits(of: ScaleOf) -> ScaleOf:
    """Beside a scale of scales, as NVFP4 has them."""

    def scales(*given: Any) -> Any:
        found = of(*given)
        return floats(3, -6, 448)(found / found.max() * 448) * found.max() / 448

    return scales


SCALES: dict[str, ScaleOf] = {
    "largest": of_largest,
    "quantile": of_quantile,
    "mean": of_mean,
    "least-error": of_least_error,
    "powers": powers_of_2(of_largest),
    "powers-of-quantile": powers_of_2(of_quantile),
    "powers-of-mean": powers_of_2(of_mean),
    "4-bits": in_4_bits(of_largest),
    "half": lambda *given: of_largest(*given).astype(np.float16).astype(np.float64),
}
_DRAWN = np.random.default_rng(89)
SHAPE = (48, 128)
_NORMAL = _DRAWN.normal(0, 0.05, SHAPE)
WEIGHTS: dict[str, Any] = {
    "normal": _NORMAL,
    "t2": 0.05 * _DRAWN.standard_t(2, SHAPE),
    "t3": 0.05 * _DRAWN.standard_t(3, SHAPE),
    "t4": 0.05 * _DRAWN.standard_t(4, SHAPE),
    "uniform": _DRAWN.uniform(-0.1, 0.1, SHAPE),
    "trained": _NORMAL * np.exp(_DRAWN.normal(0, 0.3, (48, 1))),
    "octaves": _NORMAL * 2.0 ** _DRAWN.integers(-3, 3, (48, 1)),
    "equal-maxima": _NORMAL / np.abs(_NORMAL).max(1, keepdims=True),
    "clipped": np.clip(_NORMAL, -0.1, 0.1),
    "positive": np.abs(_NORMAL),
    "signs": 0.05 * np.sign(_NORMAL),
    "small": _NORMAL[:8, :32],
}
WEIGHTS = {name: x.astype(np.float32) for name, x in WEIGHTS.items()}


def quantized(x: Any, part: str, format: str, scale: ScaleOf) -> Any:
    _, top, rounded = GRIDS[format]
    lines = x.reshape({"tensor": (1, -1), "row": (len(x), -1)}.get(part) or (-1, int(part[6:])))
    scales = np.maximum(scale(np.abs(lines).astype(np.float64), top, rounded), 1e-12).astype(np.float32)
    return (rounded(lines / scales).astype(np.float32) * scales).reshape(x.shape).astype(np.float32)


@pytest.mark.parametrize("declared", ["tensor", "row", "group:16", "group:32"])
@pytest.mark.parametrize("scale", SCALES)
def test_healthy_scales_are_what_they_are_declared_to_be(declared: str, scale: str) -> None:
    blamed = [
        (format, name)
        for format in GRIDS
        for name, x in WEIGHTS.items()
        for q in (quantized(x, declared, format, SCALES[scale]),)
        if shares_as_declared({"w": (x, q)}, GRIDS[format][0], declared)[0] is False
    ]

    assert blamed == []


@pytest.mark.parametrize("declared", ["row", "group:32"])
def test_zero_points_of_rows_and_groups_are_not_blamed(declared: str) -> None:
    for x in WEIGHTS.values():
        lines = x if declared == "row" else x.reshape(-1, 32)
        low, high = lines.min(1, keepdims=True), lines.max(1, keepdims=True)
        for codes, bits in ((255, 8), (15, 4)):
            scale = (high - low) / codes
            q = np.round((lines - low) / scale) * scale + low
            assert shares_as_declared({"w": (x, q.reshape(x.shape))}, bits, declared)[0] is not False


@pytest.mark.parametrize("format", ["int8", "int4", "e4m3", "e5m2", "e3m2", "e2m1"])
@pytest.mark.parametrize("weights", ["normal", "t2", "t4", "trained", "octaves"])
@pytest.mark.parametrize("scale", ["largest", "quantile", "least-error"])
@pytest.mark.parametrize("declared", ["row", "group:32", "group:16"])
def test_one_scale_for_the_tensor_is_seen(format: str, weights: str, scale: str, declared: str) -> None:
    x = WEIGHTS[weights]
    q = quantized(x, "tensor", format, SCALES[scale])
    found = evidence(x, q, GRIDS[format][0], declared)

    assert (found.shares_as_declared, found.relations.reach) == (False, "tensor")
    assert "wrong-axis" in [each.cause for each in diagnose(found, bits=GRIDS[format][0]) if each.blames]


@pytest.mark.parametrize(("really", "found"), [("row", "row"), ("group:64", "group:64")])
def test_larger_groups_than_declared_are_seen(really: str, found: str) -> None:
    x = WEIGHTS["t4"]
    q = quantized(x, really, "int4", of_largest)

    assert shares_as_declared({"w": (x, q)}, 4, "group:16") == (False, found)


def test_the_sentence_says_whose_scale_it_is() -> None:
    found = diagnose(evidence(NORMAL, grid(NORMAL, 127), 8, "row"), bits=8)

    (blamed,) = [each for each in found if each.blames]
    assert (blamed.cause, blamed.because) == (
        "wrong-axis",
        "the scale is declared to be shared by a row; the values are of one scale for its tensor.",
    )


def test_a_power_of_2_is_blamed_where_rows_would_have_another() -> None:
    far, near = WEIGHTS["octaves"], WEIGHTS["normal"]

    for x, shared in ((far, False), (near, True)):
        q = quantized(x, "tensor", "int8", powers_of_2(of_largest))
        assert shares_as_declared({"w": (x, q)}, 8, "row")[0] is shared


def test_rows_that_have_one_maximum_cannot_be_told_from_the_tensor() -> None:
    x = WEIGHTS["equal-maxima"]

    assert shares_as_declared({"w": (x, quantized(x, "tensor", "int8", of_largest))}, 8, "row") == (
        True,
        None,
    )


@pytest.mark.parametrize("format", ["int8", "int4", "e2m1"])
@pytest.mark.parametrize("declared", ["row", "group:16"])
def test_learned_scales_that_have_hardly_parted_are_scales_of_their_own(format: str, declared: str) -> None:
    top = GRIDS[format][1]
    for name in ("t2", "octaves", "normal"):
        x = WEIGHTS[name]
        lines = x.reshape(-1, 128 if declared == "row" else 16)
        learned = 0.7 * np.abs(x).max() / top * np.random.default_rng(3).normal(1, 3e-4, (len(lines), 1))
        q = quantized(lines, "row", format, constant(learned)).reshape(x.shape)
        assert shares_as_declared({"w": (x, q)}, GRIDS[format][0], declared)[0] is not False, name


def test_learned_scales_that_begin_alike_are_asked_at_the_last_step() -> None:
    first, last = (quantized(NORMAL, part, "int8", of_largest) for part in ("tensor", "row"))

    assert evidence_of([moment(NORMAL, first), moment(NORMAL, last, 99)], 8, "row").shares_as_declared is True
    assert (
        evidence_of([moment(NORMAL, last), moment(NORMAL, first, 99)], 8, "row").shares_as_declared is False
    )


@pytest.mark.parametrize("shape", [(32, 32), (128, 256)])
@pytest.mark.parametrize(("codes", "bits"), [(7, 4), (127, 8)])
@pytest.mark.parametrize(
    ("axis", "declared", "found"),
    [
        (1, "row", None),
        (None, "tensor", None),
        (1, "tensor", "its row"),
        (0, "row", "its column"),
        (0, "tensor", "its column"),
        (0, "group:32", "its column"),
    ],
)
def test_scales_of_other_values_than_declared_are_seen(
    shape: tuple[int, int], codes: int, bits: float, axis: int | None, declared: str, found: str | None
) -> None:
    x = NORMAL[: shape[0], : shape[1]]
    q = grid(x, codes, axis).astype(np.float32)
    evidence = evidence_of([Moment(0, {"weights": {"w": x}, "quantized": {"w": q}})], bits, declared)
    said = {each.cause: each.because for each in diagnose(evidence, bits=bits) if each.blames}

    assert evidence.shares_as_declared is (found is None)
    because = f"the scale is declared to be shared by a {declared}; the values are of one scale for {found}."
    assert said == ({} if found is None else {"wrong-axis": because})


@pytest.mark.parametrize("size", [32, 64])
def test_groups_are_what_they_are_declared_to_be(size: int) -> None:
    q = grouped(NORMAL, 7, size).astype(np.float32)

    assert shares_as_declared({"w": (NORMAL, q)}, 4, f"group:{size}") == (True, None)
    for larger in ("row", "tensor"):
        assert shares_as_declared({"w": (NORMAL, q)}, 4, larger) == (False, f"group:{size}")


def test_a_few_values_that_are_kept_apart_are_no_groups() -> None:
    q = np.where(np.abs(NORMAL) > 3 * NORMAL.std(), NORMAL, grid(NORMAL, 7, 1))

    assert shares_as_declared({"w": (NORMAL, q)}, 4, "row") == (None, None)
