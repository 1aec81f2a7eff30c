"""Text for a terminal: tables, paragraphs, and characters that any terminal can print."""

import textwrap
from collections.abc import Collection, Sequence

WIDTH = 100


def columns(table: Sequence[Sequence[str]], left: Collection[int] = (0,), indent: str = "") -> list[str]:
    """Lay out rows of cells in columns, two spaces apart.

    Args:
        table: The rows, all of the same length.
        left: The columns aligned left; the others are aligned right.
        indent: Put before each line.

    Returns:
        The lines, without trailing spaces.

    >>> columns([("a", "bb"), ("cc", "d")])
    ['a   bb', 'cc   d']
    """
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        (
            indent
            + "  ".join(
                cell.ljust(width) if i in left else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
        ).rstrip()
        for line in table
    ]


def paragraph(text: str, indent: int = 2) -> str:
    """Wrap text at 100 columns.

    Args:
        text: One paragraph; spaces at its start are kept.
        indent: Number of spaces before each line but the first.

    Returns:
        The lines; a word longer than a line is not broken.

    >>> print(paragraph("one two " * 15))
    one two one two one two one two one two one two one two one two one two one two one two one two one
      two one two one two
    """
    return textwrap.fill(text, WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def printable(text: str) -> str:
    r"""Return text that UTF-8 can encode: bytes in a file name that are not UTF-8 appear as ``\udcff``.

    >>> printable("step-\udcff.pt")
    'step-\\udcff.pt'
    """
    return text.encode("utf-8", "backslashreplace").decode()
