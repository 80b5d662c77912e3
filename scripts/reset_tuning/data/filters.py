"""The named filters of the config: what the paper keeps of each dataset, one rule at a time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reset_tuning.config import TRAINING_RULES
from reset_tuning.data.candidates import Candidate
from reset_tuning.errors import InputError

Keep = Callable[[Candidate], bool]


@dataclass(frozen=True)
class NamedFilter:
    """A rule's name, as it stands in config and ledger, and the test that a candidate must pass.

    DUPLICATE_INSTRUCTION and TRAINING_RULES have none: they look at all candidates at once, see
    `examples`.
    """

    name: str
    keep: Keep | None


def _is_blank(text: str | None) -> bool:
    return not (text or "").strip()


def _has_reference(candidate: Candidate) -> bool:
    """Whether there is a first reference, the one that is trained on, and some text in it."""
    return bool(candidate.references) and not _is_blank(candidate.references[0])


def empty_instruction() -> Keep:
    """Drop examples without an instruction."""
    return lambda candidate: not _is_blank(candidate.instruction)


def empty_response() -> Keep:
    """Drop examples without a response or reference."""
    return _has_reference


def has_context() -> Keep:
    """Drop instructions that originally come with a context, as the paper does."""
    return lambda candidate: not candidate.needs_context and _is_blank(candidate.context)


def short_response(words: int = 10) -> Keep:
    """Drop responses of `words` white-space words or fewer (the paper keeps more than 10)."""
    return lambda candidate: any(len(text.split()) > words for text in candidate.references[:1])


def language(languages: Sequence[str] = ("en",)) -> Keep:
    """Drop examples in another language, or of none known."""
    allowed = frozenset(languages)
    return lambda candidate: candidate.language in allowed


def low_rating(above: float = 0.5, annotators: int = 2) -> Keep:
    """Drop replies rated `above` or less, or by fewer than `annotators` people."""

    def keep(candidate: Candidate) -> bool:
        rating = candidate.rating
        return rating is not None and rating > above and candidate.raters >= annotators

    return keep


def no_answer() -> Keep:
    """Drop questions without an answer."""
    return _has_reference


def empty_question() -> Keep:
    """Drop examples without a question."""
    return lambda candidate: not _is_blank(candidate.question)


def gold_in_passages() -> Keep:
    """Drop questions none of whose chosen passages holds (or is marked as holding) the answer."""
    return lambda candidate: bool(candidate.gold_ranks)


def empty_context() -> Keep:
    """Drop examples without a context."""
    return lambda candidate: not _is_blank(candidate.context)


def _fault(name: str) -> Callable[[], Keep]:
    """Return a filter that drops what the reader marked with this fault."""
    return lambda: lambda candidate: name not in candidate.faults


DUPLICATE_INSTRUCTION = "duplicate_instruction"
NO_ANSWER = "no_answer"
FILTERS: dict[str, Callable[..., Keep]] = {
    "empty_instruction": empty_instruction,
    "empty_response": empty_response,
    "has_context": has_context,
    "short_response": short_response,
    "language": language,
    "low_rating": low_rating,
    NO_ANSWER: no_answer,
    "gold_not_in_passages": gold_in_passages,
    "no_selected_passage": gold_in_passages,
    "empty_context": empty_context,
    "empty_question": empty_question,
    "not_assistant_pair": _fault("not_assistant_pair"),
    "repeated_message": _fault("repeated_message"),
    "later_chunk": _fault("later_chunk"),
    "no_human_assistant_pair": _fault("no_human_assistant_pair"),
    "no_context": _fault("no_context"),
    "unsupported_type": _fault("unsupported_type"),
}
FILTER_NAMES = (*FILTERS, DUPLICATE_INSTRUCTION, *TRAINING_RULES)


def build_filters(
    dataset: str, items: Sequence[str | Mapping[str, Any]], format_rules: Sequence[str]
) -> list[NamedFilter]:
    """Return a dataset's filters in order: its format's own rules, then those of the config.

    `items` are names or {name: options}. A rule that the config lists stands where the config puts
    it. A format's rule that is none of FILTERS is a fault that its reader marks. Raises InputError
    for a name or an option that does not exist.
    """
    listed = [filter_name(dataset, item) for item in items]
    own = [rule for rule in format_rules if rule not in dict(listed)]
    return [
        *(NamedFilter(rule, FILTERS.get(rule, _fault(rule))()) for rule in own),
        *(NamedFilter(name, _build(dataset, name, options)) for name, options in listed),
    ]


def filter_name(dataset: str, item: str | Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return the name and the options of an entry of `filters`."""
    if isinstance(item, str):
        return item, {}
    if not isinstance(item, Mapping) or len(item) != 1:
        raise InputError(
            f"datasets.{dataset}.filters: {item!r} is neither a filter's name nor {{name: options}}"
        )
    name, options = next(iter(item.items()))
    return name, options or {}


def _build(dataset: str, name: str, options: Mapping[str, Any]) -> Keep | None:
    if name in TRAINING_RULES and set(options) <= {"kinds"}:
        return None  # `kinds` decides which training tables the split is given
    if name == DUPLICATE_INSTRUCTION and not options:
        return None
    if name not in FILTER_NAMES:
        raise InputError(
            f"datasets.{dataset}.filters: {name!r} is not a filter; "
            f"allowed are {', '.join(sorted(FILTER_NAMES))}"
        )
    try:
        return FILTERS[name](**options)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"datasets.{dataset}.filters.{name} does not take the options "
            f"{', '.join(map(str, options))}"
        ) from error
