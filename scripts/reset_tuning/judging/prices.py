"""What a judge costs: prices, what its records have cost, and the budget that stops it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from reset_tuning.judging.replies import BATCH, INVALID_REPLY, LIVE, JudgeReply
from reset_tuning.judging.requests import JudgeRequest

_MILLION = 1_000_000


@dataclass(frozen=True)
class Price:
    """Dollars per million tokens; nothing for a judge of one's own.

    `batch_discount` is the share that the provider's batch API takes off.
    """

    prompt: float = 0.0
    completion: float = 0.0
    batch_discount: float = 0.0

    @classmethod
    def of(cls, price: Mapping[str, float]) -> "Price":
        """Return the price of a judge of the config."""
        return cls(**{name: float(value) for name, value in price.items()})

    def dollars(self, prompt_tokens: int, completion_tokens: int, via: str = LIVE) -> float:
        """Return the cost of so many tokens, bought live or in a batch."""
        factor = 1.0 - self.batch_discount if via == BATCH else 1.0
        tokens = prompt_tokens * self.prompt + completion_tokens * self.completion
        return factor * tokens / _MILLION


@dataclass
class Usage:
    """Tokens of replies that were paid for, by how they were bought."""

    replies: int = 0
    prompt_tokens: dict[str, int] = field(default_factory=lambda: {LIVE: 0, BATCH: 0})
    completion_tokens: dict[str, int] = field(default_factory=lambda: {LIVE: 0, BATCH: 0})

    def add(
        self, prompt_tokens: int | None, completion_tokens: int | None, via: str = LIVE
    ) -> None:
        """Count one reply; an endpoint that reports no usage counts as no tokens."""
        self.replies += 1
        self.prompt_tokens[via] += prompt_tokens or 0
        self.completion_tokens[via] += completion_tokens or 0

    def dollars(self, price: Price) -> float:
        """Return what these tokens cost."""
        return sum(
            price.dollars(self.prompt_tokens[via], self.completion_tokens[via], via)
            for via in (LIVE, BATCH)
        )


@dataclass
class Budget:
    """Admits requests as long as the dearest outcome stays within a number of dollars.

    `usage` is what the judge's records hold, also those of other jobs and experiments; `limit` None
    admits everything. `via` is how requests are sent.
    """

    price: Price
    limit: float | None
    usage: Usage
    via: str = LIVE
    _reserved: dict[str, float] = field(default_factory=dict)

    @property
    def spent(self) -> float:
        """Dollars for the replies on record."""
        return self.usage.dollars(self.price)

    def most(self, request: JudgeRequest) -> float:
        """Return what a request costs if the reply is as long as it may be."""
        return self.price.dollars(request.prompt_tokens, request.max_tokens, self.via)

    def admit(self, request: JudgeRequest) -> bool:
        """Reserve the cost of a request, or return False when it could pass the limit."""
        cost = self.most(request)
        if self.limit is not None:
            if self.spent + sum(self._reserved.values()) + cost > self.limit:
                return False
            self._reserved[request.key] = cost
        return True

    def settle(self, request: JudgeRequest, reply: JudgeReply) -> None:
        """Free what was reserved: a reply is in the usage by now, an HTTP error costs nothing.

        What an endpoint sent that was no reply may have been billed and stays reserved, unless it
        said what it cost.
        """
        if reply.kind != INVALID_REPLY or any(reply.tokens):
            self._reserved.pop(request.key, None)

    def estimate(self, requests: Iterable[JudgeRequest]) -> tuple[int, float]:
        """Return the tokens and dollars to expect of requests.

        Replies are taken to be as long as those on record, or as long as they may be where there is
        none yet.
        """
        prompt = completion = 0
        known = sum(self.usage.completion_tokens.values())
        mean = known / self.usage.replies if known else None
        for request in requests:
            prompt += request.prompt_tokens
            completion += request.max_tokens if mean is None else round(mean)
        return prompt + completion, self.price.dollars(prompt, completion, self.via)
