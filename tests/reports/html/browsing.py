"""A page in a browser: what is seen of it, what goes wrong in it, and what axe finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

WIDE, NARROW = {"width": 1366, "height": 900}, {"width": 390, "height": 844}


class Opened:
    """A page in the browser, with what went wrong in it."""

    def __init__(self, tab: Any, path: Path) -> None:
        self.tab = tab
        self.wrong: list[str] = []
        self.requests: list[str] = []
        tab.on("console", lambda message: self.wrong.append(message.text))
        tab.on("pageerror", lambda error: self.wrong.append(str(error)))
        tab.on("request", lambda request: self.requests.append(request.url))
        self.address = path.as_uri()

    def go(self, fragment: str = "") -> Opened:
        self.tab.goto("about:blank")
        self.tab.goto(f"{self.address}{fragment}")
        return self

    def close(self) -> None:
        """Close the cell that is open; its address goes a moment later."""
        self.tab.keyboard.press("Escape")
        self.tab.wait_for_selector("#detail", state="hidden", timeout=5000)
        for _ in range(100):
            if not self.tab.evaluate("location.hash"):
                return
            self.tab.wait_for_timeout(10)
        raise AssertionError(f"the address is still {self.tab.url}")

    def visible(self, selector: str) -> list[str]:
        return [each.inner_text() for each in self.tab.query_selector_all(selector) if each.is_visible()]


def violations(tab: Any) -> list[str]:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="pip install 'quantgate[browser]'"
    )
    # axe is evaluated by the debugger, which no policy of the page keeps out.
    found = axe.Axe().run(tab).response["violations"]
    return [
        f"{each['id']}: {node['html'][:200]}: {node['failureSummary']}"
        for each in found
        for node in each["nodes"]
    ]
