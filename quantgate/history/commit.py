"""Which commit a run is of: GitHub's variables say it, or git does."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_SHA = re.compile(r"[0-9a-f]{7,64}")
_SECONDS = 5.0


@dataclass(frozen=True)
class Commit:
    """A commit and the branch that it was checked out as; None where they are not known."""

    #: With `-dirty` where tracked files were changed since, as `git describe` writes it.
    sha: str | None = None
    branch: str | None = None


def find_commit(folder: Path, environment: Mapping[str, str] = os.environ) -> Commit:
    """The commit that a folder is at.

    On GitHub it is `GITHUB_SHA`, and the branch `GITHUB_HEAD_REF` (of a pull request) or `GITHUB_REF_NAME`.
    """
    sha = environment.get("GITHUB_SHA", "").lower()
    if _SHA.fullmatch(sha):
        named = environment.get("GITHUB_HEAD_REF") or environment.get("GITHUB_REF_NAME")
        return Commit(sha, named or None)
    head = _git(folder, "rev-parse", "HEAD")
    if head is None or not _SHA.fullmatch(head):
        return Commit()
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    branch = _git(folder, "symbolic-ref", "--short", "HEAD")
    return Commit(f"{head}-dirty" if changed else head, branch or None)


def _git(folder: Path, *arguments: str) -> str | None:
    """What git says; None where it is not installed, or says no."""
    try:
        done = subprocess.run(
            # No program that a repository names is run to see whether its files changed.
            ["git", "-c", "core.fsmonitor=false", "--no-optional-locks", *arguments],
            cwd=folder,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            encoding="utf-8",
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
