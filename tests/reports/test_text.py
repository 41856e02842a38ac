"""Text from outside, made safe to print."""

from __future__ import annotations

import pytest

from quantgate.reports.text import printable, printable_lines
from tests.examples import HOSTILE


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_is_left_that_drives_a_terminal_or_a_workflow(text: str) -> None:
    for line in (printable(text), *printable_lines(text).split("\n")):
        assert line.isprintable()
        assert not line.lstrip().startswith("::")
        assert "##[" not in line


def test_what_is_escaped_can_still_be_read() -> None:
    assert printable("\x1b[31m\u202ename\n") == "\\x1b[31m\\u202ename\\n"
    assert printable("  ::error::x") == "  \\x3a:error::x"
    assert printable("a ##[error]") == "a ##\\x5berror]"
    assert printable_lines("a\r\n::b") == "a\\r\n\\x3a:b"


@pytest.mark.parametrize("text", ["", "std::int4", "mylib.quant:int4@4", "a ## [x]", "Größe → 4"])
def test_other_text_is_as_it_was(text: str) -> None:
    assert printable(text) == text
