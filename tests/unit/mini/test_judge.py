"""The rule-based judge and its HTTP endpoint."""

import json
import random
import urllib.error
import urllib.request
from pathlib import Path

import openai
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reset_tuning.mini.instructions import TASKS, draw_instruction, wrong_answer
from reset_tuning.mini.judge import MODEL, STRICT_MODEL, rate
from reset_tuning.mini.judge_server import running_judge_server
from reset_tuning.mini.people import chatty

PROMPT = (
    "[Question]\n{question}\n\n[The Start of Assistant's Answer]\nAnswer: {answer}\n"
    "[The End of Assistant's Answer]"
)


@pytest.fixture(scope="module")
def client():
    with running_judge_server() as base_url:
        yield openai.OpenAI(base_url=base_url, api_key="none", max_retries=0)


def ask(client, question, answer, model=MODEL):
    messages = [
        {"role": "system", "content": 'Please act as an impartial judge … "Rating: [[5]]".'},
        {"role": "user", "content": PROMPT.format(question=question, answer=answer)},
    ]
    return client.chat.completions.create(
        model=model, messages=messages, temperature=0, max_tokens=512
    )


def test_right_answers_get_ten_from_both_judges():
    generator = random.Random(9)
    for index in range(400):
        held_out, new_wording = bool(index % 2), index % 3 == 0
        drawn = draw_instruction(generator, held_out, new_wording, opener_rate=0.3)
        answer = drawn.answer(generator)
        assert rate(drawn.text, answer).score == 10, (drawn, answer)
        assert rate(drawn.text, answer, strict=True).score == 10, (drawn, answer)


def test_only_the_strict_judge_minds_chatter():
    generator = random.Random(10)
    for task in TASKS:
        drawn = draw_instruction(generator, task=task)
        answer = chatty(generator, drawn.answer(generator), whole=True)
        assert rate(drawn.text, answer).score == 10
        assert rate(drawn.text, answer, strict=True).score == 7


def test_careless_answers_are_rated_low():
    generator = random.Random(11)
    scores = []
    for _ in range(500):
        drawn = draw_instruction(generator)
        scores.append(rate(drawn.text, wrong_answer(generator, drawn)).score)
    assert sum(scores) / len(scores) < 5


@pytest.mark.parametrize(
    ("question", "answer", "score"),
    [
        ("List three animals.", "cat, dog, owl.", 10),
        ("List three animals.", "cat, dog.", 8),
        ("List three animals.", "", 1),
        ("What is the opposite of hot?", "hot.", 1),
        ("What is the opposite of hot?", "cold", 8),
        ("Count from 3 to 6.", "3 4 6.", 5),
        ("Is cat an animal?", "Yes.", 7),
        ("What is 2 plus 3?", "5.", 6),
    ],
)
def test_grades(question, answer, score):
    assert rate(question, answer).score == score


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_gets_a_rating(question, answer):
    for strict in (False, True):
        rating = rate(question, answer, strict)
        assert 1 <= rating.score <= 10
        assert rating.reply.endswith(f"Rating: [[{rating.score}]]")


def test_a_sensible_answer_to_foreign_text_beats_an_empty_one():
    question = "Explain why rivers flow towards the sea."
    good = rate(question, "Rivers flow towards the sea because gravity pulls water downhill.")
    assert good.score > rate(question, "river river river river").score > rate(question, "").score


def test_the_openai_client_gets_a_completion(client):
    reply = ask(client, "List three animals.", "cat, dog, owl.")
    assert reply.model == MODEL
    assert reply.choices[0].finish_reason == "stop"
    assert reply.choices[0].message.content.endswith("Rating: [[10]]")
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


def test_the_strict_judge_is_a_model_of_its_own(client):
    assert [model.id for model in client.models.list()] == [MODEL, STRICT_MODEL]
    reply = ask(client, "List three animals.", "cat, dog.", STRICT_MODEL)
    assert reply.choices[0].message.content.endswith("Rating: [[6]]")


def test_empty_and_many_line_answers_are_read(client):
    for answer, score in (("", 1), ("cat, dog,\nowl.", 10)):
        content = ask(client, "List three animals.", answer).choices[0].message.content
        assert content.endswith(f"[[{score}]]")


def test_the_projects_judge_prompt_is_understood(client):
    path = Path(__file__).parents[3] / "resources" / "prompts" / "judge_rating.yaml"
    prompt = yaml.safe_load(path.read_text(encoding="utf-8"))
    user = prompt["user"].replace("{question}", "What is the opposite of hot?")
    user = user.replace("{answer}", "cold.")
    for messages in (
        [{"role": "system", "content": prompt["system"]}, {"role": "user", "content": user}],
        [{"role": "user", "content": f"[System]\n{prompt['system']}\n\n{user}"}],
    ):
        reply = client.chat.completions.create(model=MODEL, messages=messages)
        assert reply.choices[0].message.content.endswith("[[10]]")


def test_bad_requests_are_refused_in_openais_form(client):
    with pytest.raises(openai.NotFoundError, match="rule-judge"):
        ask(client, "a", "b", model="gpt-4")
    with pytest.raises(openai.BadRequestError, match="Question"):
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hello"}])
    with pytest.raises(openai.NotFoundError, match="Unknown request URL"):
        client.embeddings.create(model=MODEL, input="a")


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"model": "rule-judge"}', b"\xff"])
def test_malformed_bodies_are_refused(client, body):
    request = urllib.request.Request(f"{client.base_url}chat/completions", data=body)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    error = json.loads(caught.value.read())["error"]
    assert error["type"] == "invalid_request_error"
