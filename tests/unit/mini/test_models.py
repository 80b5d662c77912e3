"""The miniature models: their training loops in a few steps, and what the shipped weights know."""

import random
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, BertForSequenceClassification, LlamaForCausalLM

from reset_tuning.mini.instruct import InstructRecipe, draw_examples, tune
from reset_tuning.mini.nli import NliRecipe, draw_pair, label_accuracies, train_nli
from reset_tuning.mini.pretrain import PretrainRecipe, pretrain, schedule
from reset_tuning.mini.probe import answer_accuracy, base_probes
from reset_tuning.mini.sequences import encode_pair, pack, pad_batch, weighted_loss
from reset_tuning.mini.storage import save_model
from reset_tuning.mini.tokenizer import build_lm_tokenizer, build_nli_tokenizer, save_tokenizer

SHIPPED = Path(__file__).parents[3] / "resources" / "mini"
TINY = PretrainRecipe(hidden=32, layers=1, heads=2, mlp=64, steps=3, rows=2)


@pytest.fixture(scope="module")
def words():
    return build_lm_tokenizer()


def test_only_the_response_and_its_end_weigh(words):
    ids, weights = encode_pair(words, "Hello!", "cat.")
    assert words.convert_ids_to_tokens(ids) == ["<s>", "Hello", "!", "cat", ".", "</s>"]
    assert weights == [0, 0, 0, 1, 1, 1]


def test_packed_rows_hold_whole_documents_of_equal_length():
    rows = [([1] * size, [0.5] * size) for size in (4, 5, 11, 3, 6, 9)]
    packed = list(pack(rows, 10))
    assert [sum(ids) for ids, _ in packed] == [9, 9]
    assert all(len(ids) == len(weights) == 10 for ids, weights in packed)


def test_loss_is_the_weighted_mean():
    ids, weights = pad_batch([([1, 2, 3], [0.0, 1.0, 0.0]), ([1, 4], [0.0, 3.0])])
    logits = torch.zeros(2, 3, 8)
    logits[1, 0, 4] = 100.0
    expected = torch.log(torch.tensor(8.0)) / 4
    assert torch.isclose(weighted_loss(logits, ids, weights), expected)


def test_schedule_warms_up_stays_and_decays():
    recipe = PretrainRecipe(steps=1000, warmup_steps=100, decay_steps=200)
    rates = [schedule(recipe, step) for step in (1, 100, 500, 800, 900, 1000)]
    assert rates == pytest.approx([0.01, 1.0, 1.0, 1.0, 0.505, 0.02])


def test_pretraining_repeats_itself_and_is_stored(words, tmp_path):
    first, second = (pretrain(words, TINY, seed=3).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    model = pretrain(words, TINY, seed=3)
    save_model(model, tmp_path / "model.safetensors", tmp_path / "config.json", torch.bfloat16)
    save_tokenizer(words, tmp_path / "tokenizer.json", tmp_path / "tokenizer_config.json")
    loaded = LlamaForCausalLM.from_pretrained(tmp_path, dtype="auto")
    assert loaded.dtype == torch.bfloat16
    assert len(AutoTokenizer.from_pretrained(tmp_path)) == loaded.config.vocab_size
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in tmp_path.iterdir())


def test_tuning_lowers_the_loss_of_its_examples(words):
    rows = draw_examples(words, InstructRecipe(examples=64), seed=1)
    model = pretrain(words, TINY, seed=3)
    ids, weights = pad_batch(rows)

    def loss():
        with torch.no_grad():
            return weighted_loss(model(input_ids=ids).logits, ids, weights).item()

    before = loss()
    tune(model, rows, learning_rate=5e-3, batch=4, seed=2)
    assert loss() < before


def test_nli_training_runs():
    words = build_nli_tokenizer()
    model = train_nli(words, NliRecipe(hidden=16, layers=1, heads=2, steps=2, pairs=4), seed=0)
    generator = random.Random(1)
    shares = label_accuracies(model, words, [draw_pair(generator) for _ in range(60)])
    assert set(shares) == {"entailment", "neutral", "contradiction"}


def test_the_shipped_nli_model_labels_held_out_pairs():
    generator = random.Random(20)
    pairs = [draw_pair(generator) for _ in range(300)]
    model = BertForSequenceClassification.from_pretrained(SHIPPED / "nli").eval()
    shares = label_accuracies(model, AutoTokenizer.from_pretrained(SHIPPED / "nli"), pairs)
    assert min(shares.values()) > 0.95


@pytest.mark.parametrize("model", ["base", "instruct"])
def test_the_shipped_language_models_have_the_worlds_tokenizer(model, words):
    stored = AutoTokenizer.from_pretrained(SHIPPED / model)
    assert stored.get_vocab() == words.get_vocab()


@pytest.mark.parametrize("domain", ["person", "place", "drug"])
def test_the_shipped_base_model_reads_the_worlds_question_contexts(domain: str) -> None:
    model = LlamaForCausalLM.from_pretrained(SHIPPED / "base", dtype=torch.float32)
    words = AutoTokenizer.from_pretrained(SHIPPED / "base")
    assert answer_accuracy(model, words, base_probes()[f"{domain}, question context"]) >= 0.95
