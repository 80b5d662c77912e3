"""The interface between what is to be generated and the backend that generates it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

STOP = "stop"  # the model ended its answer
LENGTH = "length"  # the limit of new tokens, or of the context, ended it


@dataclass(frozen=True)
class Setting:
    """How one output is drawn: temperature 0 is greedy, top_k 0 is off, the seed is its own."""

    temperature: float
    top_k: int
    seed: int


@dataclass(frozen=True)
class Request:
    """A tokenised prompt (BOS included), the settings to decode it with and its limit."""

    prompt_ids: tuple[int, ...]
    settings: tuple[Setting, ...]
    max_new_tokens: int


@dataclass(frozen=True)
class Completion:
    """An output's text, its number of tokens without EOS, and why it ended (`stop`, `length`)."""

    output: str
    n_tokens: int
    finish_reason: str


# (index of the request, its completions in the order of its settings)
Completed = tuple[int, tuple[Completion, ...]]


class Backend(Protocol):
    """Anything that decodes requests; each yielded list is finished work that may be stored.

    A request's completions depend on the request alone: not on the others, nor on their order.
    """

    def generate(self, requests: Sequence[Request]) -> Iterator[list[Completed]]:
        """Yield every request's completions, some requests at a time, in any order."""
        ...


BackendFactory = Callable[[], Backend]
