"""The line of progress of a long command."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

import pytest

from quantgate.cli.live.progress import Progress, counted


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_it_moves_on_a_terminal_and_is_erased() -> None:
    stream, times = Terminal(), iter([0.0, 1.0, 1.05, 2.0, 300.0])
    progress = Progress(4, "steps", stream, lambda: next(times))
    progress(0, "7.04 BPB")
    progress(1)  # so soon after the last that it is not drawn
    progress(1)
    progress(4, "5.22 BPB")
    progress.close()

    assert [line.rstrip() for line in stream.getvalue().split("\r")] == [
        "",
        f"[{'.' * 24}] 0/4 steps  7.04 BPB",
        f"[{'#' * 6}{'.' * 18}] 1/4 steps  7.04 BPB  3 s left",
        f"[{'#' * 24}] 4/4 steps  5.22 BPB",
        "",
        "",
    ]
    assert {len(line) for line in stream.getvalue().split("\r")} == {0, 78}


@pytest.mark.parametrize(("seconds", "left"), [(9.0, "81 s"), (100.0, "15 min"), (1000.0, "2.5 h")])
def test_it_says_how_long_the_rest_takes(seconds: float, left: str) -> None:
    stream, times = Terminal(), iter([0.0, seconds])
    Progress(10, "cells", stream, lambda: next(times))(1)

    assert f"1/10 cells  {left} left" in stream.getvalue()


def test_nothing_is_drawn_where_output_is_kept() -> None:
    stream = io.StringIO()
    progress = Progress(2, "steps", stream)
    progress(1)
    progress.close()

    assert stream.getvalue() == ""


def broken() -> Iterator[str]:
    yield "a"
    raise ValueError("gone")


def test_what_is_gone_through_is_counted_and_erased_when_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)

    assert list(counted("ab", 2, "cells")) == ["a", "b"]
    assert "] 2/2 cells" in stream.getvalue()
    with pytest.raises(ValueError, match="gone"):
        list(counted(broken(), 2, "cells"))
    assert stream.getvalue().endswith(" \r")
