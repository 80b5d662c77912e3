"""Aligned columns for a terminal or a log. Standard library only."""

from collections.abc import Collection, Mapping, Sequence

_GAP = "  "


def aligned(columns: Mapping[str, Sequence[str]], left: Collection[str]) -> list[str]:
    """Return lines of columns of equal width, under their headings and a rule.

    The columns named in `left` begin at the same place, the others end there.
    """
    cells = []
    for heading, texts in columns.items():
        size = max(map(len, [heading, *texts]))
        lines = [heading, "─" * size, *texts]
        cells.append([t.ljust(size) if heading in left else t.rjust(size) for t in lines])
    return [_GAP.join(line).rstrip() for line in zip(*cells, strict=True)]
