"""What a judge costs: prices, what its records have cost, and the budget that stops it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from reset_tuning.judging.replies import JudgeReply
from reset_tuning.judging.requests import JudgeRequest

_MILLION = 1_000_000


@dataclass(frozen=True)
class Price:
    """Dollars per million tokens; nothing for a judge of one's own."""

    prompt: float = 0.0
    completion: float = 0.0

    @classmethod
    def of(cls, price: Mapping[str, float], is_batch: bool = False) -> "Price":
        """Return the price of a judge of the config; the batch API may have a discount."""
        factor = 1.0 - price.get("batch_discount", 0.0) if is_batch else 1.0
        return cls(price.get("prompt", 0.0) * factor, price.get("completion", 0.0) * factor)

    def dollars(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return the cost of so many tokens."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / _MILLION

    def most(self, request: JudgeRequest) -> float:
        """Return what a request costs if the reply is as long as it may be."""
        return self.dollars(request.prompt_tokens, request.max_tokens)


@dataclass
class Usage:
    """Tokens of replies that were paid for."""

    replies: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, prompt_tokens: int | None, completion_tokens: int | None) -> None:
        """Count one reply; an endpoint that reports no usage counts as no tokens."""
        self.replies += 1
        self.prompt_tokens += prompt_tokens or 0
        self.completion_tokens += completion_tokens or 0


@dataclass
class Budget:
    """Admits requests as long as the dearest outcome stays within a number of dollars.

    `usage` is what the judge's records hold, also those of other jobs and experiments; `limit` None
    admits everything.
    """

    price: Price
    limit: float | None
    usage: Usage
    _reserved: dict[str, float] = field(default_factory=dict)

    @property
    def spent(self) -> float:
        """Dollars for the replies on record."""
        return self.price.dollars(self.usage.prompt_tokens, self.usage.completion_tokens)

    def admit(self, request: JudgeRequest) -> bool:
        """Reserve the cost of a request, or return False when it could pass the limit."""
        cost = self.price.most(request)
        if self.limit is not None:
            if self.spent + sum(self._reserved.values()) + cost > self.limit:
                return False
            self._reserved[request.key] = cost
        return True

    def settle(self, request: JudgeRequest, reply: JudgeReply) -> None:
        """Free what was reserved: a reply is in the usage by now, an HTTP error costs nothing.

        What an endpoint sent that was no reply may have been billed and stays reserved.
        """
        if reply.error is None or not reply.error.startswith("invalid_reply"):
            self._reserved.pop(request.key, None)


def estimate(requests: Iterable[JudgeRequest], usage: Usage, price: Price) -> tuple[int, float]:
    """Return the tokens and dollars to expect of requests.

    Replies are taken to be as long as those on record, or as long as they may be where there is
    none yet.
    """
    prompt = completion = 0
    mean = usage.completion_tokens / usage.replies if usage.completion_tokens else None
    for request in requests:
        prompt += request.prompt_tokens
        completion += request.max_tokens if mean is None else round(mean)
    return prompt + completion, price.dollars(prompt, completion)
