import doctest
import json
import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nltk
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import score_outputs as script
from helpers import ROOT
from reset_tuning.errors import InputError
from reset_tuning.scoring.means import Means
from reset_tuning.scoring.scorers import score_outputs
from reset_tuning.scoring.sentences import sentence_splitter
from reset_tuning.tables import read_table

summac = pytest.importorskip("reset_tuning.scoring.summac")
package = pytest.importorskip("reset_tuning.scoring.summac_package")
fast = pytest.importorskip("reset_tuning.scoring.summac_fast")

Write = Callable[..., tuple[Path, list[Path]]]
DOCUMENT = "The cat sat on the mat. It was red, not blue. Rain fell in bergen."
ANSWERS = [
    "The dog sat on the mat. Rain fell on it.",
    "It was not the cat.",
    "The cat ran in rain.",
]


def settings(model: Path | str, **changes: Any) -> dict[str, Any]:
    spec = {"kind": "summac", "implementation": "package", "model": str(model)}
    return spec | {"granularity": "sentence", "splitter": "punkt_abbreviations"} | changes


def scorer(model: Path | str, **changes: Any) -> Any:
    options = {"granularity": "sentence", "batch_size": 4, "threads": 1} | changes
    splitter = sentence_splitter("punkt_abbreviations")
    return package.SummaCPackage(model=str(model), splitter=splitter, **options)


def fast_scorer(model: Path | str, batch_tokens: int = 256, **changes: Any) -> Any:
    options = {"granularity": "sentence", "batch_size": 4, "threads": 1} | changes
    splitter = sentence_splitter("punkt_abbreviations")
    made = fast.SummaCFast(
        model=str(model), splitter=splitter, batch_tokens=batch_tokens, **options
    )
    made._is_compared = True  # the tests compare by themselves
    return made


def probabilities(model: Path, premise: str, hypothesis: str) -> dict[str, float]:
    """Compute one pair's NLI probabilities with transformers alone, segment ids built by hand."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    network = AutoModelForSequenceClassification.from_pretrained(model).eval()
    first, second = (
        tokenizer(text, add_special_tokens=False)["input_ids"] for text in (premise, hypothesis)
    )
    ids = [2, *first, 3, *second, 3]
    segments = [0] * (len(first) + 2) + [1] * (len(second) + 1)
    with torch.no_grad():
        logits = network(
            input_ids=torch.tensor([ids]),
            token_type_ids=torch.tensor([segments]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        ).logits
    values = logits.softmax(-1)[0].tolist()
    return {network.config.id2label[index]: value for index, value in enumerate(values)}


def by_hand(model: Path, document: list[str], answer: list[str]) -> tuple[float, float]:
    """Return both variants from the definition: max over the document, mean over the answer."""
    pairs = {pair: probabilities(model, *pair) for pair in product(document, answer)}
    entailment, default = [], []
    for sentence in answer:
        best = max(pairs[other, sentence]["ENTAILMENT"] for other in document)
        worst = max(pairs[other, sentence]["CONTRADICTION"] for other in document)
        entailment.append(best)
        default.append(best - worst)
    return float(np.mean(entailment)), float(np.mean(default))


@pytest.mark.parametrize("make", [scorer, fast_scorer])
def test_both_variants_equal_the_definition(nli_model: Path, make: Any) -> None:
    split = sentence_splitter("punkt_abbreviations")
    values = make(nli_model).score([(DOCUMENT, answer) for answer in ANSWERS])
    expected = [by_hand(nli_model, split(DOCUMENT), split(answer)) for answer in ANSWERS]
    np.testing.assert_allclose(values, expected, atol=2e-6)
    assert len({round(value[0], 4) for value in values}) == 3


def test_the_model_is_given_segment_ids(nli_model: Path) -> None:
    """Transformers 5 leaves them out for some tokenizers, which changes scores silently."""
    from transformers import AutoTokenizer

    assert "token_type_ids" not in AutoTokenizer.from_pretrained(nli_model)("a cat", "a dog")
    imager = scorer(nli_model)._imager
    encoded = imager.tokenizer.batch_encode_plus(
        [("the cat sat", "it ran")], truncation=True, truncation_strategy="only_first"
    )
    assert encoded["token_type_ids"] == [[0, 0, 0, 0, 0, 1, 1, 1]]


def test_one_pass_serves_both_variants_and_equal_pairs(
    nli_model: Path, write_outputs: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, str]] = []
    score = package.SummaCPackage.score
    monkeypatch.setattr(
        package.SummaCPackage,
        "score",
        lambda self, pairs: calls.extend(pairs) or score(self, pairs),
    )
    row = {"example_id": "1", "kind": "summarization", "context": DOCUMENT}
    files = write_outputs(
        *[row | {"output": text} for text in (ANSWERS[0], ANSWERS[1], ANSWERS[0])]
    )
    score_outputs(*files, tmp_path / "s.parquet", "summac-zs", settings(nli_model))
    assert sorted(calls) == sorted((DOCUMENT, answer) for answer in ANSWERS[:2])
    frame = read_table(tmp_path / "s.parquet", "score").set_index(["metric", "sample_id"])["value"]
    assert frame["summac_zs", 0] == frame["summac_zs", 2] != frame["summac_zs", 1]
    assert (frame["summac_zs_entailment"] > frame["summac_zs"]).all()


def test_a_call_is_made_once_whoever_scores_and_a_killed_job_goes_on(
    nli_model: Path, write_outputs: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[tuple[str, str]]] = []
    score = package.SummaCPackage.score

    def counted(scorer: Any, pairs: list[tuple[str, str]]) -> Any:
        calls.append(pairs)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return score(scorer, pairs)

    monkeypatch.setattr(package.SummaCPackage, "score", counted)
    monkeypatch.setattr(summac, "_SENTENCE_PAIRS_PER_CALL", 1)
    rows = [
        {"example_id": answer, "kind": "summarization", "context": answer, "output": answer}
        for answer in ANSWERS
    ]
    files = write_outputs(*rows)

    def scored(target: str, sidecar: str | None, **changes: Any) -> pd.DataFrame:
        means = Means(sidecar=tmp_path / sidecar if sidecar else None)
        spec = settings(nli_model, **changes)
        score_outputs(*files, tmp_path / target, "summac-zs", spec, means)
        return read_table(tmp_path / target, "score")

    with pytest.raises(KeyboardInterrupt):
        scored("a.parquet", "known")
    assert not (tmp_path / "a.parquet").exists()
    first = scored("a.parquet", "known")
    assert len(calls) == 4  # one before the kill, the one that was in flight twice, the last
    assert scored("b.parquet", "known").equals(first)
    assert len(calls) == 4
    assert scored("c.parquet", None).equals(first)
    scored("d.parquet", "known", granularity="document")
    assert len(calls) == 10


def test_statuses_and_metadata(nli_model: Path, write_outputs: Write, tmp_path: Path) -> None:
    row = {
        "example_id": "1",
        "kind": "abstractive_qa",
        "context": DOCUMENT,
        "question": "where is it",
    }
    other = {"example_id": "2", "kind": "extractive_qa", "context": DOCUMENT}
    outputs = [ANSWERS[0], "", "Yes. No.", "  "]
    files = write_outputs(*[row | {"output": text} for text in outputs], other | {"output": "cat"})
    score_outputs(*files, tmp_path / "s.parquet", "summac-zs", settings(nli_model))
    frame = read_table(tmp_path / "s.parquet", "score")
    for metric in summac.METRICS:
        part = frame[frame["metric"] == metric]
        assert part["status"].tolist() == ["ok", "empty_output", "undefined", "empty_output"]
        assert part["value"].isna().tolist() == [False, False, True, False]
    metadata = json.loads(pq.read_schema(tmp_path / "s.parquet").metadata[b"scorer"])
    assert (metadata["entailment_index"], metadata["contradiction_index"]) == (2, 0)
    assert metadata["splitter"] == "punkt_abbreviations" and metadata["documents_cut"] == 0
    assert {"summac", "transformers", "torch", "nltk"} <= set(metadata)


def test_the_batch_size_is_an_argument_of_the_script_and_changes_no_score(
    nli_model: Path, write_outputs: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    score = package.SummaCPackage.score

    def recorded(scorer: Any, pairs: list[tuple[str, str]]) -> Any:
        sizes.append(scorer._batch_size)
        return score(scorer, pairs)

    monkeypatch.setattr(package.SummaCPackage, "score", recorded)
    row = {"example_id": "1", "kind": "summarization", "context": DOCUMENT, "output": ANSWERS[0]}
    outputs, examples = write_outputs(row)
    files = {"outputs": outputs, "examples": examples, "model": sorted(nli_model.iterdir())}
    frames = []
    for options in ({}, {"batch_size": 2}):
        target = tmp_path / "s.parquet"
        script.main(scores=target, metric="summac-zs", spec=settings(nli_model), **files, **options)
        frames.append(read_table(target, "score"))
    assert sizes == [64, 2]
    np.testing.assert_allclose(frames[0]["value"], frames[1]["value"], atol=2e-6)


def test_the_question_is_a_sentence_in_front_of_the_context() -> None:
    assert summac.document("It rained.", "Where?") == "Where? It rained."
    assert summac.document("It rained.", " where ") == "where? It rained."
    assert summac.document("It rained.", None) == "It rained."
    split = sentence_splitter("punkt_abbreviations")
    assert (
        split(summac.document("it rained .", "where does it rain ?"))[0] == "where does it rain ?"
    )
    assert doctest.testmod(summac).failed == 0


def test_sentences_longer_than_a_small_models_positions_are_cut() -> None:
    long = "A sentence " + "with many words " * 60 + "ends here."
    ((entailment, _),) = scorer(ROOT / "resources" / "mini" / "nli").score([(long, long)])
    assert 0 <= entailment <= 1


def test_documents_beyond_the_packages_limit_are_counted(nli_model: Path) -> None:
    long = "The cat sat on the mat. " * 101
    assert len(scorer(nli_model).document_parts(long)) == 101
    assert summac._count_cut(scorer(nli_model), {long, DOCUMENT}) == 1


@pytest.mark.parametrize(
    ("labels", "indices"),
    [
        (["entailment", "neutral", "contradiction"], (0, 2)),
        (["CONTRADICTION", "NEUTRAL", "ENTAILMENT"], (2, 0)),
        (["SUPPORTS", "REFUTES", "NOT ENOUGH INFO"], (0, 1)),
    ],
)
def test_labels_are_read_from_the_models_config(
    labels: list[str], indices: tuple[int, int]
) -> None:
    config = SimpleNamespace(id2label=dict(enumerate(labels)))
    assert package.label_indices(config, "x") == indices


def test_a_model_that_the_package_knows_may_lack_names() -> None:
    config = SimpleNamespace(id2label={0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"})
    assert package.label_indices(config, "tals/albert-xlarge-vitaminc-mnli") == (0, 1)


@pytest.mark.parametrize("labels", [["a", "b", "c"], ["entailment", "not_entailment"]])
def test_a_model_without_the_three_labels_is_refused(labels: list[str]) -> None:
    with pytest.raises(InputError, match="three labels"):
        package.label_indices(SimpleNamespace(id2label=dict(enumerate(labels))), "x")


def test_a_model_that_cannot_be_loaded_is_one_sentence(nli_model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be loaded"):
        scorer(tmp_path / "nothing")
    shutil.copytree(nli_model, tmp_path / "half")
    (tmp_path / "half" / "model.safetensors").unlink()
    with pytest.raises(InputError, match="cannot be loaded"):
        scorer(tmp_path / "half")


def test_unknown_options_are_refused(nli_model: Path) -> None:
    with pytest.raises(InputError, match="granularity"):
        scorer(nli_model, granularity="2sents")
    for change in ({"implementation": "slow"}, {"short_answers": "zero"}, {"dtype": "int8"}):
        with pytest.raises(InputError, match=next(iter(change))):
            summac._scorer(settings(nli_model, **change), Means())
    with pytest.raises(InputError, match="dtype"):
        summac._scorer(settings(nli_model, implementation="fast", dtype="int8"), Means())
    with pytest.raises(InputError, match="punkt_tab, punkt_abbreviations"):
        sentence_splitter("spaces")


def test_missing_nltk_data_are_an_instruction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nltk.data, "path", [])
    nltk.tokenize._get_punkt_tokenizer.cache_clear()
    with pytest.raises(InputError, match=r"nltk\.downloader punkt_tab"):
        sentence_splitter("punkt_tab")


def test_abbreviations_do_not_end_a_sentence() -> None:
    split = sentence_splitter("punkt_abbreviations")
    text = "Dr. Smith lives in the U.S. now. He met Mr. Jones vs. others. Was it 3.5 p.m. there?"
    assert split(text) == [
        "Dr. Smith lives in the U.S. now.",
        "He met Mr. Jones vs. others.",
        "Was it 3.5 p.m. there?",
    ]
    assert split("Was it red? No. It was blue.") == ["Was it red?", "No.", "It was blue."]
