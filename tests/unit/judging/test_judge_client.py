import json
import re
import time
from collections.abc import Iterator
from email.utils import formatdate

import pytest
from scripted import Answer, Endpoint, completion

from reset_tuning.errors import InputError
from reset_tuning.judging import client
from reset_tuning.judging.client import Limits, ask_all
from reset_tuning.judging.pacing import Pace
from reset_tuning.judging.prices import Budget, Price, Usage
from reset_tuning.judging.replies import JudgeReply
from reset_tuning.judging.requests import JudgeRequest
from reset_tuning.judging.server import Endpoint as Address

LIMITS = Limits(concurrency=2, attempts=3, timeout_seconds=5, first_pause_seconds=0.01)
KEY = "sk-very-secret"


def request(text: str = "hello") -> JudgeRequest:
    return JudgeRequest("judge", "Judge.", text, 0.0, 512, "here")


def ask(endpoint: Endpoint, *texts: str, limits: Limits = LIMITS) -> list[JudgeReply]:
    requests = [request(text) for text in texts or ("hello",)]
    replies = ask_all(requests, Address(endpoint.base_url, KEY), limits, lambda *_: None)
    return [replies[item.key] for item in requests]


def error_body(message: str, code: str) -> str:
    return json.dumps({"error": {"message": message, "code": code, "type": code}})


def test_a_reply_is_returned_verbatim_with_its_usage(endpoint: Endpoint) -> None:
    (reply,) = ask(endpoint)
    assert (reply.reply, reply.finish_reason, reply.error) == ("Fine. Rating: [[7]]", "stop", None)
    assert (reply.model, reply.prompt_tokens, reply.completion_tokens) == ("judge-2024", 11, 5)
    assert reply.response == completion()
    assert endpoint.bodies == [request().body()]


@pytest.mark.parametrize(
    "faults",
    [
        [Answer(429, error_body("slow", "rate_limit"), {"retry-after-ms": "20"})] * 2,
        [Answer(500, "oops")],
        [Answer(200, completion()[:40])],
        [Answer(200, "<html>gateway</html>")],
        [Answer(200, json.dumps({"object": "chat.completion", "choices": None}))],
        [Answer(200, completion(content=None))],
        [Answer(0)],
    ],
    ids=["429 twice", "500", "truncated", "html", "no choices", "no text", "dropped"],
)
def test_a_passing_fault_costs_a_retry_and_nothing_else(
    endpoint: Endpoint, faults: list[Answer]
) -> None:
    endpoint.script = list(faults)
    (reply,) = ask(endpoint)
    assert reply.reply == "Fine. Rating: [[7]]"
    assert len(endpoint.bodies) == len(faults) + 1


@pytest.mark.parametrize(
    ("answer", "error", "calls"),
    [
        (Answer(429, error_body("slow", "rate_limit")), "rate_limit", 3),
        (Answer(500, "oops"), "server_error", 3),
        (Answer(0), "connection", 3),
        (Answer(200, completion()[:40]), "invalid_reply", 3),
        (Answer(200, "<html>gateway</html>"), "invalid_reply", 3),
        (Answer(200, "[]"), "invalid_reply", 3),
        (Answer(200, '{"choices": [7]}'), "invalid_reply", 3),
        (Answer(200, "[" * 100_000), "invalid_reply", 3),
        (Answer(200, '{"choices": [{"message": null}]}'), "invalid_reply", 3),
        (Answer(400, error_body("too long", "context_length_exceeded")), "http_400", 1),
        (Answer(404, error_body("no such model", "model_not_found")), "model_not_found", 1),
        (Answer(404, "no such page"), "http_404", 1),
        (Answer(429, error_body("pay", "insufficient_quota")), "insufficient_quota", 1),
        (Answer(401, error_body("bad key", "invalid_api_key")), "authentication", 1),
    ],
)
def test_a_lasting_fault_becomes_an_error(
    endpoint: Endpoint, answer: Answer, error: str, calls: int
) -> None:
    endpoint.default = answer
    (reply,) = ask(endpoint)
    assert reply.reply is None and reply.response is None
    assert re.match(rf"{error}: ", reply.error or "")
    assert len(endpoint.bodies) == calls


@pytest.mark.parametrize(
    ("faults", "calls"),
    [
        ([Answer(500, "oops")] * 2 + [Answer(200, "[]")], 4),
        ([Answer(200, "[]"), Answer(500, "oops")] * 2, 5),
        ([Answer(500, "oops"), Answer(0)] + [Answer(200, "[]")] * 3, 5),
        ([Answer(200, "[]"), Answer(500, "oops"), Answer(0), Answer(503, "busy")], 4),
    ],
)
def test_unusable_replies_and_passing_faults_are_counted_apart(
    endpoint: Endpoint, faults: list[Answer], calls: int
) -> None:
    """Each may come twice before the third is the last."""
    endpoint.script = list(faults)
    (reply,) = ask(endpoint)
    assert len(endpoint.bodies) == calls
    assert (reply.error is None) == (calls > len(faults))


def test_a_timeout_becomes_an_error(endpoint: Endpoint) -> None:
    endpoint.default = Answer(seconds=2.5)
    (reply,) = ask(endpoint, limits=Limits(attempts=2, timeout_seconds=1.0, first_pause_seconds=0))
    assert (reply.error or "").startswith("timeout: ")
    assert len(endpoint.bodies) == 2


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, completion(content=None, finish="content_filter")),
        Answer(400, error_body("policy", "content_filter")),
    ],
)
def test_a_refusal_is_no_error_and_is_not_retried(endpoint: Endpoint, answer: Answer) -> None:
    endpoint.default = answer
    (reply,) = ask(endpoint)
    assert (reply.reply, reply.error, reply.finish_reason) == (None, None, "content_filter")
    assert len(endpoint.bodies) == 1


def test_one_bad_request_does_not_disturb_the_others(endpoint: Endpoint) -> None:
    endpoint.script = [Answer(), Answer(400, error_body("no", "bad")), Answer()]
    replies = ask(endpoint, "a", "b", "c", limits=Limits(concurrency=1))
    assert [reply.error is None for reply in replies] == [True, False, True]


def test_an_empty_account_stops_the_sending(endpoint: Endpoint) -> None:
    quota = Answer(429, error_body("pay", "insufficient_quota"))
    endpoint.script = [Answer(), quota]
    replies = ask(endpoint, *"abcdef", limits=Limits(concurrency=1))
    assert len(endpoint.bodies) == 2
    assert [(reply.error or "").split(":")[0] for reply in replies] == [
        "", *["insufficient_quota"] * 5,
    ]  # fmt: skip


def test_a_key_that_was_never_accepted_stops_the_sending(endpoint: Endpoint) -> None:
    endpoint.default = Answer(401, error_body("bad key", "invalid_api_key"))
    replies = ask(endpoint, *"abcdefgh")
    assert len(endpoint.bodies) <= 2 * LIMITS.concurrency
    assert all((reply.error or "").startswith("authentication") for reply in replies)


def test_the_key_never_appears_in_an_error(endpoint: Endpoint) -> None:
    endpoint.default = Answer(400, error_body(f"bad header {KEY}", "bad"))
    (reply,) = ask(endpoint)
    assert KEY not in (reply.error or "") and "***" in (reply.error or "")


def test_no_more_requests_are_in_flight_than_allowed(endpoint: Endpoint) -> None:
    endpoint.default = Answer(seconds=0.02)
    ask(endpoint, *"abcdefghij", limits=Limits(concurrency=3))
    assert len(endpoint.bodies) == 10
    assert 1 < endpoint.most_in_flight <= 3


def test_text_that_is_not_unicode_is_replaced(endpoint: Endpoint) -> None:
    endpoint.default = Answer(body=completion("bad \ud800 Rating: [[3]]"))
    (reply,) = ask(endpoint)
    assert reply.reply == "bad ? Rating: [[3]]"


def test_every_reply_is_handed_over_at_once(endpoint: Endpoint) -> None:
    endpoint.script = [Answer(), Answer(400, error_body("no", "bad"))]
    seen: list[tuple[str, bool, int]] = []
    ask_all(
        [request("a"), request("b")], Address(endpoint.base_url, KEY), Limits(concurrency=1),
        lambda item, reply: seen.append((item.user, reply.error is None, len(endpoint.bodies))),
    )  # fmt: skip
    assert seen == [("a", True, 1), ("b", False, 2)]


def test_requests_are_taken_only_when_there_is_room_for_them(endpoint: Endpoint) -> None:
    taken: list[int] = []

    def requests() -> Iterator[JudgeRequest]:
        for number in range(6):
            taken.append(number - len(endpoint.bodies))
            yield request(str(number))

    ask_all(requests(), Address(endpoint.base_url, KEY), LIMITS, lambda *_: None)
    assert len(taken) == 6 and max(taken) <= LIMITS.concurrency


def test_a_model_that_is_gone_stops_the_sending(endpoint: Endpoint) -> None:
    endpoint.default = Answer(404, error_body("no such model", "model_not_found"))
    replies = ask(endpoint, *"abcdefgh")
    assert len(endpoint.bodies) <= LIMITS.concurrency
    assert all((reply.error or "").startswith("model_not_found") for reply in replies)


def test_a_pause_that_the_endpoint_asks_for_holds_all_requests(endpoint: Endpoint) -> None:
    slow = Answer(429, error_body("slow", "rate_limit"), {"retry-after-ms": "400"})
    endpoint.script = [slow]
    began = time.monotonic()
    ask(endpoint, *"abcd", limits=Limits(concurrency=1, first_pause_seconds=0))
    assert time.monotonic() - began >= 0.4
    assert len(endpoint.bodies) == 5


def test_a_pause_may_be_asked_for_as_a_date(endpoint: Endpoint) -> None:
    date = formatdate(time.time() + 2, usegmt=True)  # in whole seconds
    endpoint.script = [Answer(429, error_body("slow", "rate_limit"), {"retry-after": date})]
    began = time.monotonic()
    (reply,) = ask(endpoint, limits=Limits(first_pause_seconds=0))
    assert reply.error is None and time.monotonic() - began >= 0.9


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("300", 300), ("86400", 600), ("inf", 600), ("-5", 0), ("nan", None), ("soon", None),
     ("Wed, 21 Oct 2015 07:28:00 GMT", 0)],
)  # fmt: skip
def test_pauses_are_kept_up_to_ten_minutes(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, header: str, seconds: float | None
) -> None:
    held: list[float] = []
    monkeypatch.setattr(Pace, "hold", lambda pace, seconds: held.append(seconds))

    async def no_time(seconds: float) -> None:
        pass

    monkeypatch.setattr(client.asyncio, "sleep", no_time)
    endpoint.script = [Answer(429, error_body("slow", "rate_limit"), {"retry-after": header})]
    assert ask(endpoint)[0].error is None
    assert held == ([] if seconds is None else [seconds])


def test_rates_are_kept(endpoint: Endpoint) -> None:
    for limits in (
        Limits(concurrency=8, requests_per_minute=1200),
        Limits(concurrency=8, tokens_per_minute=1200 * (request().prompt_tokens + 512)),
    ):
        began = time.monotonic()
        ask(endpoint, *[str(number) for number in range(30)], limits=limits)
        assert time.monotonic() - began >= 0.45  # a second's worth goes at once, 20 a second


def test_a_failure_to_store_stops_the_sending_in_one_sentence(endpoint: Endpoint) -> None:
    def full(item: JudgeRequest, reply: JudgeReply) -> None:
        raise InputError("no room")

    with pytest.raises(InputError, match="no room"):
        ask_all([request(str(i)) for i in range(9)], Address(endpoint.base_url, KEY), LIMITS, full)
    assert len(endpoint.bodies) <= LIMITS.concurrency


def test_a_budget_admits_nothing_that_could_pass_it(endpoint: Endpoint) -> None:
    price, usage = Price(10, 30), Usage()
    dearest, usual = Budget(price, None, usage).most(request("0")), price.dollars(11, 5)
    budget = Budget(price, dearest + 3.5 * usual, usage)

    def keep(item: JudgeRequest, reply: JudgeReply) -> None:
        usage.add(*reply.tokens)
        budget.settle(item, reply)

    replies = ask_all(
        [request(str(number)) for number in range(9)], Address(endpoint.base_url, KEY),
        Limits(concurrency=1), keep, budget,
    )  # fmt: skip
    assert len(endpoint.bodies) == 4 and budget.spent == pytest.approx(4 * usual)
    errors = [reply.error for reply in replies.values() if reply.error]
    assert len(errors) == 5 and all(error.startswith("budget: ") for error in errors)


def test_what_is_in_flight_counts_for_the_budget(endpoint: Endpoint) -> None:
    endpoint.default = Answer(seconds=0.2)
    price = Price(10, 30)
    budget = Budget(price, 2.5 * Budget(price, None, Usage()).most(request("0")), Usage())
    ask_all(
        [request(str(number)) for number in range(9)], Address(endpoint.base_url, KEY),
        Limits(concurrency=9), budget.settle, budget,
    )  # fmt: skip
    assert len(endpoint.bodies) == 2
