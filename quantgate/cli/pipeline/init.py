"""`quantgate init`: the registration, the test and the workflow that a repository needs, shown first."""

from __future__ import annotations

import argparse
import difflib
import sys
from dataclasses import dataclass
from pathlib import Path

from quantgate.cli.pipeline import files
from quantgate.cli.status import EXIT_OK
from quantgate.formats import Format
from quantgate.reports.text import printable_lines
from quantgate.subjects.paths import Target, resolve


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "init", help="write the conftest, the test and the workflow into this repository, after showing them"
    )
    command.add_argument(
        "subject",
        nargs="?",
        metavar="module:function@bits",
        help="what to register, with factory: or recipe: before it as for doctor; an example where none is named",
    )
    how = command.add_mutually_exclusive_group()
    how.add_argument("--yes", action="store_true", help="write without asking")
    how.add_argument("--dry-run", action="store_true", help="show, and write nothing")
    command.set_defaults(command=run)


@dataclass(frozen=True)
class Change:
    """What becomes of one file: made, or added to at its end. Where it can be neither, `left` says why."""

    path: Path
    before: str
    after: str
    left: str = ""

    @property
    def diff(self) -> str:
        """The change as `diff -u` shows it."""
        old = "/dev/null" if not self.before else f"a/{self.path}"
        lines = difflib.unified_diff(
            self.before.splitlines(), self.after.splitlines(), old, f"b/{self.path}", lineterm=""
        )
        return "\n".join(lines)


def run(options: argparse.Namespace) -> int:
    """Show what would be written, ask, and write it."""
    target = None if options.subject is None else _target(options.subject)
    requirement, note = files.source()
    changes = planned(
        Path(), registration=files.registration(options.subject, target), requirement=requirement
    )
    for change in changes:
        print(printable_lines(change.left or change.diff), end="\n\n")
    writing = [change for change in changes if not change.left]
    if note and any(change.path == files.WORKFLOW for change in writing):
        print(f"Note on {files.WORKFLOW}: {note}.\n")
    if not writing:
        print("Nothing to write.")
    elif options.dry_run or not (options.yes or _asked(len(writing))):
        print("Nothing was written.")
    else:
        for change in writing:
            _write(change)
        print("Written. Next: pytest -m lowbit")
    return EXIT_OK


def _target(path: str) -> Target:
    target = resolve(path)
    if isinstance(target.found, Format):
        raise ValueError(
            f"{path!r} is a Format, which needs no registration: pytest --quantgate-formats {path}"
        )
    if target.role == "recipe" and target.bits is None:
        raise ValueError(f"{path!r}: a recipe says its bits; write {path}@8, say")
    return target


def planned(folder: Path, *, registration: str, requirement: str) -> list[Change]:
    """What `init` does to the repository in this folder.

    Raises:
        ValueError: A file of the user's is in the way and cannot be read.
    """
    return [
        _conftest(folder, registration),
        _whole(folder, files.TEST, files.LEARNS, "lowbit_cell"),
        _whole(folder, files.WORKFLOW, files.workflow(requirement, folder), "lowbit"),
    ]


def _conftest(folder: Path, text: str) -> Change:
    """The registration goes to the end of a conftest that is there, of the root's or of the tests'."""
    there = [path for path in (files.CONFTEST, Path("tests/conftest.py")) if (folder / path).exists()]
    if not there:
        return Change(files.CONFTEST, "", text)
    before = _read(folder / there[0])
    if before is not None and text.strip() in before.replace("\r\n", "\n"):
        return Change(there[0], "", "", f"{there[0]} registers it already and stays as it is.")
    if before is None or "quantgate" in before:
        why = "speaks of quantgate already" if before else "is no UTF-8 text"
        return Change(
            there[0], "", "", f"{there[0]} {why} and stays as it is. It needs:\n\n{_indented(text)}"
        )
    gap = "" if not before else "\n" if before.endswith("\n") else "\n\n"
    return Change(there[0], before, f"{before}{gap}\n{text}" if before else text)


def _whole(folder: Path, path: Path, text: str, word: str) -> Change:
    """A file of its own; one that is there stays as it is."""
    if not (folder / path).exists():
        return Change(path, "", text)
    before = _read(folder / path)
    if before is not None and word in before:
        return Change(path, "", "", f"{path} is there already and stays as it is.")
    return Change(
        path, "", "", f"{path} is there and is something else; it stays as it is. Add:\n\n{_indented(text)}"
    )


def _read(path: Path) -> str | None:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except UnicodeDecodeError:
        return None
    except OSError as error:
        raise ValueError(f"{str(path)!r} cannot be read: {error.strerror}; nothing was written") from None


def _indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.splitlines())


def _asked(count: int) -> bool:
    if not sys.stdin.isatty():
        raise ValueError("nobody can be asked here: add --yes to write this, or --dry-run")
    return input(f"Write {count} files? [y/N] ").strip().lower() in {"y", "yes"}


def _write(change: Change) -> None:
    """Make the file, or add to its end; what the user wrote is never written again."""
    more = change.after[len(change.before) :]
    if "\r\n" in change.before:
        more = more.replace("\n", "\r\n")
    try:
        change.path.parent.mkdir(parents=True, exist_ok=True)
        with change.path.open("a" if change.before else "x", encoding="utf-8", newline="") as file:
            file.write(more)
    except OSError as error:
        raise ValueError(f"{str(change.path)!r} cannot be written: {error.strerror}") from None
