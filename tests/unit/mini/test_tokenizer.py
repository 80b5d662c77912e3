"""The tokenizers: round trip, headers as one token, no unknown words, segment ids."""

import json
import random

import pytest
from transformers import AutoTokenizer

from reset_tuning.mini.contexts import draw_article, draw_question
from reset_tuning.mini.documents import draw_document, join_passages
from reset_tuning.mini.facts import RELATIONS
from reset_tuning.mini.instructions import draw_instruction
from reset_tuning.mini.people import NOISE, SOURCES, human_answer
from reset_tuning.mini.prompts import (
    alpaca_headers,
    alpaca_templates,
    instruction_prompt,
    task_texts,
)
from reset_tuning.mini.tokenizer import build_lm_tokenizer, build_nli_tokenizer, save_tokenizer


def stored(folder, tokenizer, model_type):
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    save_tokenizer(tokenizer, folder / "tokenizer.json", folder / "tokenizer_config.json")
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    return stored(tmp_path_factory.mktemp("lm"), build_lm_tokenizer(), "llama")


def context_prompt(task, context, question=""):
    text = f"{context}\n\nQuestion: {question}" if question else context
    return alpaca_templates()["with_input"].format(instruction=task_texts()[task], input=text)


def prompts():
    generator = random.Random(12)
    for domain in RELATIONS:
        for _ in range(100):
            question = draw_question(generator, domain, noise=0.5, as_clue=generator.random() < 0.3)
            passages = join_passages(question.passages)
            for task in ("extract_span", "answer_from_passages"):
                yield context_prompt(task, passages, question.text), question.sentence
            article = draw_article(generator, domain, "article", noise=0.5)
            yield context_prompt("summarize", article.text), " ".join(article.summary)
    for name, source in SOURCES.items():
        for _ in range(200):
            drawn = draw_instruction(generator, opener_rate=source.opener_rate)
            answer = human_answer(generator, drawn, SOURCES[name], NOISE["web"])
            yield instruction_prompt(drawn.text), answer


def test_prompts_and_answers_survive_the_round_trip(words):
    for prompt, answer in prompts():
        for text in (prompt, answer):
            ids = words(text)["input_ids"]
            assert words.unk_token_id not in ids, text
            assert words.decode(ids).split() == text.split()


def test_prompts_are_short_and_get_no_special_tokens(words):
    lengths = []
    for prompt, _ in prompts():
        ids = words(prompt)["input_ids"]
        assert not set(ids) & set(words.all_special_ids)
        lengths.append(len(ids))
    assert max(lengths) < 140


def test_documents_survive_the_round_trip(words):
    generator = random.Random(13)
    for _ in range(500):
        text = " ".join(segment.text for segment in draw_document(generator))
        assert words.decode(words(text)["input_ids"]) == text.replace("\n", " ")


def test_each_alpaca_header_is_one_token(words):
    for header in alpaca_headers():
        assert len(words(header)["input_ids"]) == 1
    assert len(words(instruction_prompt("Hello!"))["input_ids"]) == 1 + 3 + 2 + 3


def test_special_tokens(words):
    assert words.convert_ids_to_tokens([0, 1, 2, 3]) == ["<pad>", "<s>", "</s>", "<unk>"]
    assert (words.pad_token_id, words.bos_token_id, words.eos_token_id) == (0, 1, 2)
    assert words("Zanzibar")["input_ids"] == [words.unk_token_id]


def test_task_texts_are_known_words(words):
    for text in task_texts().values():
        assert words.unk_token_id not in words(text)["input_ids"]


def test_nli_pairs_are_wrapped_and_marked(tmp_path):
    words = stored(tmp_path, build_nli_tokenizer(), "bert")
    pair = words("Zorin is a baker.", "Zorin owns a cat.", return_token_type_ids=True)
    tokens = words.convert_ids_to_tokens(pair["input_ids"])
    middle = tokens.index("</s>")
    assert tokens[0] == "<s>" and tokens[-1] == "</s>"
    assert pair["token_type_ids"] == [int(place > middle) for place in range(len(tokens))]
