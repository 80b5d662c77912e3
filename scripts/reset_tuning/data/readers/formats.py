"""What a reader of a raw format is made of."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from reset_tuning.data.candidates import Candidate
from reset_tuning.data.passages import GOLD_RULES
from reset_tuning.data.rows import Record, Row
from reset_tuning.errors import InputError


@dataclass(frozen=True)
class ReaderOptions:
    """The `options` of a dataset in the config; each reader uses those that concern it.

    max_passages: passages kept per question (the paper: at most five).
    gold: `promote` | `require_in_top5`, see `passages.choose_passages`.
    answers: the MS MARCO column of the references, `wellFormedAnswers` (paper) | `answers`.
    later_chunks: `keep` | `drop` ShareGPT records that continue an earlier one (id suffix _1, _2…).
    """

    max_passages: int = 5
    gold: str = "promote"
    answers: str = "wellFormedAnswers"
    later_chunks: str = "keep"

    @classmethod
    def of(cls, dataset: str, values: Mapping[str, Any]) -> "ReaderOptions":
        """Return the options of a dataset; raise InputError for an unknown name or value."""
        allowed = [field.name for field in fields(cls)]
        for name in values:
            if name not in allowed:
                raise InputError(
                    f"datasets.{dataset}.options.{name} is not an option; "
                    f"allowed are {', '.join(allowed)}"
                )
        options = cls(**values)
        choices = {
            "gold": GOLD_RULES,
            "answers": ("wellFormedAnswers", "answers"),
            "later_chunks": ("keep", "drop"),
        }
        for name, known in choices.items():
            if getattr(options, name) not in known:
                raise InputError(
                    f"datasets.{dataset}.options.{name} is {getattr(options, name)!r}; "
                    f"allowed are {', '.join(known)}"
                )
        if not isinstance(options.max_passages, int) or options.max_passages < 1:
            raise InputError(f"datasets.{dataset}.options.max_passages must be 1 or more")
        return options


def _itself(record: Record) -> Iterator[tuple[str, Record]]:
    yield "", record


def _unchanged(record: Record) -> Record:
    return record


def _unjoined(rows: Iterable[Row], of_split: Callable[[], Any]) -> Iterable[Row]:
    return rows


def _no_index(rows: Iterable[Row]) -> None:
    """Keep nothing of a split's rows."""


@dataclass(frozen=True)
class Format:
    """A raw format: how to recognise a record of it and what to make of one.

    `signatures` are sets of keys, of which a record has all of at least one; a record with a key of
    `excluded` is something else. `expand` takes a record apart that holds several (with a suffix
    for their source rows) and looks no further: `part` makes a record of each, so that what is
    wrong with one costs no other. `join` completes rows from other rows of their file, or from what
    `index` keeps of all the split's rows, which is made when it is asked for. `rules` names the
    faults that `read` may find, in the order in which they are counted. In a `grouped` format
    several candidates answer the same prompt, and the best one is kept. `columns` are all that
    `read` needs of a parquet file (default: everything). With `answers_by_option` a record also
    needs the key that the option `answers` names.
    """

    name: str
    kind: str
    signatures: tuple[frozenset[str], ...]
    read: Callable[[Record, ReaderOptions], Iterable[Candidate]]
    expand: Callable[[Record], Iterable[tuple[str, Any]]] = _itself
    part: Callable[[Record], Record] = _unchanged
    index: Callable[[Iterable[Row]], Any] = _no_index
    join: Callable[[Iterable[Row], Callable[[], Any]], Iterable[Row]] = _unjoined
    excluded: frozenset[str] = frozenset()
    rules: tuple[str, ...] = ()
    grouped: bool = False
    columns: tuple[str, ...] = ()
    answers_by_option: bool = False

    def match(self, record: Record) -> int:
        """Return how many keys of a record its best signature explains; 0 if none fits."""
        keys = set(record)
        if self.excluded & keys:
            return 0
        return max((len(keys_) for keys_ in self.signatures if keys_ <= keys), default=0)

    def recognises(self, record: Record) -> bool:
        """Say whether a record has the form of this format."""
        return self.match(record) > 0

    @property
    def description(self) -> str:
        """The format's name and the keys it is known by, for messages."""
        forms = " or ".join("{" + ", ".join(sorted(keys)) + "}" for keys in self.signatures)
        return f"{self.name} with {forms}"


def signatures(*forms: str) -> tuple[frozenset[str], ...]:
    """Return key sets from strings of space-separated keys."""
    return tuple(frozenset(form.split()) for form in forms)
