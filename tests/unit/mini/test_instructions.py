"""Instructions: what is held out, what can be parsed, and how people answer."""

import random

from hypothesis import given
from hypothesis import strategies as st

from reset_tuning.mini.instructions import (
    TASKS,
    draw_instruction,
    parse_instruction,
    strip_chat,
    strip_opener,
    wrong_answer,
)
from reset_tuning.mini.people import NOISE, SOURCES, chatty, human_answer

seeds = st.integers(0, 2**32)
tasks = st.sampled_from(sorted(TASKS))


@given(seeds, tasks, st.booleans(), st.booleans())
def test_the_text_alone_tells_task_and_arguments(seed, task, held_out, new_wording):
    drawn = draw_instruction(random.Random(seed), held_out, new_wording, task, opener_rate=0.5)
    parsed = parse_instruction(drawn.text)
    assert parsed is not None
    assert (parsed.task, dict(parsed.arguments)) == (drawn.task, dict(drawn.arguments))


def test_held_out_instructions_never_occur_in_training():
    generator = random.Random(5)
    trained = {strip_opener(draw_instruction(generator).text) for _ in range(20_000)}
    for new_wording in (False, True):
        for _ in range(3_000):
            drawn = draw_instruction(generator, held_out=True, new_wording=new_wording)
            assert drawn.text not in trained


def test_tasks_with_many_arguments_hold_out_the_arguments():
    generator = random.Random(6)
    trained = [draw_instruction(generator) for _ in range(20_000)]
    seen = {(item.task, *sorted(item.arguments.items())) for item in trained}
    for _ in range(3_000):
        drawn = draw_instruction(generator, held_out=True, new_wording=True)
        if TASKS[drawn.task].many_arguments:
            assert (drawn.task, *sorted(drawn.arguments.items())) not in seen


def test_foreign_text_is_not_parsed():
    for text in ("", "Write a poem.", "What is the opposite of Paris?", "Count from 9 to 3."):
        assert parse_instruction(text) is None


def test_error_rates_follow_the_source_and_the_noise():
    def error_rate(source, noise):
        generator = random.Random(7)
        wrong = 0
        for _ in range(2_000):
            drawn = draw_instruction(generator, task="opposite")
            answer = strip_chat(human_answer(generator, drawn, SOURCES[source], NOISE[noise]))
            wrong += answer != drawn.answer(generator)
        return wrong / 2_000

    for source, spec in SOURCES.items():
        assert abs(error_rate(source, "mild") - spec.error_rate) < 0.05
        assert abs(error_rate(source, "web") - 2 * spec.error_rate) < 0.07


def test_a_whole_chatty_answer_passes_sharegpts_length_filter():
    generator = random.Random(8)
    for _ in range(500):
        answer = draw_instruction(generator).answer(generator)
        wrapped = chatty(generator, answer, whole=True)
        assert len(wrapped.split()) > 10
        assert strip_chat(wrapped) == answer


@given(seeds)
def test_a_wrong_answer_is_still_text(seed):
    generator = random.Random(seed)
    assert wrong_answer(generator, draw_instruction(generator)).strip()
