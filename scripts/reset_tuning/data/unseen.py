"""Which test candidates stand in the training sets, and the rules that drop them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from reset_tuning.config import NEAR_DUPLICATE_OF_TRAINING, SEEN_IN_TRAINING
from reset_tuning.data.candidates import Identified, compared_text
from reset_tuning.data.filters import NamedFilter
from reset_tuning.data.overlaps import (
    EXACT,
    NEAR,
    Overlap,
    Similarity,
    find_overlaps,
    training_texts,
)

_EXCERPT = 200  # characters of a text that an overlap is shown with
_BROKEN_BY = {
    EXACT: {SEEN_IN_TRAINING, NEAR_DUPLICATE_OF_TRAINING},
    NEAR: {NEAR_DUPLICATE_OF_TRAINING},
}


class TrainingComparison:
    """Which candidates stand in the training sets, exactly or nearly; looked up once.

    Every overlap found goes into `report` as a row of the `overlap` table, whichever rule drops it.
    """

    def __init__(
        self,
        training: list[Path],
        similarity: Similarity | None,
        filters: list[NamedFilter],
        report: list[dict[str, Any]],
    ) -> None:
        is_near = NEAR_DUPLICATE_OF_TRAINING in [rule.name for rule in filters]
        self._training = training
        self._similarity = similarity if is_near else None
        self._report = report
        self._rules_by_id: dict[str, set[str]] | None = None

    def unseen(self, rule: str) -> Callable[[Iterator[Identified]], list[Identified]]:
        """Return the choice of the items that a rule of TRAINING_RULES keeps."""

        def choose(items: Iterator[Identified]) -> list[Identified]:
            waiting = list(items)
            if self._rules_by_id is None:
                self._rules_by_id = self._look_up(waiting)
            broken = self._rules_by_id
            return [item for item in waiting if rule not in broken.get(item.example_id, ())]

        return choose

    def _look_up(self, items: list[Identified]) -> dict[str, set[str]]:
        """Return the rules that each item breaks, by id."""
        texts = [
            compared_text(item.candidate.instruction, item.candidate.question, _context(item))
            for item in items
        ]
        found = find_overlaps(texts, training_texts(self._training), self._similarity)
        broken: dict[str, set[str]] = {}
        reported = set()  # a record may hold the same example twice
        for overlap in found:
            item = items[overlap.place]
            broken.setdefault(item.example_id, set()).update(_BROKEN_BY[overlap.kind])
            key = (item.example_id, item.candidate.source_row, overlap.training)
            if key not in reported:
                reported.add(key)
                self._report.append(_overlap_row(item, overlap, texts[overlap.place]))
        return broken


def _context(item: Identified) -> str | None:
    return item.candidate.context or None


def _overlap_row(item: Identified, overlap: Overlap, text: str) -> dict[str, Any]:
    return {
        "example_id": item.example_id,
        "source_row": item.candidate.source_row,
        "training": overlap.training,
        "training_id": overlap.training_id,
        "kind": overlap.kind,
        "similarity": overlap.similarity,
        "text": text[:_EXCERPT],
    }
