"""What the judges will cost: requests, tokens and dollars, less what is on record already."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reset_tuning.data.prompts import INSTRUCTION_KIND
from reset_tuning.judging.prices import Price, Usage
from reset_tuning.judging.records import Records
from reset_tuning.judging.replies import BATCH, LIVE, is_asked_for
from reset_tuning.judging.requests import JudgeRequest, build_request
from reset_tuning.planning.expectations import (
    ASSUMED,
    MEASURED,
    Expectations,
    least_certain,
)
from reset_tuning.planning.jobs import PlannedJob
from reset_tuning.planning.work import JUDGE_RULES, Workload
from reset_tuning.scoring.outputs import read_outputs
from reset_tuning.scoring.table import is_empty


@dataclass(frozen=True)
class JudgeCost:
    """Requests that one judge will get in one rule's jobs, with their tokens and dollars.

    `recorded` requests are answered from the records and cost nothing.
    """

    requests: float = 0.0
    recorded: float = 0.0
    prompt_tokens: float = 0.0
    completion_tokens: float = 0.0
    dollars: float = 0.0
    basis: str = "known"

    @property
    def tokens(self) -> float:
        """Tokens of prompts and replies together."""
        return self.prompt_tokens + self.completion_tokens

    def plus(self, other: "JudgeCost") -> "JudgeCost":
        """Return both costs as one."""
        names = ("requests", "recorded", "prompt_tokens", "completion_tokens", "dollars")
        sums = {name: getattr(self, name) + getattr(other, name) for name in names}
        return JudgeCost(**sums, basis=least_certain([self.basis, other.basis]))


class JudgeCosts:
    """The costs of the judges of an experiment.

    `prompts` are the judges' prompts by name. Replies on record say how long replies are; before
    there are any, resources/planning/sources.yaml does.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        prompts: Mapping[str, Mapping[str, str]],
        workload: Workload,
        expectations: Expectations,
    ) -> None:
        self._config = config
        self._prompts = prompts
        self._workload = workload
        self._expectations = expectations
        self._known = expectations.judging
        self._usage: dict[str, Usage] = {}
        self._counted: set[str] = set()  # requests that an earlier job of the plan will pay for

    def of(self, job: PlannedJob) -> JudgeCost:
        """Return what a job of a judge's rule will cost."""
        assert job.rule in JUDGE_RULES
        judge = job.wildcards["judge"]
        spec = self._config["judges"][judge]
        if spec.get("mode") == "replay":
            return JudgeCost(recorded=self._workload.judged(job.wildcards).count)
        if (requests := self._written_requests(job)) is not None:
            return self._exact(judge, requests)
        rows = self._workload.judged(job.wildcards)
        usage = self._recorded(judge)
        prompt = self._header(judge) + rows.prompt - self._known["template_tokens"] + rows.response
        reply, basis = self._reply_tokens(usage), ASSUMED
        if sum(usage.completion_tokens.values()):
            prompt, basis = sum(usage.prompt_tokens.values()) / usage.replies, MEASURED
        # Short answers of a small world are often equal, and equal requests are sent once.
        is_pool = "decoding" in job.wildcards
        count = rows.count * (1.0 if is_pool else self._expectations.new_share)
        return self._priced(
            judge, count, 0, count * prompt, count * reply,
            least_certain([rows.basis, basis]),
        )  # fmt: skip

    def _exact(self, judge: str, requests: Mapping[str, JudgeRequest]) -> JudgeCost:
        """Return the cost of requests that are known word for word."""
        spec = self._config["judges"][judge]
        folder = Path(self._config["paths"]["records"])
        records = Records(folder, judge, requests.keys(), lambda model: is_asked_for(model, spec))
        records.refresh()
        known = records.replies.keys() | self._counted
        missing = [item for key, item in requests.items() if key not in known]
        self._counted |= requests.keys()
        reply = self._reply_tokens(records.usage)
        prompt = (
            sum(len((r.system + r.user).encode()) for r in missing) / self._known["bytes_per_token"]
        )
        return self._priced(
            judge, len(missing), len(requests) - len(missing), prompt, len(missing) * reply,
            MEASURED if records.usage.replies else ASSUMED,
        )  # fmt: skip

    def _priced(
        self, judge: str, requests: float, recorded: float, prompt: float, reply: float, basis: str
    ) -> JudgeCost:
        spec = self._config["judges"][judge]
        price, via = Price.of(spec.get("price", {})), BATCH if spec.get("mode") == BATCH else LIVE
        dollars = price.dollars(round(prompt), round(reply), via)
        return JudgeCost(requests, recorded, prompt, reply, dollars, basis)

    def _written_requests(self, job: PlannedJob) -> dict[str, JudgeRequest] | None:
        """Return the distinct requests of outputs that are there already, or None."""
        results = self._expectations.results
        names = [str(Path(name).relative_to(results)) for name in job.inputs
                 if Path(name).is_relative_to(results)]  # fmt: skip
        files = [self._expectations.finished(name) for name in names]
        if not files or None in files or len(files) != len(job.inputs):
            return None
        outputs, *examples = [file for file in files if file is not None]
        rows = read_outputs(outputs, examples)
        rows = rows[rows["kind"] == INSTRUCTION_KIND]
        judge = job.wildcards["judge"]
        spec, prompt = self._config["judges"][judge], self._prompts[judge]
        requests = [
            build_request(spec, prompt, question, answer)
            for question, answer in zip(rows["instruction"], rows["output"], strict=True)
            if not is_empty(answer)
        ]
        return {request.key: request for request in requests}

    def _reply_tokens(self, usage: Usage) -> float:
        """Return the tokens of a reply: of those on record, where these tell any."""
        known = sum(usage.completion_tokens.values())
        return known / usage.replies if known else self._known["reply_tokens"]

    def _header(self, judge: str) -> float:
        """Return the tokens of a judge's prompt without question and answer."""
        prompt = self._prompts[judge]
        return len((prompt["system"] + prompt["user"]).encode()) / self._known["bytes_per_token"]

    def _recorded(self, judge: str) -> Usage:
        if judge not in self._usage:
            records = Records(Path(self._config["paths"]["records"]), judge)
            records.refresh()
            self._usage[judge] = records.usage
        return self._usage[judge]


def total(costs: Sequence[JudgeCost]) -> JudgeCost:
    """Return the sum of costs."""
    result = JudgeCost()
    for cost in costs:
        result = result.plus(cost)
    return result
