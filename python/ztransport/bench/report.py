"""Tables as plain text: what a terminal, a note and a README can all show."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["quantity", "table"]


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns; the first column is left-aligned, the others right."""
    lines = [list(headers), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    ruler = [
        "-" * width if not column else "-" * (width - 1) + ":"
        for column, width in enumerate(widths)
    ]
    shown = [_line(lines[0], widths), _row(ruler), *(_line(line, widths) for line in lines[1:])]
    return "\n".join(shown)


def quantity(value: float | None, unit: str = "") -> str:
    """A figure in three digits with the prefix that fits: 260400 becomes "260 k"."""
    if value is None:
        return "–"
    for size, prefix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{_three_digits(value / size)}{prefix}{unit}"
    return f"{_three_digits(value)}{' ' if unit else ''}{unit}"


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    aligned = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
    return _row([cells[0].ljust(widths[0]), *aligned[1:]])


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
