"""How much of a job's work was done before it began: outputs in a sidecar, replies on record.

The seconds of a job that found its work done say nothing of its speed, so its record tells.
"""

from collections import Counter

_counts: Counter[str] = Counter()  # of this process, which is one job


def count_known(known: int, total: int) -> None:
    """Note that of `total` pieces of work `known` were done before."""
    _counts.update(known=known, total=total)


def known_share() -> float | None:
    """Return the share of this job's work that was done before, or None where none was counted."""
    return _counts["known"] / _counts["total"] if _counts["total"] else None
