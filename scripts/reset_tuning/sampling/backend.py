"""The interface between what is to be generated and the backend that generates it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

STOP = "stop"  # the model ended its answer
LENGTH = "length"  # the limit of new tokens ended it
CONTENT_FILTER = "content_filter"  # a server's filter withheld the answer
PROMPT_TOO_LONG = "prompt_too_long"  # the prompt left no room for any answer


@dataclass(frozen=True)
class Setting:
    """How one output is drawn: temperature 0 is greedy, top_k 0 is off, the seed is its own."""

    temperature: float
    top_k: int
    seed: int


@dataclass(frozen=True)
class Request:
    """A tokenised prompt (BOS included) with its text, its settings and its limit."""

    prompt_ids: tuple[int, ...]
    settings: tuple[Setting, ...]
    max_new_tokens: int
    text: str = ""


@dataclass(frozen=True)
class Completion:
    """An output's text, its number of tokens without EOS, and why it ended (see above).

    `temperature` and `top_k` are what the engine used, in the meaning of Setting.
    """

    output: str
    n_tokens: int
    finish_reason: str
    temperature: float
    top_k: int


# (index of the request, its completions in the order of its settings); None stands for a draw that
# got none, after which the backend raises
Completed = tuple[int, tuple[Completion | None, ...]]


class Backend(Protocol):
    """Anything that decodes requests; each yielded list is finished work that may be stored.

    A request's completions depend on the request alone: not on the others, nor on their order.
    """

    def generate(self, requests: Sequence[Request]) -> Iterator[list[Completed]]:
        """Yield every request's completions, some requests at a time, in any order.

        Raises InputError for a request that the model cannot read or the engine will not answer.
        """
        ...


BackendFactory = Callable[[], Backend]
