"""What rounding a tensor to a format costs, beside the libraries that do the same.

    python -m tests.benchmarks.codecs [--formats int8,mxfp4] [--seconds 0.5]

`Format.fake_quantize` of float32 tensors of 1K, 64K and 1M elements on one thread, against round trips of the
same format with the same kind of scale, derived anew in each call as ours is: torch's casts and fake-quantize
operators, torchao, bitsandbytes and ml_dtypes. A block of calls of each takes turns with the others', and
medians are shown: microseconds a call at 1K elements, where the overhead of the call is what counts, and
nanoseconds an element beyond. A ratio is ours / peer: below 1, ours is faster. Ratios travel between
machines; times do not.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from quantgate.formats import ALIASES, BUILTIN
from tests.benchmarks.tables import table

RoundTrip = Callable[[Tensor], Any]

#: Elements of the tensors, by the names of the columns.
SIZES = {"1K": 1 << 10, "64K": 1 << 16, "1M": 1 << 20}
_ROW = 128
#: A block of calls lasts about so long, so that the clock's own cost vanishes.
_BLOCK_SECONDS = 0.002


def torch_peers() -> dict[str, RoundTrip]:
    """What torch has by itself."""

    def cast(dtype: torch.dtype) -> RoundTrip:
        return lambda x: x.to(dtype).to(x.dtype)

    def scaled_cast(dtype: torch.dtype) -> RoundTrip:
        most = torch.finfo(dtype).max

        def round_trip(x: Tensor) -> Tensor:
            scale = x.abs().amax() / most
            return (x / scale).to(dtype).to(x.dtype) * scale

        return round_trip

    def symmetric(qmax: int) -> RoundTrip:
        def round_trip(x: Tensor) -> Tensor:
            scale = x.abs().amax() / qmax
            zero = torch.zeros((), dtype=torch.int32)
            return torch.fake_quantize_per_tensor_affine(x, scale, zero, -qmax, qmax)

        return round_trip

    def affine(qmax: int) -> RoundTrip:
        def round_trip(x: Tensor) -> Tensor:
            low, high = x.aminmax()
            scale = (high.clamp_min(0) - low.clamp_max(0)) / qmax
            zero = (-low.clamp_max(0) / scale).round().to(torch.int32)
            return torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, qmax)

        return round_trip

    return {
        "fp32": torch.clone,
        "bf16": cast(torch.bfloat16),
        "fp16": cast(torch.float16),
        "fp64": cast(torch.float64),
        "fp8_e4m3": scaled_cast(torch.float8_e4m3fn),
        "fp8_e5m2": scaled_cast(torch.float8_e5m2),
        "int4": symmetric(7),
        "int8": symmetric(127),
        "int16": symmetric(32767),
        "uint4": affine(15),
        "uint8": affine(255),
    }


def torchao_peers() -> dict[str, RoundTrip]:
    """MX, nvfp4 and per-tensor integers of torchao."""
    from torchao.prototype.mx_formats.mx_tensor import DTYPE_FP6_E2M3, DTYPE_FP6_E3M2, MXTensor
    from torchao.prototype.mx_formats.nvfp4_tensor import NVFP4Tensor, per_tensor_amax_to_scale
    from torchao.quantization import quant_primitives as primitives

    def mx(element: object) -> RoundTrip:
        return lambda x: MXTensor.to_mx(x, element, 32).dequantize(x.dtype)

    def nvfp4(x: Tensor) -> Any:
        scale = per_tensor_amax_to_scale(x.abs().amax())
        return NVFP4Tensor.to_nvfp4(x, per_tensor_scale=scale).dequantize(x.dtype)

    def integer(qmin: int, qmax: int, mapping: object, dtype: torch.dtype) -> RoundTrip:
        def round_trip(x: Tensor) -> Any:
            block = tuple(x.shape)
            scale, zero = primitives.choose_qparams_affine(x, mapping, block, dtype, qmin, qmax)
            codes = primitives.quantize_affine(x, block, scale, zero, dtype, qmin, qmax)
            return primitives.dequantize_affine(codes, block, scale, zero, dtype, qmin, qmax)

        return round_trip

    symmetric, asymmetric = (
        primitives.MappingType.SYMMETRIC_NO_CLIPPING_ERR,
        primitives.MappingType.ASYMMETRIC,
    )
    return {
        "mxfp8": mx(torch.float8_e4m3fn),
        "mxfp8_e5m2": mx(torch.float8_e5m2),
        "mxfp6_e2m3": mx(DTYPE_FP6_E2M3),
        "mxfp6_e3m2": mx(DTYPE_FP6_E3M2),
        "mxfp4": mx(torch.float4_e2m1fn_x2),
        "nvfp4": nvfp4,
        "int4": integer(-7, 7, symmetric, torch.int8),
        "int8": integer(-127, 127, symmetric, torch.int8),
        "uint4": integer(0, 15, asymmetric, torch.uint8),
        "uint8": integer(0, 255, asymmetric, torch.uint8),
    }


def bitsandbytes_peers() -> dict[str, RoundTrip]:
    """nf4 of bitsandbytes, in blocks of 64."""
    from bitsandbytes import functional

    def nf4(x: Tensor) -> Any:
        return functional.dequantize_4bit(
            *functional.quantize_4bit(x, blocksize=64, quant_type="nf4"), quant_type="nf4"
        )

    return {"nf4": nf4}


def ml_dtypes_peers() -> dict[str, RoundTrip]:
    """Casts of ml_dtypes between numpy arrays; gf8 is its float8_e3m4."""
    import ml_dtypes
    import numpy as np

    def cast(dtype: type) -> RoundTrip:
        return lambda x: x.numpy().astype(dtype).astype(np.float32)

    def scaled_cast(dtype: type) -> RoundTrip:
        most = np.float32(ml_dtypes.finfo(dtype).max)  # type: ignore[no-untyped-call]

        def round_trip(x: Tensor) -> Any:
            array = x.numpy()
            scale = np.abs(array).max() / most
            return (array / scale).astype(dtype).astype(np.float32) * scale

        return round_trip

    return {
        "bf16": cast(ml_dtypes.bfloat16),
        "fp8_e4m3": scaled_cast(ml_dtypes.float8_e4m3fn),
        "fp8_e5m2": scaled_cast(ml_dtypes.float8_e5m2),
        "fp6_e2m3": scaled_cast(ml_dtypes.float6_e2m3fn),
        "fp6_e3m2": scaled_cast(ml_dtypes.float6_e3m2fn),
        "fp4_e2m1": scaled_cast(ml_dtypes.float4_e2m1fn),
        "gf8": scaled_cast(ml_dtypes.float8_e3m4),
    }


_PEERS: Mapping[str, Callable[[], dict[str, RoundTrip]]] = {
    "torch": torch_peers,
    "torchao": torchao_peers,
    "bitsandbytes": bitsandbytes_peers,
    "ml_dtypes": ml_dtypes_peers,
}


def load_peers(notes: list[str]) -> dict[str, dict[str, RoundTrip]]:
    """Every peer that is installed; what is not is noted."""
    loaded = {}
    for name, load in _PEERS.items():
        try:
            loaded[name] = load()
            version = getattr(importlib.import_module(name), "__version__", "?")
            notes.append(f"{name} {version}")
        except (ImportError, AttributeError) as error:
            notes.append(f"{name} left out: {error}")
    return loaded


def interleaved(calls: Sequence[Callable[[], object]], seconds: float) -> list[float]:
    """Median seconds of one call of each: blocks of calls take turns until the time is up."""
    repeats = [_calls_per_block(call) for call in calls]
    times: list[list[float]] = [[] for _ in calls]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < 5:
        for place, (call, count) in enumerate(zip(calls, repeats, strict=True)):
            started = time.perf_counter()
            for _ in range(count):
                call()
            times[place].append((time.perf_counter() - started) / count)
    return [statistics.median(each) for each in times]


def _calls_per_block(call: Callable[[], object]) -> int:
    call()  # warm: tables are built, memory is allocated
    started = time.perf_counter()
    call()
    return max(1, round(_BLOCK_SECONDS / max(time.perf_counter() - started, 1e-7)))


def measure(
    name: str, peers: Mapping[str, Mapping[str, RoundTrip]], seconds: float, notes: list[str]
) -> list[list[object]]:
    """The rows of a format: ours and a peer's times and their ratio at each size."""
    times: dict[str, dict[str, float]] = {}
    for size, count in SIZES.items():
        x = torch.randn(count // _ROW, _ROW, generator=torch.Generator().manual_seed(count)) / 8
        ours = BUILTIN[name].fake_quantize
        try:
            ours(x)
        except Exception as error:  # a format that cannot be measured costs the others nothing
            notes.append(f"{name} skipped: {type(error).__name__}: {error}")
            return []
        named: dict[str, Callable[[], object]] = {"quantgate": lambda f=ours, x=x: f(x)}  # type: ignore[misc]
        for peer, formats in peers.items():
            if name not in formats:
                continue
            try:
                formats[name](x)
            except Exception as error:  # a peer that does not run here is a note, not the end
                notes.append(f"{peer} {name} at {size} left out: {type(error).__name__}: {error}")
                continue
            named[peer] = lambda f=formats[name], x=x: f(x)  # type: ignore[misc]
        for who, median in zip(named, interleaved(list(named.values()), seconds), strict=True):
            times.setdefault(who, {})[size] = median
    own = times.pop("quantgate")
    shown = [_shown(own, size) for size in SIZES]
    if not times:
        return [[name, *shown, "-", *["-"] * (2 * len(SIZES))]]
    return [
        [
            name if place == 0 else "",
            *(shown if place == 0 else [""] * len(shown)),
            peer,
            *(_shown(its, size) for size in SIZES),
            *(f"{own[size] / its[size]:.2f}" if size in its else "-" for size in SIZES),
        ]
        for place, (peer, its) in enumerate(times.items())
    ]


def _shown(times: Mapping[str, float], size: str) -> str:
    if size not in times:
        return "-"
    if size == "1K":
        return f"{times[size] * 1e6:.1f}"
    return f"{times[size] / SIZES[size] * 1e9:.2f}"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--formats", default=",".join(BUILTIN), metavar="NAMES")
    parser.add_argument("--seconds", type=float, default=0.5, help="for each format and size (0.5)")
    given = parser.parse_args()
    names = [ALIASES.get(name, name) for name in given.formats.split(",")]
    if unknown := [name for name in names if name not in BUILTIN]:
        parser.error(f"unknown formats {', '.join(unknown)}; known are {', '.join(BUILTIN)}")
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    notes: list[str] = []
    peers = load_peers(notes)
    rows: list[list[object]] = []
    with torch.no_grad():
        for name in names:
            print(name, file=sys.stderr, flush=True)
            rows += measure(name, peers, given.seconds, notes)
    head = ["format", "1K us", "64K ns/el", "1M ns/el", "peer", "1K us", "64K ns/el", "1M ns/el"]
    print(table([*head, "ratio 1K", "64K", "1M"], rows))
    print("\nus: microseconds a call; ns/el: nanoseconds an element; ratio: quantgate / peer.")
    print("\n".join(f"- {note}" for note in notes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
