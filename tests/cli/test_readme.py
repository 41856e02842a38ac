"""The passage on logs, run as pasted."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Command

pytest.importorskip("duckdb", reason="logs are read by DuckDB: pip install 'quantgate[logs]'")
pytest.importorskip("sqlalchemy", reason="tables are read by SQLAlchemy: pip install 'quantgate[logs]'")

README = (Path(__file__).parents[2] / "quantgate" / "logs" / "README.md").read_text("utf-8")
PASSAGE = README.partition("## A fleet at chance")[2].partition("\n## ")[0]
MAKE, SHOWN, OTHERS, VECTORS = re.findall(r"```\n(.*?)```", PASSAGE, flags=re.DOTALL)


def test_its_commands_say_what_it_shows(
    quantgate: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, command = MAKE.removeprefix("python - <<'EOF'\n").partition("\nEOF\n")
    subprocess.run([sys.executable, "-c", code], check=True)

    assert quantgate(*arguments(command)).out.startswith(SHOWN)
    monkeypatch.setenv("FLEET_DB", "sqlite:///fleet.db")
    for line in OTHERS.splitlines():
        said = quantgate(*arguments(line))
        assert (said.status, said.err) == (1, ""), line
        assert SHOWN.partition("\n\n")[2].partition("\n\n")[0] in said.out, line


def test_its_vectors_are_written_and_right(
    quantgate: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write, check = VECTORS.splitlines()

    assert quantgate(*arguments(write)).out == "posit8: 256 values and 3,595 encodings in posit8.json\n"
    (tmp_path / "answers.json").write_text((tmp_path / "posit8.json").read_text())
    assert quantgate(*arguments(check)).status == 0


def arguments(line: str) -> list[str]:
    """The arguments of a command, without the settings before it and the comment after."""
    words = shlex.split(line, comments=True)
    return words[words.index("quantgate") + 1 :]
