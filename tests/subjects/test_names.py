"""Names are resolved, and unknown ones are refused with the nearest known."""

from __future__ import annotations

import pytest

from quantgate.formats import ALIASES, BUILTIN
from quantgate.subjects.names import UnknownNameError
from quantgate.subjects.registry import Registry
from tests.subjects.refusal import halves, refused


@pytest.mark.parametrize("name", [*BUILTIN])
def test_every_builtin_format_is_found(name: str) -> None:
    assert Registry().subject(name) is BUILTIN[name]


@pytest.mark.parametrize(("alias", "name"), list(ALIASES.items()))
def test_an_alias_is_its_format(alias: str, name: str) -> None:
    assert Registry().subject(alias) is BUILTIN[name]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("int5", "'int4'"),
        ("mxfp9", "'mxfp8'"),
        ("INT4", "'int4'"),
        ("fp8", "'fp8_e4m3'"),
        ("nvf4", "'nvfp4'"),
    ],
)
def test_an_unknown_format_names_the_nearest(name: str, nearest: str) -> None:
    message = refused(lambda: Registry().subject(name), UnknownNameError)

    assert message.startswith(f"unknown format {name!r}; did you mean ")
    assert nearest in message


def test_an_unknown_optimizer_names_the_nearest() -> None:
    message = refused(lambda: Registry().optimizer("adam"), UnknownNameError)

    assert message == "unknown optimizer 'adam'; did you mean 'adamw'?"


def test_registered_names_are_among_the_nearest() -> None:
    registry = Registry()
    registry.register_format("mylib_int4", halves)

    assert "'mylib_int4'" in refused(lambda: registry.subject("mylib_int5"), UnknownNameError)


def test_a_name_near_to_none_lists_all() -> None:
    assert refused(lambda: Registry().optimizer("zzzz"), UnknownNameError) == (
        "unknown optimizer 'zzzz'; known are adamw, muon, sgd, lion, rmsprop, adafactor."
    )


def test_there_is_no_fallback_for_an_empty_name() -> None:
    assert refused(lambda: Registry().subject(""), UnknownNameError).startswith(
        "unknown format ''; known are int4"
    )
