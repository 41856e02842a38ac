"""Numbers without exponents."""

from __future__ import annotations

import pytest

from quantgate.diagnosis.numbers import plain


@pytest.mark.parametrize(
    ("formatted", "said"),
    [
        ("1.09e+03", "1,090"),
        ("1.6e+03", "1,600"),
        ("1e+05", "100,000"),
        ("-1.234e+06", "-1,234,000"),
        ("3.2e-05", "0.000032"),
        ("1e-06", "0.000001"),
        ("1.5e-07", "1.5 x 10^-7"),
        ("-1e+20", "-1 x 10^20"),
    ],
)
def test_an_exponent_is_written_out(formatted: str, said: str) -> None:
    assert plain(formatted) == said


@pytest.mark.parametrize(
    "text", ["0.5", "12", "-60.7", "inf", "nan", "head.weight", "1e+03 times", "1e3", ""]
)
def test_any_other_text_is_as_it_was(text: str) -> None:
    assert plain(text) == text
