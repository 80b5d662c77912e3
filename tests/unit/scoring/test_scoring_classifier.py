"""A faithfulness judge that is named in YAML: classifiers and models that write their verdict."""

import doctest
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from reset_tuning.errors import InputError
from reset_tuning.scoring.means import Means
from reset_tuning.scoring.scorers import score_outputs
from reset_tuning.tables import read_table

classifier = pytest.importorskip("reset_tuning.scoring.classifier")

Write = Callable[..., tuple[Path, list[Path]]]
CONTEXT = "The cat sat on the mat. It was red, not blue. Rain fell in bergen."
OUTPUTS = ["The dog sat on it. Rain fell in bergen.", "It was not the cat.", "", "  "]


def spec(model: Path, **changes: Any) -> dict[str, Any]:
    base = {
        "kind": "classifier", "metric": "minicheck", "model": str(model), "positive": "ENTAILMENT",
        "architecture": "sequence_classification", "max_length": 64, "chunk_words": 8,
        "splitter": "punkt_abbreviations",
    }  # fmt: skip
    return base | changes


@pytest.fixture(scope="module")
def t5_model(tmp_path_factory: pytest.TempPathFactory, nli_model: Path) -> Path:
    """Save a T5 of random weights with the tokenizer of the NLI model and the words 0 and 1."""
    from transformers import AutoTokenizer, T5Config, T5ForConditionalGeneration

    folder = tmp_path_factory.mktemp("t5")
    tokenizer = AutoTokenizer.from_pretrained(nli_model)
    tokenizer.add_tokens(["0", "1"])
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2,
        decoder_start_token_id=0, pad_token_id=0, initializer_factor=3.0,
    )  # fmt: skip
    T5ForConditionalGeneration(config).eval().save_pretrained(folder)
    return folder


def scores(
    write_outputs: Write, tmp_path: Path, chosen: dict[str, Any], means: Means | None = None
) -> Any:
    rows = [
        {"example_id": "1", "kind": "summarization", "context": CONTEXT, "output": text}
        for text in OUTPUTS
    ]
    target = tmp_path / "scores.parquet"
    score_outputs(*write_outputs(*rows), target, "second", chosen, means or Means(batch_size=2))
    return read_table(target, "score")


def by_hand(model: Path, part: str, claim: str, positive: str = "ENTAILMENT") -> float:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    network = AutoModelForSequenceClassification.from_pretrained(model).eval()
    tokenizer = AutoTokenizer.from_pretrained(model)
    inputs = tokenizer(part, claim, return_tensors="pt", return_token_type_ids=True)
    with torch.no_grad():
        probabilities = network(**inputs).logits.softmax(-1)[0]
    return float(probabilities[network.config.label2id[positive]])


def test_a_classifier_gives_the_best_parts_probability(
    write_outputs: Write, tmp_path: Path, nli_model: Path
) -> None:
    frame = scores(write_outputs, tmp_path, spec(nli_model))
    assert frame["status"].tolist() == ["ok", "ok", "empty_output", "empty_output"]
    assert set(frame["metric"]) == {"minicheck"} and set(frame["scorer"]) == {"second"}
    parts = ["The cat sat on the mat.", "It was red, not blue.", "Rain fell in bergen."]
    claims = [["The dog sat on it.", "Rain fell in bergen."], ["It was not the cat."]]
    for value, sentences in zip(frame["value"], claims, strict=False):
        best = [max(by_hand(nli_model, part, claim) for part in parts) for claim in sentences]
        assert value == pytest.approx(sum(best) / len(best), abs=1e-5)
    metadata = json.loads(pq.read_schema(tmp_path / "scores.parquet").metadata[b"scorer"])
    assert metadata["positive"] == "ENTAILMENT" and metadata["chunk_words"] == 8


def test_nothing_is_scored_twice(
    write_outputs: Write, tmp_path: Path, nli_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed job or a further test set leaves what was scored; another option does not."""
    asked: list[str] = []
    judge_score = classifier._Judge.score

    def dies_at_the_second(judge: Any, text: str, answer: str) -> Any:
        asked.append(answer)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return judge_score(judge, text, answer)

    plain = scores(write_outputs, tmp_path, spec(nli_model))
    monkeypatch.setattr(classifier._Judge, "score", dies_at_the_second)
    means = Means(batch_size=2, sidecar=tmp_path / "sidecar")
    with pytest.raises(KeyboardInterrupt):
        scores(write_outputs, tmp_path, spec(nli_model), means)
    for _ in range(2):
        frame = scores(write_outputs, tmp_path, spec(nli_model), means)
        assert frame["value"].tolist() == plain["value"].tolist()
    assert sorted(asked) == sorted([*OUTPUTS[:2], asked[1]]), "the one it died at came again"
    scores(write_outputs, tmp_path, spec(nli_model, chunk_words=5), means)
    assert len(asked) == 5
    monkeypatch.delattr(classifier._Judge, "__init__")  # nobody loads a model to score nothing
    assert scores(write_outputs, tmp_path, spec(nli_model), means)["value"].equals(plain["value"])


def test_the_whole_answer_and_a_template_are_options(
    write_outputs: Write, tmp_path: Path, nli_model: Path
) -> None:
    usual = scores(write_outputs, tmp_path, spec(nli_model))["value"]
    whole = scores(write_outputs, tmp_path, spec(nli_model, answer_unit="whole"))["value"]
    assert usual[0] != whole[0] and usual[1] == pytest.approx(whole[1], abs=1e-6)
    template = scores(write_outputs, tmp_path, spec(nli_model, template="{document}{eos}{answer}"))
    assert template["value"][1] != usual[1] and 0 <= template["value"][1] <= 1


def test_a_model_that_writes_its_verdict(
    write_outputs: Write, tmp_path: Path, t5_model: Path
) -> None:
    chosen = spec(
        t5_model, architecture="seq2seq", positive="1", negative=["0"],
        template="premise: {document} hypothesis: {answer}", chunk_words=100,
    )  # fmt: skip
    first = scores(write_outputs, tmp_path, chosen)["value"]
    swapped = scores(write_outputs, tmp_path, chosen | {"positive": "0", "negative": ["1"]})[
        "value"
    ]
    assert first[1] + swapped[1] == pytest.approx(1, abs=1e-6) and 0 < first[1] < 1


def test_the_first_token_of_a_verdict_counts(t5_model: Path, tmp_path: Path) -> None:
    """As in T5's own vocabulary, where "1" is one token and "0" a word boundary and a digit."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = ["<pad>", "</s>", "<unk>", "\u2581", "\u25811", "0", "1"]
    vocabulary = [(piece, -float(rank)) for rank, piece in enumerate(pieces)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    model = Path(shutil.copytree(t5_model, tmp_path / "t5"))
    for path in model.glob("*token*"):
        path.unlink()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(model)
    writes = spec(model, architecture="seq2seq", positive="1", negative=["0"])
    assert classifier._Judge(writes, Means())._outputs == [4, 3]
    for changes in ({"negative": ["1"]}, {"negative": []}):
        with pytest.raises(InputError, match="other first tokens for positive"):
            classifier._Judge(writes | changes, Means())


def test_a_spec_that_does_not_fit_is_told(nli_model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="positive is 'YES', but the labels .*NEUTRAL"):
        classifier._Judge(spec(nli_model, positive="YES"), Means())
    with pytest.raises(
        InputError, match=r"\(sequence_classification\) cannot be loaded: .*correct its model"
    ):
        classifier._Judge(spec(tmp_path / "nothing"), Means())


@pytest.mark.parametrize("kind", ["bert", "roberta", "bart"])
def test_more_tokens_than_a_model_has_positions_are_told(
    nli_model: Path, tmp_path: Path, kind: str
) -> None:
    from transformers import AutoConfig, AutoModelForSequenceClassification

    positions = 66 if kind == "roberta" else 64  # RoBERTa counts from 2
    sizes = {
        "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1,
        "max_position_embeddings": positions, "pad_token_id": 1 if kind == "roberta" else 0,
        "id2label": {0: "NO", 1: "YES"},
    }  # fmt: skip
    model = Path(shutil.copytree(nli_model, tmp_path / kind))
    config = AutoConfig.for_model(kind, **sizes)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(model)
    classifier._Judge(spec(model, positive="YES", max_length=64), Means())
    with pytest.raises(InputError, match="max_length is 65, but .* reads at most 64 tokens"):
        classifier._Judge(spec(model, positive="YES", max_length=65), Means())


def test_examples_in_docstrings() -> None:
    assert doctest.testmod(classifier).failed == 0
