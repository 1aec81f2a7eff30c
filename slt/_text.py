"""Text for a terminal: tables, and what any terminal can print."""

from collections.abc import Collection, Sequence


def columns(table: Sequence[Sequence[str]], left: Collection[int] = (0,), indent: str = "") -> list[str]:
    """Lay rows of cells out in columns, two spaces apart.

    Args:
        table: The rows, all of one length.
        left: The columns that start at the left; the others end at the right.
        indent: Put before each line.

    Returns:
        The lines, without spaces at their ends.

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


def printable(text: str) -> str:
    r"""Return text that UTF-8 can write: bytes of a file's name that are none show as ``\udcff``.

    >>> printable("step-\udcff.pt")
    'step-\\udcff.pt'
    """
    return text.encode("utf-8", "backslashreplace").decode()
