"""Row accounting: every step of a stage counts the rows in, the rows dropped and the rows out."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import pandas as pd

_logger = logging.getLogger(__name__)
Item = TypeVar("Item")
READ = "read"


class AccountingError(RuntimeError):
    """Rows went missing or appeared without a rule's name: a fault of this program, not of data."""


@dataclass
class Step:
    """One rule and what it did; a step that adds rows (up-sampling) has negative drops."""

    rule: str
    n_in: int = 0
    n_dropped: int = 0
    n_out: int = 0


@dataclass
class Ledger:
    """The steps of one stage, item and split in their order."""

    stage: str
    item: str
    split: str
    steps: list[Step] = field(default_factory=list)

    def count(self, rule: str, n_in: int, n_out: int) -> None:
        """Count rows of a step; those of several calls add up, in the place of the first."""
        step = next((known for known in self.steps if known.rule == rule), None)
        if step is None:
            step = Step(rule)
            self.steps.append(step)
        step.n_in += n_in
        step.n_dropped += n_in - n_out
        step.n_out += n_out

    def read(self, items: Iterable[Item]) -> Iterator[Item]:
        """Pass items through and count them as the stage's first step."""
        return self.filtered(READ, items, lambda item: True)

    def passed_over(self, rule: str, n: int) -> None:
        """Count n rows that are known to get as far as `rule` and no further: nobody read them."""
        for step in self.steps:
            step.n_in += n
            if step.rule == rule:
                step.n_dropped += n
                return
            step.n_out += n

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
                else:
                    step.n_dropped += 1

        return stream()

    def reduced(
        self, rule: str, items: Iterable[Item], choose: Callable[[Iterator[Item]], list[Item]]
    ) -> Iterator[Item]:
        """Pass on the items that `choose` picks; it reads all of them and holds what it needs."""
        step = Step(rule)
        self.steps.append(step)

        def counted() -> Iterator[Item]:
            for item in items:
                step.n_in += 1
                yield item

        def stream() -> Iterator[Item]:
            chosen = choose(counted())
            step.n_out = len(chosen)
            step.n_dropped = step.n_in - step.n_out
            yield from chosen

        return stream()

    def n_dropped(self, rule: str) -> int:
        """Rows that a rule dropped, none for one that was not applied."""
        return sum(step.n_dropped for step in self.steps if step.rule == rule)

    @property
    def n_out(self) -> int:
        """Rows that are left after the last step."""
        return self.steps[-1].n_out if self.steps else 0

    def hungriest(self) -> Step:
        """Return the step that dropped most rows."""
        return max(self.steps, key=lambda step: step.n_dropped)

    def check(self, n_written: int) -> None:
        """Raise AccountingError unless every step balances and the last one let `n_written` out."""
        last = self.steps[0].n_in if self.steps else 0
        for step in self.steps:
            if step.n_in != last or step.n_in - step.n_dropped != step.n_out:
                raise AccountingError(
                    f"{self.item} {self.split}: step {step.rule} has {step.n_in} rows in, "
                    f"{step.n_dropped} dropped and {step.n_out} out, after {last} rows"
                )
            last = step.n_out
        if last != n_written:
            raise AccountingError(
                f"{self.item} {self.split}: {last} rows are accounted for, {n_written} were written"
            )

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
