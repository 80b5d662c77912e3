"""Our SummaC scorer against the package: in one process, and against recorded scores."""

import json
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from helpers import ROOT
from reset_tuning.errors import InputError
from reset_tuning.scoring.sentences import sentence_splitter

fast = pytest.importorskip("reset_tuning.scoring.summac_fast")
package = pytest.importorskip("reset_tuning.scoring.summac_package")

ORACLE = Path(__file__).parent / "oracle"
WORDS = ["the cat", "sat on", "a red mat", "in bergen", "rain fell", "it was not", "unknownword"]
SENTENCES = st.lists(st.sampled_from(WORDS), min_size=1, max_size=12).map(
    lambda words: " ".join(words) + "."
)
TEXTS = st.lists(SENTENCES, min_size=0, max_size=5).map(" ".join)


def options(model: Path, **changes: Any) -> dict[str, Any]:
    base = {"model": str(model), "splitter": sentence_splitter("punkt_abbreviations")}
    return base | {"granularity": "sentence", "batch_size": 8, "threads": 1} | changes


def largest_difference(first: Any, second: Any) -> float:
    return float(np.abs(np.asarray(first) - np.asarray(second)).max())


@pytest.fixture(scope="module")
def both(nli_model: Path) -> tuple[Any, Any]:
    made = fast.SummaCFast(batch_tokens=128, **options(nli_model))
    return made, package.SummaCPackage(**options(nli_model))


@pytest.fixture(scope="module")
def unpadded(nli_model: Path) -> Any:
    """The package in batches of one pair: in larger ones padding moves its own scores."""
    return package.SummaCPackage(**options(nli_model, batch_size=1))


@settings(max_examples=50)
@given(pairs=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=6))
@example(
    pairs=[
        ("the cat the cat.", "the cat " * 5 + "the cat."),
        (
            "the cat " * 7 + "the cat sat on a red mat it was not. sat on sat on.",
            "a red mat unknownword in bergen a red mat in bergen rain fell.",
        ),
    ]
)
def test_scores_equal_the_packages(
    both: tuple[Any, Any], unpadded: Any, pairs: list[tuple[str, str]]
) -> None:
    ours, theirs = both
    found = ours.score(pairs)
    assert largest_difference(found, unpadded.score(pairs)) <= 1e-6
    assert largest_difference(found, theirs.score(pairs)) <= fast.TOLERANCE


@pytest.mark.parametrize("granularity", ["paragraph", "document", "document-sentence"])
def test_every_granularity_equals_the_packages(nli_model: Path, granularity: str) -> None:
    text = "The cat sat on the mat. It was red.\n\nRain fell in bergen. The dog ran."
    pairs = [(text, "The dog sat on the mat. Rain fell on it."), (text, "It was not the cat.")]
    chosen = options(nli_model, granularity=granularity)
    ours, theirs = fast.SummaCFast(**chosen), package.SummaCPackage(**chosen)
    assert largest_difference(ours.score(pairs), theirs.score(pairs)) <= 1e-6


def test_long_pairs_are_cut_as_the_tokenizer_cuts_them(both: tuple[Any, Any]) -> None:
    ours, theirs = both
    long, longer = "the cat sat " * 150 + ".", "rain fell in bergen " * 200 + "."
    pairs = [(long, longer), (longer, long), (long, "It was red."), ("It was not red.", longer)]
    lengths = [len(row.ids) for row in ours._encoder.encode(pairs)]
    assert max(lengths) == 500
    assert largest_difference(ours.score(pairs), theirs.score(pairs)) <= 1e-6


def test_only_the_first_hundred_sentences_count(both: tuple[Any, Any]) -> None:
    ours, theirs = both
    text = "The cat sat on the mat. " * 100
    pairs = [(text + "Rain fell in bergen.", "Rain fell in bergen.")]
    assert ours.score(pairs) == ours.score([(text, pairs[0][1])])
    assert largest_difference(ours.score(pairs), theirs.score(pairs)) <= 1e-6


def test_every_distinct_pair_of_sentences_is_read_once(
    nli_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = fast.SummaCFast(**options(nli_model))
    ours._is_compared = True
    read: list[int] = []
    batches = fast._batches
    monkeypatch.setattr(
        fast,
        "_batches",
        lambda encoded, tokens: read.append(len(encoded)) or batches(encoded, tokens),
    )
    text = "The cat sat on the mat. It was red, not blue."
    answers = ["Rain fell in bergen.", "Rain fell in bergen. The dog ran.", "The dog ran in rain."]
    ours.score([(text, answer) for answer in answers])
    assert read == [2 * 3]


def test_no_batch_holds_more_tokens_than_allowed() -> None:
    rows = [fast.Encoded([1] * length, [0] * length) for length in (5, 90, 7, 40, 300, 6)]
    batches = [list(batch) for batch in fast._batches(rows, 100)]
    assert sorted(index for batch in batches for index in batch) == list(range(6))
    for batch in batches:
        longest = max(len(rows[index].ids) for index in batch)
        assert len(batch) == 1 or longest * len(batch) <= 100


def test_the_first_pairs_are_compared_with_the_package(
    nli_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pairs = [("The cat sat on the mat.", "It was not the cat.")]
    with caplog.at_level(logging.INFO):
        fast.SummaCFast(**options(nli_model)).score(pairs)
    assert "1 pairs differ from the package by" in caplog.text
    wrong = fast.SummaCFast(**options(nli_model))
    wrong._encoder._after = fast.Encoded(wrong._encoder._after.ids, [0])
    with pytest.raises(RuntimeError, match=r"differ from the summac package"):
        wrong.score(pairs)


def test_short_answers_may_be_read_as_one_sentence(nli_model: Path) -> None:
    for make in (fast.SummaCFast, package.SummaCPackage):
        assert make(**options(nli_model)).answer_parts("Red. No.") == []
        kept = make(**options(nli_model, keep_short=True))
        assert kept.answer_parts(" Red. No. ") == ["Red. No."]
        assert kept.answer_parts("Red. It was not the cat.") == ["It was not the cat."]
        assert kept.answer_parts("  ") == []


def test_other_numbers_are_an_option(nli_model: Path) -> None:
    pairs = [("The cat sat on the mat.", "It was not the cat.")]
    half = fast.SummaCFast(dtype="bfloat16", **options(nli_model))
    assert half.dtype == "bfloat16"
    exact = fast.SummaCFast(**options(nli_model))
    assert 0 < largest_difference(half.score(pairs), exact.score(pairs)) < 0.1
    with pytest.raises(InputError, match="float32, bfloat16, float16"):
        fast.SummaCFast(dtype="int8", **options(nli_model))


def test_onnxruntime_gives_the_same_scores(both: tuple[Any, Any], nli_model: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    other = fast.SummaCFast(runtime="onnxruntime", **options(nli_model))
    text = "The cat sat on the mat. It was red, not blue. Rain fell in bergen."
    pairs = [(text, "The dog sat on it. Rain fell in it."), (text, "It was not the cat.")]
    assert largest_difference(other.score(pairs), both[1].score(pairs)) <= 1e-6


def test_onnxruntime_is_optional_and_for_float32(
    nli_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="for CPUs and float32"):
        fast.SummaCFast(runtime="onnxruntime", dtype="bfloat16", **options(nli_model))
    with pytest.raises(InputError, match="torch, onnxruntime"):
        fast.SummaCFast(runtime="tensorrt", **options(nli_model))
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r"pip install onnx==.*onnxruntime=="):
        fast.SummaCFast(runtime="onnxruntime", **options(nli_model))


@pytest.mark.parametrize("implementation", ["package", "fast"])
@pytest.mark.parametrize("model", ["albert", "bert", "mini"])
def test_recorded_scores_of_the_untouched_package_are_met(model: str, implementation: str) -> None:
    """oracle/README.md says how they were made: summac 0.0.4 on transformers 4.35.2."""
    recorded = json.loads((ORACLE / f"{model}.json").read_text())
    folder = ROOT / "resources" / "mini" / "nli" if model == "mini" else ORACLE / model
    chosen = options(folder, granularity=recorded["granularity"])
    made = {"package": package.SummaCPackage, "fast": fast.SummaCFast}[implementation](**chosen)
    pairs = [(row["document"], row["answer"]) for row in recorded["rows"]]
    scores = np.array(made.score(pairs))
    expected = np.array([[row["entailment"], row["default"]] for row in recorded["rows"]])
    assert len(pairs) >= 40 and len({round(value, 4) for value in expected[:, 0]}) >= 20
    # Recorded on another processor: the package itself is up to 2e-6 from float64 in float32.
    assert largest_difference(scores, expected) <= 5e-6


def test_the_oracle_needs_segment_ids() -> None:
    """The recorded scores are worth something only if leaving segment ids out would change them."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(ORACLE / "albert")
    network = AutoModelForSequenceClassification.from_pretrained(ORACLE / "albert").eval()
    pair = ("the harbour of Bergen was closed", "the harbour was open")
    assert "token_type_ids" not in tokenizer(*pair)
    with torch.no_grad():
        probabilities = [
            network(**tokenizer(*pair, return_tensors="pt", return_token_type_ids=wanted)).logits
            for wanted in (False, True)
        ]
    assert largest_difference(*[value.softmax(-1) for value in probabilities]) > 0.01
