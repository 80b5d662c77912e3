"""Raw files: the official forms, the same bytes from the same seed, and dirt for every filter."""

import csv
import json
from collections import Counter

import pytest

from reset_tuning.errors import InputError
from reset_tuning.files import sha256_of
from reset_tuning.mini.instructions import parse_instruction, strip_opener
from reset_tuning.mini.people import SOURCES
from reset_tuning.mini.raw import DATASETS, write_raw
from reset_tuning.mini.raw_instructions import owner_of
from reset_tuning.mini.vocabulary import vocabulary
from reset_tuning.mini.words import split_words

TRAINED = (*SOURCES, "nq", "ms_marco", "cnn_dailymail")
N_TRAIN, N_TEST = 300, 100


def sizes_of(dataset):
    sizes = {"train": N_TRAIN} if dataset in TRAINED else {}
    return sizes if dataset in SOURCES else sizes | {"test": N_TEST}


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    for dataset in DATASETS:
        write_raw(folder / dataset / "manifest.json", dataset, "web", 10, sizes_of(dataset))
    return folder


def read_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def only(folder, pattern):
    (path,) = (path for path in folder.glob(pattern) if path.name != "manifest.json")
    return path


def qualifies(message):
    """Apply the paper's rule to an OASST message: rated above 0.5 by at least two people."""
    labels = message["labels"] or {"name": [], "value": [], "count": []}
    columns = zip(labels["name"], labels["value"], labels["count"], strict=True)
    good = any(name == "quality" and (value or 0) > 0.5 and n >= 2 for name, value, n in columns)
    return good and not message["deleted"] and message["lang"] == "en"


def test_manifests_describe_the_files(raw):
    for dataset in DATASETS:
        manifest = json.loads((raw / dataset / "manifest.json").read_text())
        assert manifest["dataset"] == dataset
        assert {"source", "revision", "licence", "files"} < set(manifest)
        listed = {raw / dataset / file["path"] for file in manifest["files"]}
        present = {path for path in (raw / dataset).rglob("*") if path.is_file()}
        assert listed == present - {raw / dataset / "manifest.json"}
        assert {file["split"] for file in manifest["files"]} == set(sizes_of(dataset))
        for file in manifest["files"]:
            path = raw / dataset / file["path"]
            assert file["sha256"] == sha256_of(path)
            assert file["bytes"] == path.stat().st_size


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_same_seed_gives_the_same_bytes(raw, tmp_path, dataset):
    manifest = tmp_path / dataset / "manifest.json"
    write_raw(manifest, dataset, "web", 10, sizes_of(dataset))
    assert manifest.read_bytes() == (raw / dataset / "manifest.json").read_bytes()
    write_raw(manifest, dataset, "web", 11, sizes_of(dataset))
    assert manifest.read_bytes() != (raw / dataset / "manifest.json").read_bytes()


def test_more_rows_leave_the_earlier_ones_as_they_were(raw, tmp_path):
    write_raw(tmp_path / "manifest.json", "self_instruct", "web", 10, {"train": 2 * N_TRAIN})
    few = read_lines(only(raw / "self_instruct", "*.jsonl"))
    assert read_lines(only(tmp_path, "*.jsonl"))[: len(few)] == few


def test_bad_arguments_are_input_errors(tmp_path):
    for arguments in (("nope", "web", {}), ("nq", "loud", {}), ("nq", "web", {"dev": 1})):
        dataset, noise, sizes = arguments
        with pytest.raises(InputError):
            write_raw(tmp_path / "manifest.json", dataset, noise, 0, sizes)


@pytest.mark.parametrize("dataset", ["alpaca", "vicuna_eval", "koala_eval"])
def test_a_train_split_of_a_test_set_is_refused(tmp_path, dataset):
    with pytest.raises(InputError, match=f"sizes of {dataset}: .* no train split"):
        write_raw(tmp_path / "manifest.json", dataset, "web", 0, {"train": 3, "test": 2})


def test_dolly(raw):
    rows = read_lines(only(raw / "dolly", "*.jsonl"))
    assert all(list(row) == ["instruction", "context", "response", "category"] for row in rows)
    usable = {row["instruction"] for row in rows if not row["context"] and row["response"].strip()}
    assert len(usable) == N_TRAIN
    assert any(row["context"] for row in rows)
    assert any(not row["response"].strip() for row in rows)


def test_sharegpt(raw):
    rows = json.loads(only(raw / "sharegpt", "*.json").read_text())
    starts = Counter(row["conversations"][0]["from"] for row in rows)
    assert {"human", "gpt"} <= set(starts) <= {"human", "gpt", "system"}
    usable = set()
    for row in rows:
        turns = row["conversations"]
        human = next(i for i, turn in enumerate(turns) if turn["from"] == "human")
        if len(turns) > human + 1 and len(turns[human + 1]["value"].split()) > 10:
            usable.add(turns[human]["value"])
    assert len(usable) == N_TRAIN
    assert any(len(row["conversations"]) == 1 for row in rows)
    assert any(len(row["conversations"]) >= 4 for row in rows)


def test_self_instruct(raw):
    rows = read_lines(only(raw / "self_instruct", "*.jsonl"))
    outputs = [row["output"].removesuffix("<|endoftext|>") for row in rows]
    usable = {
        row["instruction"]
        for row, output in zip(rows, outputs, strict=True)
        if output and not row["input"]
    }
    assert len(usable) == N_TRAIN
    assert any(row["output"].endswith("<|endoftext|>") for row in rows)
    assert any(row["input"] for row in rows)
    assert not all(outputs)


def test_oasst1(raw):
    rows = read_lines(only(raw / "oasst1", "*.jsonl"))
    by_id = {row["message_id"]: row for row in rows}
    assert len(by_id) == len(rows)
    good_roots = set()
    for row in rows:
        assert row["parent_id"] is None or by_id[row["parent_id"]]["role"] != row["role"]
        parent = by_id.get(row["parent_id"])
        if parent and parent["parent_id"] is None and qualifies(row):
            good_roots.add(parent["text"])
    assert len(good_roots) == N_TRAIN
    assert {row["lang"] for row in rows} > {"en"}
    assert any(row["deleted"] for row in rows)
    assert any(row["rank"] == 1 for row in rows)


def test_training_sources_share_no_instruction(raw):
    rows = read_lines(only(raw / "dolly", "*.jsonl"))
    plain = [row["instruction"] for row in rows if not row["context"] and row["response"].strip()]
    assert {owner_of(text) for text in plain} == {"dolly"}


def test_instruction_test_sets_are_not_in_training(raw):
    trained = set()
    for dataset in ("dolly", "self_instruct"):
        for row in read_lines(only(raw / dataset, "*.jsonl")):
            trained.add(strip_opener(row["instruction"]))
    koala = [row["prompt"] for row in read_lines(only(raw / "koala_eval", "*.jsonl"))]
    vicuna = [row["turns"][0] for row in read_lines(only(raw / "vicuna_eval", "*.jsonl"))]
    assert not trained & {strip_opener(text) for text in (*koala, *vicuna)}
    assert all(parse_instruction(text) for text in (*koala, *vicuna))
    alpaca = json.loads(only(raw / "alpaca", "*.json").read_text())
    shared = [row for row in alpaca if strip_opener(row["instruction"]) in trained]
    assert 0 < len(shared) < len(alpaca) / 10  # the seed tasks that both real sets share


def test_nq(raw):
    rows = json.loads((raw / "nq" / "nq-train.json").read_text())
    for row in rows:
        assert set(row) == {"question", "answers", "ctxs"}
        for context in row["ctxs"]:
            assert set(context) == {"id", "title", "text", "score", "has_answer"}
            said = any(f" {answer}" in f" {context['text']}" for answer in row["answers"])
            assert context["has_answer"] <= said
        scores = [float(context["score"]) for context in row["ctxs"]]
        assert scores == sorted(scores, reverse=True)
    assert any(len(row["ctxs"]) > 5 for row in rows)
    assert any(not any(context["has_answer"] for context in row["ctxs"]) for row in rows)
    assert any(len(row["answers"]) > 1 for row in rows)
    answered = {row["question"] for row in rows if any(c["has_answer"] for c in row["ctxs"][:5])}
    assert len(answered) > 0.5 * N_TRAIN


def test_ms_marco(raw):
    rows = read_lines(raw / "ms_marco" / "train_v2.1.jsonl")
    for row in rows:
        passages = row["passages"]
        assert len(passages["is_selected"]) == len(passages["passage_text"]) == len(passages["url"])
        assert row["query_type"].isupper()
    assert any(not row["wellFormedAnswers"] for row in rows)
    assert any(not any(row["passages"]["is_selected"]) for row in rows)
    clean = read_lines(raw / "ms_marco" / "dev_v2.1.jsonl")
    usable = [row for row in clean if any(row["wellFormedAnswers"])]
    assert all(row["wellFormedAnswers"][0].count(".") == 1 for row in usable)


def test_cnn_dailymail(raw):
    with (raw / "cnn_dailymail" / "train.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["id", "article", "highlights"]
    assert all(row["article"].startswith("News about ") for row in rows)
    assert len({row["id"] for row in rows if row["highlights"]}) == N_TRAIN
    assert any(not row["highlights"] for row in rows)
    assert all(len(row["highlights"].split("\n")) == 2 for row in rows if row["highlights"])


def test_wikisum(raw):
    rows = read_lines(raw / "wikisum" / "test.jsonl")
    keys = {"url", "title", "summary", "article", "step_headers"}
    assert all(set(row) == keys and row["article"].startswith("About ") for row in rows)


def test_bioasq(raw):
    rows = []
    for path in sorted((raw / "bioasq").glob("*_golden.json")):
        rows += json.loads(path.read_text())["questions"]
    assert {row["type"] for row in rows} == {"factoid", "list", "yesno", "summary"}
    assert all("exact_answer" in row for row in rows if row["type"] != "summary")
    shapes = {
        (type(row["exact_answer"]), type(row["exact_answer"][0]))
        for row in rows
        if row["type"] in ("factoid", "list")
    }
    assert shapes == {(str, str), (list, str), (list, list)}


def test_searchqa(raw):
    rows = [json.loads(path.read_text()) for path in sorted((raw / "searchqa").rglob("*_*.json"))]
    assert len(rows) >= N_TEST
    assert all("this" in row["question"] for row in rows)
    snippets = [result["snippet"] for row in rows for result in row["search_results"]]
    assert None in snippets


def test_every_word_that_a_model_reads_is_known(raw):
    known = vocabulary()
    texts = []
    for row in read_lines(only(raw / "dolly", "*.jsonl")):
        texts += [row["instruction"], row["context"], row["response"]]
    for row in read_lines(only(raw / "self_instruct", "*.jsonl")):
        texts += [row["instruction"], row["input"], row["output"].removesuffix("<|endoftext|>")]
    for row in read_lines(only(raw / "oasst1", "*.jsonl")):
        texts.append(row["text"])
    for row in json.loads(only(raw / "sharegpt", "*.json").read_text()):
        texts += [turn["value"] for turn in row["conversations"]]
    for row in json.loads((raw / "nq" / "nq-train.json").read_text()):
        texts += [row["question"], *row["answers"], *(context["text"] for context in row["ctxs"])]
    for row in read_lines(raw / "ms_marco" / "train_v2.1.jsonl"):
        texts += [row["query"], *row["wellFormedAnswers"], *row["passages"]["passage_text"]]
    for path in (raw / "searchqa").rglob("*_*.json"):
        row = json.loads(path.read_text())
        texts += [row["question"], row["answer"]]
        texts += [result["snippet"] or "" for result in row["search_results"]]
    with (raw / "cnn_dailymail" / "test.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            texts += [row["article"], row["highlights"]]
    unknown = {word for text in texts for word in split_words(text) if word not in known}
    assert not unknown
