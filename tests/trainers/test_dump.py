"""What a trainer dumps is read as it is documented, and what is broken is said in a sentence."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from quantgate.trainers import dump
from quantgate.trainers.dump import DumpError, read

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def safetensors(dtype: str, array: dump.Array, **changes: object) -> bytes:
    """One tensor `w` in a file, its entry changed."""
    raw = array.tobytes()
    entry = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [0, len(raw)], **changes}
    header = json.dumps({"__metadata__": {"by": "hand"}, "w": entry}).encode()
    return len(header).to_bytes(8, "little") + header + raw


def save(folder: Path, **roles: bytes) -> None:
    folder.mkdir(exist_ok=True)
    for role, raw in roles.items():
        (folder / f"{role}.safetensors").write_bytes(raw)


def test_nothing_is_nothing(tmp_path: Path) -> None:
    assert read(tmp_path) == ()


def test_safetensors_of_steps(tmp_path: Path) -> None:
    for step in (0, 7, 8, 9, 100):
        save(tmp_path / f"step-{step}", weights=safetensors("F32", X + step), quantized=safetensors("F32", X))
    moments = read(tmp_path)

    assert [moment.step for moment in moments] == [0, 8, 9, 100]
    assert np.array_equal(moments[-1].tensors["weights"]["w"], X + 100)


def test_every_type_becomes_float32(tmp_path: Path) -> None:
    for name, array in {
        "F64": X.astype("<f8"), "F16": X.astype("<f2"), "I8": X.astype("i1"), "U8": X.astype("u1"),
        "I16": X.astype("<i2"), "I32": X.astype("<i4"), "BF16": (X.view("<u4") >> 16).astype("<u2"),
    }.items():  # fmt: skip
        save(tmp_path, weights=safetensors(name, array), quantized=safetensors("F32", X))
        found = read(tmp_path)[0].tensors["weights"]["w"]
        assert found.dtype == np.float32
        assert np.array_equal(found, X), name


def test_a_folder_of_a_file_each(tmp_path: Path) -> None:
    for role in ("weights", "quantized"):
        (tmp_path / role).mkdir()
        np.save(tmp_path / role / "a.weight.npy", X)
        (tmp_path / role / "b.2x3.f32").write_bytes(X.tobytes())
        (tmp_path / role / "c.f32").write_bytes(X.tobytes())
    (moment,) = read(tmp_path)

    assert moment.step == 0
    assert {name: array.shape for name, array in moment.tensors["weights"].items()} == {
        "a.weight": (2, 3), "b": (2, 3), "c": (6,),
    }  # fmt: skip


GOOD = safetensors("F32", X)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: save(f, weights=GOOD), "step 0 has no quantized, by which all else is measured"),
        (lambda f: save(f, weight=GOOD), "'weight.safetensors' is none of weights, quantized, reference, gradient, "),
        (lambda f: save(f, weights=GOOD, quantized=safetensors("F32", X.T)), "quantized has 'w' of the shape (3, 2), "),
        (lambda f: save(f, weights=b"\x01"), "'weights.safetensors' is no safetensors file: it has 1 bytes, and its "),
        (lambda f: save(f, weights=b"\xff" * 20), "is no safetensors file: it has 20 bytes, and its header 18,446,7"),
        (lambda f: save(f, weights=GOOD[:-4]), "is no safetensors file: 'w' lies outside the file"),
        (lambda f: save(f, weights=safetensors("F32", X, shape=[2, 2])), "'w' has 24 bytes for the shape [2, 2]"),
        (lambda f: save(f, weights=safetensors("F8_E4M3", X)), "is no safetensors file: 'F8_E4M3'"),
        (lambda f: save(f, weights=safetensors("F32", X, data_offsets=[24, 0])), "'w' lies outside the file"),
        (lambda f: save(f, weights=safetensors("F32", X, data_offsets="x")), "is no safetensors file: "),
        (lambda f: save(f, weights=safetensors("F32", X, shape=[math.inf])), "cannot convert float infinity"),
        (Path.rmdir, "cannot be read: No such file or directory"),
        (lambda f: save(f, weights=(2).to_bytes(8, "little") + b"[]"), "is no safetensors file: "),
        (lambda f: (f / "weights.npy").write_bytes(b""), "'weights.npy' is neither a folder nor .safetensors"),
        (lambda f: (f / "weights.safetensors").symlink_to("/etc/passwd"), "'weights.safetensors' is no file"),
        (lambda f: os.mkfifo(f / "weights.safetensors"), "'weights.safetensors' is no file"),
    ],
    ids=range(16),
)  # fmt: skip
def test_what_cannot_be_read_is_said(make: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    make(tmp_path)

    with pytest.raises(DumpError) as error:
        read(tmp_path)
    assert message in str(error.value)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    np.save(tmp_path / "weights" / "w.npy", np.array([print], dtype=object), allow_pickle=True)

    with pytest.raises(DumpError, match=r"^'w\.npy' cannot be read: Object arrays cannot be loaded"):
        read(tmp_path)


def test_a_dump_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dump, "MOST_BYTES", 100)
    monkeypatch.setattr(dump.Budget, "left", 100)
    save(tmp_path, weights=GOOD, quantized=GOOD)

    with pytest.raises(
        DumpError, match=r"^the dump has more than 100 bytes, the most that is read; dump fewer"
    ):
        read(tmp_path)
