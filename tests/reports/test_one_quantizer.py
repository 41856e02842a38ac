"""Subjects of a run that are one quantizer under several names."""

from __future__ import annotations

from dataclasses import replace

from quantgate.reports import terminal
from tests.examples import CELL, learning


def said(*subjects: tuple[str, str, str | None]) -> list[str]:
    results = [
        learning(replace(CELL, subject=name), evidence={"fingerprint": digest, "same_as": same})
        for name, digest, same in subjects
    ]
    return ["".join(text for text, _ in line) for line in terminal.remarks(results)]


def test_names_of_one_quantizer_are_said_together() -> None:
    assert said(
        ("posit8", "aa", None), ("lns8", "aa", None), ("int4", "bb", None), ("unum_ii8", "aa", None)
    ) == ["one quantizer  posit8, lns8 and unum_ii8 agree in every bit of the probes' inputs"]


def test_a_builtin_format_of_another_name_is_one_of_them() -> None:
    assert said(("mine", "aa", "int8")) == [
        "one quantizer  mine and the built-in int8 agree in every bit of the probes' inputs"
    ]
    assert said(("int8", "aa", "int8"), ("int4", "bb", None)) == []
