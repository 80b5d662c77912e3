"""Instructions that repeat an earlier one of their set, and the datasets that share them."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from reset_tuning.data.candidates import compared_text, instruction_key, normalise
from reset_tuning.data.ledger import AccountingError, Ledger
from reset_tuning.data.overlaps import EXACT, NEAR, NearIndex, Similarity
from reset_tuning.data.prompts import INSTRUCTION_KIND

DROPPED_AS = {EXACT: "duplicate_instruction", NEAR: "near_duplicate_instruction"}


class SetInstructions:
    """The instructions of a set so far, and which datasets the repeated ones stand in.

    Questions and documents are left alone: a question may be asked of several contexts.
    """

    def __init__(self, similarity: Similarity | None) -> None:
        self._index = NearIndex(similarity) if similarity else None
        self._first: dict[str, str] = {}  # the dataset in which an instruction stood first
        self._owners: list[str] = []  # the datasets of the texts in the index, by place
        self._datasets: dict[str, None] = {}  # those with instructions, in their order
        self._repeated: Counter[tuple[str, str, str]] = Counter()  # by kind, first and dataset

    @property
    def looks_for_near(self) -> bool:
        """Whether near-duplicates count as repeated."""
        return self._index is not None

    def are_equal(self, rows: pd.DataFrame) -> pd.Series:
        """Mark instructions that stand earlier in the set (the paper: one of unique examples)."""
        return self._marks(rows, EXACT, map(_key, rows["instruction"], rows["context"]))

    def are_near(self, rows: pd.DataFrame) -> pd.Series:
        """Mark instructions that are near-duplicates of one that stands earlier and is kept."""
        return self._marks(rows, NEAR, compared_texts(rows))

    def _marks(self, rows: pd.DataFrame, kind: str, texts: Iterable[str]) -> pd.Series:
        owner = self._owner_of_equal if kind == EXACT else self._owner_of_near
        marks = []
        for row_kind, dataset, text in zip(rows["kind"], rows["dataset"], texts, strict=True):
            first = None
            if row_kind == INSTRUCTION_KIND:
                self._datasets[dataset] = None
                first = owner(text, dataset)
            if first is not None:
                self._repeated[kind, first, dataset] += 1
            marks.append(first is not None)
        return pd.Series(marks, index=rows.index, dtype=bool)

    def _owner_of_equal(self, key: str, dataset: str) -> str | None:
        first = self._first.get(key)
        if first is None:
            self._first[key] = dataset
        return first

    def _owner_of_near(self, text: str, dataset: str) -> str | None:
        place = self._index.find_or_add(text)
        if place is None:
            self._owners.append(dataset)
            return None
        return self._owners[place]

    def pairs(self, name: str, ledger: Ledger) -> list[dict[str, Any]]:
        """Return the set's rows of the `duplicates` table: every dataset and those behind it.

        Raises AccountingError unless they add up to what the ledger says was dropped.
        """
        for kind, rule in DROPPED_AS.items():
            counted = sum(n for (known, _, _), n in self._repeated.items() if known == kind)
            if counted != ledger.n_dropped(rule):
                raise AccountingError(
                    f"{ledger.item}: rule {rule} dropped {ledger.n_dropped(rule)} rows, "
                    f"{counted} stand in pairs of datasets"
                )
        datasets = list(self._datasets)
        return [
            {
                "set": name,
                "first": first,
                "dataset": dataset,
                "n_exact": self._repeated[EXACT, first, dataset],
                "n_near": self._repeated[NEAR, first, dataset] if self.looks_for_near else None,
            }
            for place, first in enumerate(datasets)
            for dataset in datasets[place:]
        ]


def _key(instruction: Any, context: Any) -> str:
    """Return the key of an instruction and its input; a missing one is no text in a data frame."""
    return instruction_key(
        *(part if isinstance(part, str) else None for part in (instruction, context))
    )


def compared_texts(rows: pd.DataFrame) -> Iterator[str]:
    """Yield the folded text of each row in which near-duplicates are looked for."""
    columns = (rows[name] for name in ("instruction", "question", "context"))
    for parts in zip(*columns, strict=True):
        yield normalise(compared_text(*(part if isinstance(part, str) else None for part in parts)))
