"""`quantgate init`: what it writes, what it leaves alone, and that it runs as it is."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quantgate.cli.pipeline import files
from tests.cli.conftest import Command
from tests.plugin.project import Project

yaml = pytest.importorskip("yaml", reason="reads the workflow: pip install 'quantgate[test]'")

LIBRARY = """
def fake_quant_int4(x):
    scale = x.detach().abs().amax() / 7
    return x + ((x / scale).round() * scale - x).detach()


class LSQ:
    def __call__(self, x):
        return x


def prepare(model):
    return model
"""
NOTE = (
    "this quantgate is a folder here; a runner installs quantgate==0.1.0, which an index must have, or write "
    '"quantgate @ git+https://HOST/OWNER/quantgate@v0.1.0" there'
)


@pytest.fixture
def repository(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty repository with a library, whose gate came from the index."""
    (folder / "mylib").mkdir()
    (folder / "mylib" / "__init__.py").touch()
    (folder / "mylib" / "quant.py").write_text(LIBRARY)
    monkeypatch.setattr(files, "source", lambda: ("quantgate==0.1.0", ""))
    _forget_the_library()
    yield folder
    _forget_the_library()


def _forget_the_library() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "mylib"]:
        del sys.modules[name]


def test_three_files_are_shown_and_written(quantgate: Command, repository: Path) -> None:
    said = quantgate("init", "mylib.quant:fake_quant_int4@4", "--yes")

    assert said.status == 0
    assert said.out.startswith(
        "--- /dev/null\n"
        "+++ b/conftest.py\n"
        "@@ -0,0 +1,4 @@\n"
        "+import quantgate\n"
        "+from mylib.quant import fake_quant_int4\n"
        "+\n"
        '+quantgate.register_format("mylib_int4", fake_quant_int4, bits=4)\n'
        "\n"
        "--- /dev/null\n"
        "+++ b/tests/test_lowbit.py\n"
    )
    assert said.out.endswith("\nWritten. Next: pytest -m lowbit\n")
    for path in (files.CONFTEST, files.TEST, files.WORKFLOW):
        text = (repository / path).read_text()
        assert "".join(f"+{line}\n" for line in text.splitlines()) in said.out


@pytest.mark.parametrize("arguments", [("--dry-run",), ()])
def test_nothing_is_written_unless_it_is_asked_for(
    quantgate: Command, repository: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    answer = io.StringIO("n\n")
    answer.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stdin", answer)
    said = quantgate("init", *arguments)

    assert said.status == 0
    assert said.out.endswith("Nothing was written.\n")
    assert [path.name for path in repository.iterdir()] == ["mylib"]


def test_where_nobody_can_be_asked_an_answer_is_needed(
    quantgate: Command, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    said = quantgate("init")

    assert (said.status, said.err) == (
        4, "quantgate: nobody can be asked here: add --yes to write this, or --dry-run\n"
    )  # fmt: skip
    assert not (repository / "conftest.py").exists()


def test_a_conftest_is_added_to_and_nothing_in_it_changes(quantgate: Command, repository: Path) -> None:
    (repository / "tests").mkdir()
    own = b"import os\r\n\r\nX = 1"
    (repository / "tests" / "conftest.py").write_bytes(own)
    said = quantgate("init", "mylib.quant:fake_quant_int4", "--yes")
    text = (repository / "tests" / "conftest.py").read_bytes()

    assert said.status == 0
    assert text.startswith(own + b"\r\n\r\n\r\nimport quantgate\r\n")
    assert text.count(b"\n") == text.count(b"\r\n")
    assert not (repository / "conftest.py").exists()


def test_what_is_there_stays_as_it_is_and_what_it_lacks_is_said(quantgate: Command, repository: Path) -> None:
    for path, text in (
        (files.CONFTEST, b"\xff"), (files.TEST, b"def test_mine(): ...\n"), (files.WORKFLOW, b"name: mine\n"),
    ):  # fmt: skip
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).write_bytes(text)
    said = quantgate("init", "--yes")

    assert said.status == 0
    assert "conftest.py is no UTF-8 text and stays as it is. It needs:\n\n    import quantgate\n" in said.out
    assert (
        "tests/test_lowbit.py is there and is something else; it stays as it is. Add:\n\n    def test_learns"
        in said.out
    )
    assert ".github/workflows/lowbit.yml is there and is something else; it stays as it is. Add:" in said.out
    assert said.out.endswith("\nNothing to write.\n")
    assert (repository / files.TEST).read_bytes() == b"def test_mine(): ...\n"


def test_a_second_time_there_is_nothing_to_do(quantgate: Command, repository: Path) -> None:
    assert quantgate("init", "--yes").status == 0
    before = {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()}
    said = quantgate("init", "--yes")

    assert said.out.endswith("\nNothing to write.\n")
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    ("subject", "call"),
    [
        ("mylib.quant:fake_quant_int4", 'register_format("mylib_int4", fake_quant_int4)'),
        ("factory:mylib.quant:LSQ@2", 'register_format("mylib_LSQ", factory=LSQ, bits=2)'),
        ("recipe:mylib.quant:prepare@8", 'register_recipe("mylib_prepare", prepare, bits=8)'),
    ],
)
def test_what_is_registered_is_what_is_planned(
    quantgate: Command, repository: Path, subject: str, call: str
) -> None:
    assert quantgate("init", subject, "--yes").status == 0
    attribute = subject.partition("@")[0].rpartition(":")[2]
    assert (repository / "conftest.py").read_text() == (
        f"import quantgate\nfrom mylib.quant import {attribute}\n\nquantgate.{call}\n"
    )
    planned: dict[str, Any] = json.loads(quantgate("plan", "-W", "ignore", "-p", "no:hypothesispytest").out)
    name = f"mylib_{attribute.removeprefix('fake_quant_')}"
    assert {cell["subject"] for cell in planned["cells"]} == {name}
    again = quantgate("init", subject, "--dry-run")
    assert again.out.startswith("conftest.py registers it already and stays as it is.\n")


@pytest.mark.parametrize(
    ("subject", "said"),
    [
        (
            "mylib.quant:fake_quant_int",
            "unknown attribute of mylib.quant 'fake_quant_int'; did you mean 'fake_quant_int4'?",
        ),
        ("mylib.qant:x", "'mylib.qant:x': module 'mylib.qant' cannot be imported (No module named 'mylib.qant')"),
        ("int4", "'int4': no attribute after the module; write function:module:name"),
        ("recipe:mylib.quant:prepare", "'recipe:mylib.quant:prepare': a recipe says its bits; write "),
    ],
)  # fmt: skip
def test_what_cannot_be_registered_is_refused_and_nothing_written(
    quantgate: Command, repository: Path, subject: str, said: str
) -> None:
    refused = quantgate("init", subject, "--yes")

    assert refused.status == 4
    assert refused.err.startswith(f"quantgate: {said}")
    assert [path.name for path in repository.iterdir()] == ["mylib"]


@pytest.mark.slow
def test_what_it_writes_is_green_as_it_is(quantgate: Command, repository: Path) -> None:
    assert quantgate("init", "--yes").status == 0
    outcome = Project(repository).pytest(
        "-m", "lowbit", "-p", "no:xdist", "--quantgate-steps=20", "--quantgate-widths=32", "--quantgate-lr=0.003",
        "--quantgate-optimizers=adamw", "--strict-markers", "-W", "error",
    )  # fmt: skip

    assert outcome.exit_status == 0, outcome.stdout
    assert "1 planned / 1 ran / 1 judged / 0 skipped" in outcome.stdout


# the workflow


def test_the_workflow_installs_the_gate_and_what_the_repository_needs(tmp_path: Path) -> None:
    def installs(requirement: str) -> str:
        found: str = yaml.safe_load(files.workflow(requirement, tmp_path))["jobs"]["lowbit"]["steps"][2][
            "run"
        ]
        return found

    assert installs("quantgate==0.1.0") == 'pip install "quantgate==0.1.0"'
    (tmp_path / "requirements.txt").touch()
    (tmp_path / "pyproject.toml").touch()
    assert installs("quantgate @ git+https://x/y@v1") == (
        'pip install "quantgate @ git+https://x/y@v1" -r requirements.txt .'
    )


@pytest.mark.parametrize(
    ("direct", "origin", "expected"),
    [
        (None, "", ("quantgate==0.1.0", "")),
        (
            {
                "url": "https://user:token@github.com/o/quantgate",
                "vcs_info": {"vcs": "git", "commit_id": "ab" * 20},
            },
            "",
            (f"quantgate @ git+https://github.com/o/quantgate@{'ab' * 20}", ""),
        ),
        ({"url": "file:///src/quantgate", "dir_info": {"editable": True}}, "", ("quantgate==0.1.0", NOTE)),
        (
            {"url": "file:///src/quantgate", "dir_info": {}},
            "git@github.com:o/quantgate.git\n",
            (
                "quantgate @ git+https://github.com/o/quantgate.git@v0.1.0",
                "it installs quantgate from https://github.com/o/quantgate.git at the tag v0.1.0",
            ),
        ),
        ({"url": "file:///src/quantgate", "dir_info": {}}, "/a/clone\n", ("quantgate==0.1.0", NOTE)),
    ],
)
def test_the_gate_comes_from_where_it_came_from(
    monkeypatch: pytest.MonkeyPatch, direct: object, origin: str, expected: tuple[str, str]
) -> None:
    class Installed:
        def read_text(self, name: str) -> str | None:
            assert name == "direct_url.json"
            return None if direct is None else json.dumps(direct)

    class Git:
        stdout = origin

    monkeypatch.setattr(files, "distribution", lambda name: Installed())
    monkeypatch.setattr("subprocess.run", lambda *given, **more: Git)

    assert files.source() == expected
