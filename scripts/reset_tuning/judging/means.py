"""How a judge is asked, from the resources of a rule, which are text: "none" is no value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from reset_tuning.judging.canaries import Canary
from reset_tuning.judging.client import Limits
from reset_tuning.judging.query import Policy


@dataclass(frozen=True)
class Means:
    """The resources of every rule that asks a judge; none of them changes what it replies."""

    api_key_variable: str
    ready_minutes: str
    concurrency: str
    mode: str
    max_budget: str
    max_failure_share: str
    requests_per_minute: str
    tokens_per_minute: str
    prompt_price: str
    completion_price: str
    batch_discount: str

    @classmethod
    def of(cls, resources: Mapping[str, Any]) -> "Means":
        """Take what is asked for here from all resources of a job."""
        return cls(**{field.name: str(resources[field.name]) for field in fields(cls)})

    def limits(self) -> Limits:
        """Return how hard the endpoint may be pressed."""
        return Limits(
            concurrency=int(self.concurrency),
            requests_per_minute=_number(self.requests_per_minute),
            tokens_per_minute=_number(self.tokens_per_minute),
        )

    def policy(self, canaries: Sequence[Canary] = ()) -> Policy:
        """Return how the judge is used, and which canaries it rates besides."""
        return Policy(
            mode=self.mode,
            price={
                "prompt": float(self.prompt_price),
                "completion": float(self.completion_price),
                "batch_discount": float(self.batch_discount),
            },
            max_budget=_number(self.max_budget),
            max_failure_share=float(self.max_failure_share),
            canaries=canaries,
        )

    def reached(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Return a judge's spec with what says how to reach it and changes no reply."""
        reached = dict(spec)
        if self.api_key_variable != "none":
            reached["api_key_variable"] = self.api_key_variable
        if isinstance(spec.get("server"), Mapping):
            reached["server"] = spec["server"] | {"ready_minutes": float(self.ready_minutes)}
        return reached


def _number(text: str) -> float | None:
    return None if text == "none" else float(text)
