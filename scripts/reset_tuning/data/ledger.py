"""Row accounting: every step of a stage counts the rows in, the rows dropped and the rows out."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import pandas as pd

_logger = logging.getLogger(__name__)
Item = TypeVar("Item")
READ = "read"


@dataclass
class Step:
    """One rule and what it did; a step that adds rows (up-sampling) has negative drops."""

    rule: str
    n_in: int = 0
    n_out: int = 0

    @property
    def n_dropped(self) -> int:
        """Rows in less rows out."""
        return self.n_in - self.n_out


@dataclass
class Ledger:
    """The steps of one stage, item and split in their order."""

    stage: str
    item: str
    split: str
    steps: list[Step] = field(default_factory=list)

    def count(self, rule: str, n_in: int, n_out: int) -> None:
        """Add a finished step."""
        self.steps.append(Step(rule, n_in, n_out))

    def read(self, items: Iterable[Item]) -> Iterator[Item]:
        """Pass items through and count them as the stage's first step."""
        return self.filtered(READ, items, lambda item: True)

    def filtered(
        self, rule: str, items: Iterable[Item], keep: Callable[[Item], bool]
    ) -> Iterator[Item]:
        """Pass on the items to keep, one by one; the step's counts are final when they end."""
        step = Step(rule)
        self.steps.append(step)  # before the first item, so that steps stand in their order

        def stream() -> Iterator[Item]:
            for item in items:
                step.n_in += 1
                if keep(item):
                    step.n_out += 1
                    yield item

        return stream()

    def reduced(
        self, rule: str, items: Iterable[Item], choose: Callable[[list[Item]], list[Item]]
    ) -> Iterator[Item]:
        """Pass on the items that `choose` picks out of all of them."""
        step = Step(rule)
        self.steps.append(step)

        def stream() -> Iterator[Item]:
            whole = list(items)
            chosen = choose(whole)
            step.n_in, step.n_out = len(whole), len(chosen)
            yield from chosen

        return stream()

    @property
    def n_out(self) -> int:
        """Rows that are left after the last step."""
        return self.steps[-1].n_out if self.steps else 0

    def hungriest(self) -> Step:
        """Return the step that dropped most rows."""
        return max(self.steps, key=lambda step: step.n_dropped)

    def frame(self) -> pd.DataFrame:
        """Return the steps as rows of the `ledger` table."""
        rows = [
            {
                "stage": self.stage,
                "item": self.item,
                "split": self.split,
                "step": number,
                "rule": step.rule,
                "n_in": step.n_in,
                "n_dropped": step.n_dropped,
                "n_out": step.n_out,
            }
            for number, step in enumerate(self.steps)
        ]
        return pd.DataFrame(rows)

    def log(self) -> None:
        """Write the steps to the log, one line each."""
        for step in self.steps:
            what = "dropped" if step.n_dropped >= 0 else "added"
            change = f"{step.rule} {what} {abs(step.n_dropped)}, {step.n_out} rows left"
            _logger.info("%s %s: %s", self.item, self.split, change)
