"""Which commit a run is of."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from quantgate.history.commit import Commit, find_commit

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "file").write_text("1")
    git(tmp_path, "init", "-q", "-b", "trunk")
    git(tmp_path, "add", "file")
    git(tmp_path, "-c", "user.name=me", "-c", "user.email=me@localhost", "commit", "-qm", "first")
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_git_says_it(repository: Path) -> None:
    assert find_commit(repository, {}) == Commit(git(repository, "rev-parse", "HEAD"), "trunk")


def test_changes_since_are_said(repository: Path) -> None:
    (repository / "other").touch()
    assert not str(find_commit(repository, {}).sha).endswith("-dirty")

    (repository / "file").write_text("2")
    assert find_commit(repository, {}).sha == f"{git(repository, 'rev-parse', 'HEAD')}-dirty"


def test_a_commit_may_be_of_no_branch(repository: Path) -> None:
    git(repository, "checkout", "-q", "--detach")

    assert find_commit(repository, {}).branch is None


@pytest.mark.parametrize(
    ("variables", "commit"),
    [
        ({"GITHUB_SHA": SHA, "GITHUB_REF_NAME": "main"}, Commit(SHA, "main")),
        ({"GITHUB_SHA": SHA, "GITHUB_REF_NAME": "7/merge", "GITHUB_HEAD_REF": "mine"}, Commit(SHA, "mine")),
        ({"GITHUB_SHA": "$(reboot)"}, Commit()),
        ({}, Commit()),
    ],
)
def test_githubs_variables_say_it(tmp_path: Path, variables: dict[str, str], commit: Commit) -> None:
    assert find_commit(tmp_path, variables) == commit


def test_without_git_there_is_none(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    assert find_commit(repository, {}) == Commit()


def test_no_program_of_the_repository_is_run(repository: Path) -> None:
    git(repository, "config", "core.fsmonitor", f"touch {repository}/ran; true")

    assert find_commit(repository, {}).sha is not None
    assert not (repository / "ran").exists()
