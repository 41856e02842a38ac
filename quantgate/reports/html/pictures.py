"""What is made of a run's records when it has ended: the page and the summary, in the folder that holds them."""

from __future__ import annotations

from pathlib import Path

from quantgate.reports.github.summary import summary
from quantgate.reports.story import Story

PAGE_NAME = "report.html"
SUMMARY_NAME = "summary.md"


def write_pictures(story: Story, folder: Path) -> list[Path]:
    """Write `summary.md` and `report.html`, each whole or not at all; gives their paths.

    Raises:
        OSError: They cannot be written.
    """
    return [write_whole(folder / SUMMARY_NAME, summary(story)), write_page(story, folder / PAGE_NAME)]


def write_page(story: Story, path: Path) -> Path:
    """Write the page alone, and give its path.

    Raises:
        OSError: It cannot be written.
    """
    from quantgate.reports.html.page import page  # Jinja2 is loaded where a page is made, and nowhere else

    return write_whole(path, page(story))


def remove_pictures(folder: Path) -> None:
    """Remove an earlier run's pictures: they would be taken for this run's where it is killed.

    Raises:
        OSError: They cannot be removed.
    """
    for name in (PAGE_NAME, SUMMARY_NAME):
        (folder / name).unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> Path:
    """Replace a file, of which a reader never sees half, and give its path.

    Raises:
        OSError: It cannot be written.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8", errors="backslashreplace")
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    return path
