"""From outputs to a judgment table: what is recorded is reused, the rest is asked once."""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from reset_tuning.claims import Claims
from reset_tuning.errors import InputError
from reset_tuning.judging.batch import SentBatches, Waiting, ask_batch
from reset_tuning.judging.canaries import Canary, count_usage, judge_canaries
from reset_tuning.judging.client import (
    AUTHENTICATION,
    BUDGET,
    NO_MODEL,
    OF_THE_REQUEST,
    QUOTA,
    Limits,
    OnReply,
    ask_all,
)
from reset_tuning.judging.prices import Budget, Price
from reset_tuning.judging.records import Records
from reset_tuning.judging.replies import (
    BATCH,
    EMPTY_OUTPUT,
    INVALID_REPLY,
    LIVE,
    JudgeReply,
    is_asked_for,
    unsent,
)
from reset_tuning.judging.requests import JudgeRequest, build_request, in_parts
from reset_tuning.judging.server import Endpoint, endpoint_name, judge_endpoint
from reset_tuning.reuse import count_known
from reset_tuning.scoring.outputs import read_outputs
from reset_tuning.scoring.table import KEY_COLUMNS, is_empty
from reset_tuning.tables import write_table

KIND = "instruction"
MODES = ("live", "replay", "batch")
_CLAIMS_AT_ONCE = 64  # requests claimed before the records are read again
_LOOK_SECONDS = 1.0  # between two looks at what other jobs have answered


_ENDS_THE_JOB = (QUOTA, BUDGET, NO_MODEL)


@dataclass(frozen=True)
class Policy:
    """How a judge is used; none of it changes what it replies.

    `max_budget` is in dollars over all that the judge's records hold. More than `max_failure_share`
    of a table's requests without a reply stop the job, since the table would stay.
    """

    mode: str = "live"
    price: Mapping[str, float] = field(default_factory=dict)
    max_budget: float | None = None
    max_failure_share: float = 1.0
    canaries: Sequence[Canary] = ()
    waiting: Waiting = field(default_factory=Waiting)


def query_judge(
    outputs: Path,
    examples: list[Path],
    judgments: Path,
    judge: str,
    spec: Mapping[str, Any],
    prompt: Mapping[str, str],
    records: Path,
    limits: Limits | None = None,
    policy: Policy | None = None,
) -> None:
    """Have every output of an instruction judged, and write what the judge said, verbatim.

    Equal (question, answer) pairs are sent once; replies under `records` are never asked for again,
    whoever asked, also while several jobs ask at once; an empty output is not sent. A request
    without a reply is a row with an error. Raises InputError when the judge's key is missing or
    rejected, its account or budget empty, its model gone or another one answering, when too many
    requests got no reply, and in a replay when the records lack one.
    """
    rows = read_outputs(outputs, examples)
    rows = rows[rows["kind"] == KIND].reset_index(drop=True)
    requests = [
        None if is_empty(answer) else build_request(spec, prompt, question, answer)
        for question, answer in zip(rows["instruction"], rows["output"], strict=True)
    ]
    distinct = {item.key: item for item in requests if item}
    session = _Session(judge, spec, prompt, records, limits or Limits(), policy or Policy())
    replies = session.replies(distinct)
    not_sent = JudgeReply(spec["model"], error=EMPTY_OUTPUT)
    ordered = [replies[item.key] if item else not_sent for item in requests]
    _log_outcome(ordered, judge)
    keys = [item.key if item else None for item in requests]
    write_table(_judgment_rows(rows, keys, ordered, judge), judgments, "judgment")


@dataclass(frozen=True)
class _Session:
    """One job's dealings with one judge."""

    judge: str
    spec: Mapping[str, Any]
    prompt: Mapping[str, str]
    records: Path
    limits: Limits
    policy: Policy

    def replies(self, requests: Mapping[str, JudgeRequest]) -> dict[str, JudgeReply]:
        """Return one reply for each distinct request, from the records or from the judge."""
        if self.policy.mode not in MODES:
            allowed = ", ".join(MODES)
            raise InputError(
                f"judges.{self.judge}.mode is {self.policy.mode!r}, but must be one of {allowed}"
            )
        with Records(self.records, self.judge, requests.keys(), self._accepts) as records:
            records.refresh()
            missing = [item for key, item in requests.items() if key not in records.replies]
            count_known(len(requests) - len(missing), len(requests))
            if self.policy.mode == "replay":
                return self._recorded(requests, records)
            if self.policy.mode == BATCH and not records.replies:
                # A batch asks for all at once: another model would be paid for whole again.
                _check_models(records.strays, self.judge, self.spec)
            budget = self._budget(records, missing)
            _log_strays(records.strays, self.judge)
            if missing:
                n_known = len(records.replies)
                asked = self._ask(missing, records, budget)
                _check_models(asked, self.judge, self.spec)
                self._check_answered(asked, budget, len(requests), is_known=n_known > 0)
            return {key: records.outcome(key) or asked[key] for key in requests}

    def _accepts(self, model: str) -> bool:
        """Tell whether a reply that a model says it gave is one of this judge."""
        return is_asked_for(model, self.spec)

    def _recorded(
        self, requests: Mapping[str, JudgeRequest], records: Records
    ) -> dict[str, JudgeReply]:
        """Return what is on record, without asking anyone.

        Failures are included, other than those that end a job: they are no result of a request.
        """
        failures = {
            key: reply
            for key, reply in records.failures.items()
            if reply.was_sent and reply.kind not in _ENDS_THE_JOB
        }
        known = failures | records.replies
        strays = {key: reply for key, reply in records.strays.items() if key not in known}
        _check_models(strays, self.judge, self.spec)
        missing = requests.keys() - known.keys()
        if missing:
            raise InputError(
                f"{self.judge} is replayed, but {records.directory} lacks {len(missing)} of "
                f"{len(requests)} replies (first: {min(missing)}): set judges.{self.judge}.mode to "
                "live, or bring the records of the run that is replayed"
            )
        return {key: records.outcome(key) or known[key] for key in requests}

    def _budget(self, records: Records, missing: Sequence[JudgeRequest]) -> Budget:
        """Return the judge's budget, and log what the missing replies are expected to cost."""
        via = BATCH if self.policy.mode == "batch" else LIVE
        count_usage(self.judge, self.records, records.usage)
        budget = Budget(Price.of(self.policy.price), self.policy.max_budget, records.usage, via)
        tokens, dollars = budget.estimate(missing)
        limit = "no limit" if budget.limit is None else f"limit ${budget.limit:.2f}"
        logging.info(
            "%s: %d recorded replies, %d to ask for (about %d tokens, $%.2f); on record $%.2f, %s",
            self.judge, len(records.replies), len(missing), tokens, dollars, budget.spent, limit,
        )  # fmt: skip
        return budget

    def _ask(
        self, missing: Sequence[JudgeRequest], records: Records, budget: Budget
    ) -> dict[str, JudgeReply]:
        """Ask for what no other job asks for, and wait for the others' replies."""
        outcomes: dict[str, JudgeReply] = {}
        with (
            Claims(records.directory / "claims") as claims,
            judge_endpoint(self.spec, self.judge) as endpoint,
        ):
            while missing:
                elsewhere: list[JudgeRequest] = []
                free = _unclaimed(missing, claims, records, elsewhere)
                outcomes |= self._send(free, len(missing), endpoint, claims, records, budget)
                missing = [item for item in elsewhere if item.key not in records.replies]
                if stopped := _stopped(outcomes.values()):
                    outcomes |= {item.key: unsent(item.model, stopped) for item in missing}
                    break
                if missing:
                    logging.info("%s: another job asks for %d replies", self.judge, len(missing))
                    time.sleep(_LOOK_SECONDS)
                    records.refresh(is_contended=True)
            if self.policy.canaries and outcomes and not _stopped(outcomes.values()):
                self._judge_canaries(endpoint, budget)
        return outcomes

    def _send(
        self,
        requests: Iterator[JudgeRequest],
        total: int,
        endpoint: Endpoint,
        claims: Claims,
        records: Records,
        budget: Budget,
    ) -> dict[str, JudgeReply]:
        """Ask the judge, live or in batches, and keep every outcome as it comes."""

        def finish(request: JudgeRequest, reply: JudgeReply) -> None:
            if reply.was_sent:
                records.store(request, reply)
            budget.settle(request, reply)
            claims.release(request.key)

        if self.policy.mode == "live":
            return ask_all(
                requests, endpoint, self.limits, finish, budget, total,
                is_expected=lambda reply: self._accepts(reply.model),
            )  # fmt: skip
        with SentBatches(records.directory / "batches") as sent:
            return self._ask_batch(requests, endpoint, budget, finish, sent)

    def _ask_batch(
        self,
        requests: Iterator[JudgeRequest],
        endpoint: Endpoint,
        budget: Budget,
        finish: OnReply,
        sent: SentBatches,
    ) -> dict[str, JudgeReply]:
        """Ask in batches for what the budget admits."""
        admitted, refused = [], {}
        for request in requests:
            if budget.admit(request):
                admitted.append(request)
            else:
                refused[request.key] = unsent(request.model, BUDGET)
        if not admitted:
            return refused
        waiting = self.policy.waiting
        return refused | ask_batch(admitted, endpoint, self.limits, finish, sent, waiting)

    def _judge_canaries(self, endpoint: Endpoint, budget: Budget) -> None:
        live = replace(budget, via=LIVE)  # of the same usage and reservations
        judge_canaries(
            self.policy.canaries, self.judge, self.spec, self.prompt, self.records, endpoint,
            self.limits, live,
        )  # fmt: skip

    def _check_answered(
        self, asked: Mapping[str, JudgeReply], budget: Budget, total: int, *, is_known: bool
    ) -> None:
        """Raise InputError when the judge did not answer, or too few of the table's requests.

        `total` counts those that were known too: else the few that never get a reply, all that a
        later job asks for, would stop it. `is_known` says that there were such: then requests that
        the judge rejects for what they hold, or has nothing usable to say to, are no silence.
        """
        ends = (*_ENDS_THE_JOB, _stopped(asked.values()))
        failed = [reply for reply in asked.values() if reply.error]
        errors = [str(reply.error) for reply in failed]
        lasting = [str(reply.error) for reply in failed if reply.kind not in OF_THE_REQUEST]
        decisive = [str(reply.error) for reply in failed if reply.kind in ends]
        is_down = any(reply.kind not in (*OF_THE_REQUEST, INVALID_REPLY) for reply in failed)
        is_silent = bool(errors) and len(errors) == len(asked) and (not is_known or is_down)
        too_many = len(lasting) > self.policy.max_failure_share * total
        if not (decisive or is_silent or too_many):
            return
        first = (decisive or lasting or errors)[0]
        n_unsent = sum(not reply.was_sent for reply in failed)
        count = f"{len(errors)} of {total} requests without a reply"
        count += f", {n_unsent} of them not sent" if n_unsent else ""
        raise InputError(
            f"the judge {self.judge} left {count} ({first}): "
            f"{self._advice(first, errors, budget)} and start again; replies already received stay "
            "in the records"
        )

    def _advice(self, first: str, errors: Sequence[str], budget: Budget) -> str:
        name = f"judges.{self.judge}"
        if first.startswith(QUOTA):
            return "fill up its account"
        if first.startswith(BUDGET):
            return f"${budget.spent:.2f} are spent, raise {name}.max_budget above {budget.limit:g}"
        if first.startswith(NO_MODEL):
            return (
                f"{name}.model {self.spec['model']} is not served (any more) at "
                f"{endpoint_name(self.spec)}, name a model that is, record the change of the judge "
                "among the deviations from the paper,"
            )
        if all(error.startswith(AUTHENTICATION) for error in errors):
            variable = self.spec.get("api_key_variable", "api_key_variable")
            return f"the endpoint rejected its key, check {variable}"
        return f"check {name} and that its endpoint can be reached"


def _unclaimed(
    requests: Sequence[JudgeRequest],
    claims: Claims,
    records: Records,
    elsewhere: list[JudgeRequest],
) -> Iterator[JudgeRequest]:
    """Yield the requests that are ours to ask; those that another job has claimed go `elsewhere`.

    The records are read again after every claim: the reply may have come just before it.
    """
    for part in in_parts(requests, _CLAIMS_AT_ONCE):
        claimed = [(request, claims.take(request.key)) for request in part]
        records.refresh(is_contended=True)
        for request, is_ours in claimed:
            if not is_ours:
                elsewhere.append(request)
            elif request.key in records.replies:
                claims.release(request.key)
            else:
                yield request


def _check_models(replies: Mapping[str, JudgeReply], judge: str, spec: Mapping[str, Any]) -> None:
    """Raise InputError when a model replied that nobody asked for; its replies stay on record."""
    name = f"judges.{judge}"
    wrong = {reply.model for reply in replies.values() if not is_asked_for(reply.model, spec)}
    if wrong:
        raise InputError(
            f"{name}.model is {spec['model']}, but {', '.join(sorted(wrong))} answered: "
            f"put the name under {name}.accept_models if it is the same model, or ask another "
            "endpoint (the replies are on record)"
        )


def _log_strays(strays: Mapping[str, JudgeReply], judge: str) -> None:
    if strays:
        models = ", ".join(sorted({reply.model for reply in strays.values()}))
        logging.warning(
            "%s: %d recorded replies are of %s and count as missing: asked for again",
            judge, len(strays), models,
        )  # fmt: skip


def _stopped(replies: Iterable[JudgeReply]) -> str | None:
    """Return the kind of failure for which requests were not sent, if there are such."""
    return next((reply.kind for reply in replies if not reply.was_sent), None)


def _log_outcome(replies: list[JudgeReply], judge: str) -> None:
    kinds = Counter(reply.kind for reply in replies if reply.kind)
    for kind, count in sorted(kinds.items()):
        logging.warning("%s: %d of %d rows: %s", judge, count, len(replies), kind)


def _judgment_rows(
    rows: pd.DataFrame, keys: list[str | None], replies: list[JudgeReply], judge: str
) -> pd.DataFrame:
    def column(name: str, dtype: str) -> pd.Series:
        values = [getattr(reply, name) for reply in replies]
        return pd.Series(values, index=rows.index, dtype=dtype)

    return rows[KEY_COLUMNS].assign(
        judge=pd.Series([judge] * len(rows), index=rows.index, dtype="str"),
        request=pd.Series(keys, index=rows.index, dtype="str"),
        model=column("model", "str"),
        fingerprint=column("fingerprint", "str"),
        reply=column("reply", "str"),
        finish_reason=column("finish_reason", "str"),
        error=column("error", "str"),
        prompt_tokens=column("prompt_tokens", "Int64"),
        completion_tokens=column("completion_tokens", "Int64"),
        via=pd.Series(
            [reply.via if reply.response or any(reply.tokens) else None for reply in replies],
            index=rows.index,
            dtype="str",
        ),
    )
