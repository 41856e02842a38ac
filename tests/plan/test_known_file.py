"""Failures of a run become entries; what the file says beside them stays."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from quantgate.plan.known_failures import KnownFailuresError, parse
from quantgate.plan.known_file import Acceptance, accept, read_text
from quantgate.records.cell import Config
from quantgate.records.result import CellResult, unmeasured
from quantgate.records.verdict import Verdict
from tests.examples import learning, make_cell, make_result

PATH = Path("known.toml")
FILE = """# Who is responsible: the quantization group.

["int4-adamw-s47"]   # since spring
reason = "old"
cause = "no-op"
until = 2030-01-01

[ "nf4-*" ]
cause = "resolution"
reason = 'coarse'
"""


def dead(subject: str, cause: str = "gradient-blocked") -> CellResult:
    return make_result(make_cell(subject=subject), cause=cause)


def test_a_file_is_made() -> None:
    why = Acceptance("no estimator", date(2026, 12, 31), "https://example.org/12")
    made = accept(
        PATH, "", [dead("int4"), dead("int8", "sign-lost"), learning(make_cell(subject="bf16"))], why
    )

    assert made.added == ("int4-adamw-s47", "int8-adamw-s47")
    assert made.text == (
        "[int4-adamw-s47]\n"
        'reason = "no estimator"\n'
        'cause = "gradient-blocked"\n'
        "until = 2026-12-31\n"
        'link = "https://example.org/12"\n'
        "\n"
        "[int8-adamw-s47]\n"
        'reason = "no estimator"\n'
        'cause = "sign-lost"\n'
        "until = 2026-12-31\n"
        'link = "https://example.org/12"\n'
    )


def test_an_entry_is_changed_and_all_else_stays() -> None:
    made = accept(PATH, FILE, [dead("int4")], Acceptance("new"))

    assert made.changed == ("int4-adamw-s47",)
    assert made.text == FILE.replace('"old"', '"new"').replace('"no-op"', '"gradient-blocked"').replace(
        "until = 2030-01-01\n", ""
    )


def test_a_name_that_toml_would_split_is_quoted() -> None:
    made = accept(PATH, FILE, [dead("lib.quant:f@4")], Acceptance('say "no"\n'))

    assert made.text.startswith(FILE)
    assert parse(PATH, made.text).entries["lib.quant:f@4-adamw-s47"].reason == 'say "no"\n'


def test_what_a_pattern_speaks_for_is_left_to_it() -> None:
    made = accept(PATH, FILE, [dead("nf4", "resolution")], Acceptance("new"))

    assert (made.covered, made.text) == (("nf4-adamw-s47",), FILE)


def test_a_cell_that_a_pattern_does_not_excuse_gets_an_entry_of_its_own() -> None:
    made = accept(PATH, FILE, [dead("nf4", "sign-lost")], Acceptance("new"))

    assert made.added == ("nf4-adamw-s47",)
    assert parse(PATH, made.text).entries["nf4-adamw-s47"].cause == "sign-lost"


def test_what_learns_is_taken_out() -> None:
    results = [learning(make_cell(subject=name)) for name in ("int4", "nf4", "bf16")]
    made = accept(PATH, FILE, results, Acceptance("new"))

    assert (made.removed, made.healed) == (("int4-adamw-s47",), ("nf4-adamw-s47",))
    assert set(parse(PATH, made.text).entries) == {"nf4-*"}
    assert "# Who is responsible" in made.text


def test_what_was_not_judged_is_left_out() -> None:
    lost = unmeasured(make_cell(subject="int4"), Verdict.CRASHED, "boom", Config())
    made = accept(PATH, FILE, [lost], Acceptance("new"))

    assert (made.left_out, made.text) == (("int4-adamw-s47",), FILE)


def test_a_file_that_is_none_is_not_written_over() -> None:
    with pytest.raises(KnownFailuresError, match=r"^known failures 'known.toml' is not TOML"):
        accept(PATH, "{}", [dead("int4")], Acceptance("new"))


def test_a_file_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert read_text(tmp_path / "known.toml") == ""
    with pytest.raises(KnownFailuresError, match=r"cannot be read: Is a directory$"):
        read_text(tmp_path)
