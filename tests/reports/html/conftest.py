"""A real browser, one for the tests of a file."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quantgate.reports.html.page import page
from quantgate.reports.story import Story
from tests.reports.html.browsing import WIDE, Opened

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="drives a browser: pip install 'quantgate[browser]'"
    )
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with playwright.sync_playwright() as running:
        made = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Any]:
    tabs = []

    def open_(story: Story, size: dict[str, int] = WIDE, scheme: str = "light", **options: Any) -> Opened:
        path = tmp_path / "report.html"
        path.write_text(page(story), encoding="utf-8")
        tabs.append(browser.new_page(viewport=size, color_scheme=scheme, **options))
        return Opened(tabs[-1], path).go()

    yield open_
    for tab in tabs:
        tab.close()
