"""Aligned Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; floats with three decimals, columns of numbers to the right."""
    body = [[_text(cell) for cell in row] for row in rows]
    if not body:
        return "(nothing)"
    columns = list(zip(*body, strict=True))
    right = [all(_is_number(text) for text in column) for column in columns]
    widths = [max(len(title), *map(len, column), 3) for title, column in zip(head, columns, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(cells, widths, right, strict=True)
        ]
        return f"| {' | '.join(padded)} |"

    rule = [
        "-" * (width - 1) + ":" if is_right else "-" * width
        for width, is_right in zip(widths, right, strict=True)
    ]
    return "\n".join((line(head), line(rule), *map(line, body)))


def _text(cell: object) -> str:
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)


def _is_number(text: str) -> bool:
    return text in {"", "-"} or text.lstrip("+-").replace(".", "").rstrip("%x").isdigit()
