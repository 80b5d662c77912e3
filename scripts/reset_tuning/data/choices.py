"""Choices among the items of a split: draws, the best of groups, one of several that are equal.

Draws and groups go by content, so that the order of the rows decides nothing.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator

from reset_tuning.data.candidates import Identified, instruction_key
from reset_tuning.seeds import draw_fraction


def drawer(
    size: int, seed: int, purpose: str
) -> Callable[[Iterator[Identified]], list[Identified]]:
    """Return a draw of `size` distinct items that depends on their content alone, not on places."""

    def lowest(ids: Iterable[str]) -> list[str]:
        return heapq.nsmallest(size, ids, key=lambda id_: (draw_fraction(seed, id_, purpose), id_))

    def draw(items: Iterator[Identified]) -> list[Identified]:
        drawn: dict[str, Identified] = {}
        for item in items:
            _put_lower(drawn, item.example_id, item)
            if len(drawn) > 2 * size:
                drawn = {id_: drawn[id_] for id_ in lowest(drawn)}
        return [drawn[id_] for id_ in lowest(drawn)]

    return draw


def one_of_each_instruction(items: Iterator[Identified]) -> list[Identified]:
    """Return one item of each instruction (case, white space and punctuation folded).

    That of the lowest id, so that the order of the rows decides nothing.
    """
    kept: dict[str, Identified] = {}
    for item in items:
        _put_lower(kept, instruction_key(item.candidate.instruction, item.candidate.context), item)
    return list(kept.values())


def best_of_groups(items: Iterator[Identified]) -> list[Identified]:
    """Return the best item of each group: lowest rank, then highest rating, then lowest id.

    A rank of null is worse than any other; an item without a group is alone in its own.
    """
    best: dict[str | int, tuple[tuple[float, float, str], Identified]] = {}
    for place, item in enumerate(items):
        reply = item.candidate
        group = place if reply.group is None else reply.group
        rank = float("inf") if reply.rank is None else reply.rank
        order = (rank, -(reply.rating or 0.0), item.example_id)
        if group not in best or order < best[group][0]:
            best[group] = (order, item)
    return [item for _, item in best.values()]


def first_of_each_content() -> Callable[[Identified], bool]:
    """Return what says whether no item of the same content was asked about before."""
    seen: set[int] = set()  # numbers: a million of them take a tenth of a gigabyte

    def is_new(item: Identified) -> bool:
        number = int(item.example_id, 16)
        known = number in seen
        seen.add(number)
        return not known

    return is_new


def _put_lower(known: dict[str, Identified], key: str, item: Identified) -> None:
    """Put an item in unless one stands there that is chosen before it, whichever came first."""
    if key not in known or item.order < known[key].order:
        known[key] = item
