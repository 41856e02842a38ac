"""Text from outside in Markdown, rendered by another implementation: it is text, whatever it holds."""

from __future__ import annotations

import html
import re

import pytest

from quantgate.reports.github.markdown import block, code, prose
from quantgate.reports.text import printable
from tests.examples import HOSTILE

markdown_it = pytest.importorskip("markdown_it", reason="renders Markdown: pip install 'quantgate[test]'")
pytest.importorskip("linkify_it", reason="links what GitHub links: pip install 'quantgate[test]'")


def rendered(text: str) -> str:
    parser = markdown_it.MarkdownIt("gfm-like", {"html": True})
    return str(parser.render(text))


def shown(page: str) -> str:
    """What a reader sees: the text between the tags, without spaces of no width."""
    return html.unescape(re.sub(r"<[^>]*>", "", page)).replace("\u200b", "").strip()


def collapsed(text: str) -> str:
    return re.sub(r"\s+", " ", printable(text)).strip()


@pytest.mark.parametrize("text", HOSTILE)
def test_prose_shows_the_text_and_nothing_else(text: str) -> None:
    page = rendered(f"Because: {prose(text)}")

    assert re.findall(r"<[^>]*>", page) == ["<p>", "</p>"]
    assert collapsed(shown(page)) == collapsed(f"Because: {printable(text[:2000])}")


@pytest.mark.parametrize("text", HOSTILE)
def test_code_shows_the_text_and_nothing_else(text: str) -> None:
    page = rendered(f"- {code(text)}: so")

    assert re.findall(r"<[^>]*>", page) == ["<ul>", "<li>", "<code>", "</code>", "</li>", "</ul>"]
    assert collapsed(shown(page)) == collapsed(f"{printable(text).strip()}: so")


@pytest.mark.parametrize("text", HOSTILE)
def test_code_stays_in_its_field_of_a_table(text: str) -> None:
    page = rendered(f"| a | b |\n|---|---|\n| {code(text, in_table=True)} | 5.22 |\n")

    assert page.count("<td>") == 2
    assert re.findall(r"<td>(5\.22)</td>", page) == ["5.22"]
    assert set(re.findall(r"<(\w+)", page)) == {"table", "thead", "tr", "th", "tbody", "td", "code"}


@pytest.mark.parametrize("text", HOSTILE)
def test_a_block_ends_where_it_should(text: str) -> None:
    page = rendered(f"{block(f'pytest {text}', 'sh')}\n\nafter")

    assert page.endswith("</code></pre>\n<p>after</p>\n")
    assert "javascript:" not in re.sub(r"<pre>.*</pre>", "", page, flags=re.DOTALL)


def test_nobody_is_notified_and_nothing_linked() -> None:
    assert prose("@everyone #12") == "@\u200beveryone \\#\u200b12"
