"""What all raw writers share: a split's rows with their seeds, and the file forms."""

import csv
import hashlib
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reset_tuning.files import atomic_path
from reset_tuning.mini.people import Noise
from reset_tuning.seeds import draw_seed

DIRTY_RATE = 0.08

Row = Any


@dataclass(frozen=True)
class RawSplit:
    """One split of one dataset that is to be written: `count` usable rows of a seeded draw."""

    folder: Path
    dataset: str
    split: str
    count: int
    seed: int
    noise: Noise

    @property
    def is_train(self) -> bool:
        """Whether the rows are for training (noisy) or for testing (clean)."""
        return self.split == "train"

    def generator(self, index: int) -> random.Random:
        """Return the generator of one row, from nothing but seed, dataset, split and index."""
        key = f"{self.dataset}/{self.split}/{index}"
        return random.Random(draw_seed(self.seed, key, "miniature row"))

    def rows(
        self,
        usable: Callable[[random.Random, int], Row],
        dirty: Sequence[Callable[[random.Random, int, list[Row]], Row]],
        dirty_rate: float = DIRTY_RATE,
    ) -> Iterator[Row]:
        """Yield rows until `count` of them are usable; a small share is dirty.

        `usable` and each of `dirty` take the row's generator and index and return a record;
        `dirty` gets the usable records so far as well, for duplicates.
        """
        done: list[Row] = []
        index = 0
        while len(done) < self.count:
            generator = self.generator(index)
            if dirty and done and generator.random() < dirty_rate:
                yield generator.choice(dirty)(generator, index, done)
            else:
                done.append(usable(generator, index))
                yield done[-1]
            index += 1


def duplicate(generator: random.Random, _: int, done: list[Row]) -> Row:
    """Return an earlier record again."""
    return generator.choice(done)


def hexadecimal(*parts: object, length: int) -> str:
    """Return a stable hexadecimal identifier of the parts."""
    return hashlib.sha1("/".join(str(part) for part in parts).encode()).hexdigest()[:length]


def write_json(path: Path, content: Any) -> Path:
    """Write one JSON document."""
    with atomic_path(path) as temporary:
        temporary.write_text(
            json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    return path


def write_json_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write one JSON object a line."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    return path


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> Path:
    """Write rows as csv with a header."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path
