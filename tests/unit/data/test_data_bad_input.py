"""What is wrong with a raw file, on every reader: a clear error, or a drop that is counted."""

import gzip
import hashlib
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from helpers import ROOT
from reset_tuning.config import normalise
from reset_tuning.data.examples import DatasetSpec, prepare_split
from reset_tuning.data.raw import read_records
from reset_tuning.data.store import write_examples
from reset_tuning.errors import InputError
from reset_tuning.experiment import Experiment
from reset_tuning.mini.raw import DATASETS, write_raw
from reset_tuning.tables import read_table

TRAINED = ("dolly", "sharegpt", "self_instruct", "oasst1", "nq", "ms_marco", "cnn_dailymail")
QUESTIONS = ("nq", "bioasq", "searchqa", "ms_marco")
TEXT_KEYS = {
    "dolly": "instruction",
    "sharegpt": "conversations",
    "self_instruct": "instruction",
    "oasst1": "text",
    "alpaca": "instruction",
    "vicuna_eval": "turns",
    "koala_eval": "prompt",
    "nq": "question",
    "bioasq": "body",
    "searchqa": "question",
    "ms_marco": "query",
    "cnn_dailymail": "article",
    "wikisum": "article",
}


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    normalise(config)
    return Experiment(config)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """A few records of each source in its official form; BioASQ's golden file taken apart."""
    found = {}
    for dataset in DATASETS:
        folder = tmp_path_factory.mktemp(dataset)
        size = {"train" if dataset in TRAINED else "test": 24}
        write_raw(folder / "manifest.json", dataset, "web", 10, size)
        file = json.loads((folder / "manifest.json").read_text())["files"][0]
        found[dataset] = [record for _, record in read_records(folder / file["path"])]
    found["bioasq"] = [q for record in found["bioasq"] for q in record["questions"]]
    return found


class Case:
    """One dataset's raw file, to be spoilt, and what becomes of it."""

    def __init__(self, folder: Path, dataset: str, experiment: Experiment) -> None:
        self.folder, self.dataset = folder, dataset
        split = "train" if "train" in experiment.datasets[dataset]["splits"] else "test"
        self.split, self.entry = split, experiment.split_spec(dataset, split)
        self.entry["split"] = {}

    def prepare(self, content: bytes, **values: Any) -> Any:
        """Write the raw file and prepare its split; return the examples and the ledger."""
        (self.folder / "raw.jsonl").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        file = {"path": "raw.jsonl", "split": self.split, "sha256": digest, "bytes": len(content)}
        manifest = self.folder / "manifest.json"
        manifest.write_text(json.dumps({"files": [file]}))
        spec = DatasetSpec.of(self.dataset, self.entry | values)
        made = prepare_split(manifest, self.dataset, self.split, spec, [], 0)
        path = self.folder / "examples.parquet"
        write_examples(made.rows, path, made.metadata)
        return read_table(path, "example"), made.ledger

    def dropped(self, content: bytes) -> int:
        """Return how many rows are counted as bad when such rows are to be dropped."""
        _, ledger = self.prepare(content, on_bad_row="drop-and-count")
        return next(step.n_dropped for step in ledger.steps if step.rule == "bad_row")

    def refusal(self, content: bytes, **values: Any) -> str:
        """Return the sentence with which a file is refused."""
        with pytest.raises(InputError) as caught:
            self.prepare(content, **values)
        return str(caught.value)


@pytest.fixture(params=DATASETS)
def case(request: pytest.FixtureRequest, tmp_path: Path, experiment: Experiment) -> Case:
    return Case(tmp_path, request.param, experiment)


def lines(records: list[Any]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def test_a_broken_line_in_the_middle(case: Case, records: dict) -> None:
    content = lines(records[case.dataset])
    first, rest = content.split(b"\n", 1)
    spoilt = first + b'\n{"broken": \n' + rest
    sentence = case.refusal(spoilt)
    assert f"dataset {case.dataset}: raw.jsonl line 2 is not valid JSON" in sentence
    assert "on_bad_row: drop-and-count" in sentence
    assert case.dropped(spoilt) == 1


def test_a_truncated_gzip(case: Case, records: dict) -> None:
    content = gzip.compress(lines(records[case.dataset]) * 50)[:-40]
    for values in ({}, {"on_bad_row": "drop-and-count"}):
        sentence = case.refusal(content, **values)
        assert sentence.startswith(f"dataset {case.dataset}: raw.jsonl is truncated or damaged")


def test_other_columns_name_the_expected_and_the_found(case: Case, records: dict) -> None:
    sentence = case.refusal(lines([{"text_a": "x", "text_b": "y"}]))
    assert "has the keys text_a, text_b" in sentence and "known formats are" in sentence
    later = lines([*records[case.dataset], {"text_a": "x"}])
    assert "is missing among text_a" in case.refusal(later)
    assert case.dropped(later) == 1
    nothing_else = lines([{"text_a": "x"}] * 200)
    sentence = case.refusal(nothing_else, on_bad_row="drop-and-count")
    assert "its first record has the keys text_a;" in sentence


def test_a_first_record_that_is_bad_is_counted_like_any_other(case: Case, records: dict) -> None:
    known = lines(records[case.dataset])
    for spoilt in (b'{"text_a": "x"}\n', b'{"text_a": "x\n', b'{"text_a": 1,\n', b"{\n"):
        assert case.refusal(spoilt + known)
        assert case.dropped(spoilt + known) == 1, spoilt
        assert case.dropped(known + spoilt) == 1, spoilt


def test_a_text_of_another_type(case: Case, records: dict) -> None:
    known = records[case.dataset]
    spoilt = known[0] | {TEXT_KEYS[case.dataset]: {"not": ["a", "text"]}}
    content = lines([*known, spoilt])
    row = len(known) + 1
    assert f"raw.jsonl:{row} is not a " in case.refusal(content)
    assert case.dropped(content) == 1


def test_bytes_that_are_not_utf8(case: Case, records: dict) -> None:
    content = lines(records[case.dataset]) + b'{"a": "\xe9"}\n'
    number = content.count(b"\n")
    assert f"raw.jsonl line {number} is not UTF-8" in case.refusal(content)
    assert case.dropped(content) == 1


def test_a_row_of_ten_megabytes(case: Case, records: dict) -> None:
    known = records[case.dataset]
    key = TEXT_KEYS[case.dataset]
    long = "word " * 2_000_000
    values = {"conversations": [{"from": "human", "value": long}, {"from": "gpt", "value": long}]}
    spoilt = known[0] | {key: values.get(key, [long] if key == "turns" else long)}
    examples, ledger = case.prepare(lines([*known, spoilt]))
    assert ledger.steps[0].n_in == len(known) + 1
    assert ledger.n_out == len(examples)


def test_records_that_stand_twice_have_one_id(case: Case, records: dict) -> None:
    once, _ = case.prepare(lines(records[case.dataset]))
    twice, ledger = case.prepare(lines(records[case.dataset] * 2))
    assert set(once["example_id"]) == set(twice["example_id"])
    assert twice["example_id"].is_unique
    assert sum(step.n_dropped for step in ledger.steps) == 2 * len(records[case.dataset]) - len(
        twice
    )


def test_no_row_left(case: Case, records: dict) -> None:
    sentence = case.refusal(lines([{"broken": 1}, "x"])[7:], on_bad_row="drop-and-count")
    assert f"dataset {case.dataset}" in sentence


def test_rules_that_leave_no_row_are_named(case: Case, records: dict) -> None:
    nobody = [{"language": {"languages": ["Volapük"]}}]
    if case.dataset in QUESTIONS:
        nobody = ["no_answer", "no_context", *nobody]
    sentence = case.refusal(lines(records[case.dataset]), filters=nobody)
    n = len(records[case.dataset])
    assert f"dataset {case.dataset}, split {case.split}: none of {n} records is left" in sentence
    assert f"datasets.{case.dataset}.filters" in sentence


def parquet(records: list[dict[str, Any]], **spoilt: pa.Array) -> bytes:
    """Return records as a parquet file, with these columns instead of theirs."""
    table = pa.Table.from_pylist(records)
    for name, column in spoilt.items():
        table = table.set_column(table.schema.get_field_index(name), name, column)
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def not_utf8(texts: list[str]) -> pa.Array:
    """Return the texts with an "é" of another encoding behind the last, which Arrow lets pass."""
    whole = [text.encode() for text in texts]
    whole[-1] += b"\xe9"
    return pa.Array.from_buffers(pa.string(), len(whole), pa.array(whole, pa.binary()).buffers())


PARQUET = ("dolly", "alpaca", "oasst1", "koala_eval", "ms_marco", "cnn_dailymail", "wikisum")


@pytest.mark.parametrize("dataset", PARQUET)
def test_parquet_texts_that_are_not_utf8(
    dataset: str, tmp_path: Path, experiment: Experiment, records: dict
) -> None:
    case, known, key = Case(tmp_path, dataset, experiment), records[dataset], TEXT_KEYS[dataset]
    content = parquet(known, **{key: not_utf8([record[key] for record in known])})
    assert f"raw.jsonl record {len(known)} is not UTF-8 text" in case.refusal(content)
    assert case.dropped(content) == 1


@pytest.mark.parametrize("dataset", PARQUET)
def test_parquet_bytes_in_place_of_texts(
    dataset: str, tmp_path: Path, experiment: Experiment, records: dict
) -> None:
    case, known, key = Case(tmp_path, dataset, experiment), records[dataset], TEXT_KEYS[dataset]
    content = parquet(known, **{key: pa.array([record[key].encode() for record in known])})
    assert "text expected, found bytes" in case.refusal(content)
    sentence = case.refusal(content, on_bad_row="drop-and-count")
    assert f"bad_row dropped most ({len(known)})" in sentence


@pytest.mark.parametrize("dataset", PARQUET)
def test_damaged_parquet_files(
    dataset: str, tmp_path: Path, experiment: Experiment, records: dict
) -> None:
    case, whole = Case(tmp_path, dataset, experiment), parquet(records[dataset])
    assert len(case.prepare(whole)[0])
    for content in (whole[:-100], whole[:-8] + b"\xff" * 4 + whole[-4:]):
        for values in ({}, {"on_bad_row": "drop-and-count"}):
            sentence = case.refusal(content, **values)
            assert sentence.startswith(f"dataset {dataset}: raw.jsonl is not a readable parquet")


@pytest.mark.parametrize("dataset", QUESTIONS)
def test_questions_without_passages_are_counted(
    dataset: str, tmp_path: Path, experiment: Experiment, records: dict
) -> None:
    case = Case(tmp_path, dataset, experiment)
    empty = {
        "nq": {"ctxs": []},
        "bioasq": {"snippets": []},
        "searchqa": {"search_results": []},
        "ms_marco": {"passages": {"passage_text": [" ", ""], "is_selected": [1, 0], "url": []}},
    }
    content = lines([*records[dataset], records[dataset][0] | empty[dataset]])
    _, ledger = case.prepare(content)
    assert next(step.n_dropped for step in ledger.steps if step.rule == "no_context") == 1


@pytest.mark.parametrize("blank", [" \n", None])
@pytest.mark.parametrize("dataset", QUESTIONS)
def test_questions_without_a_question(
    dataset: str, blank: Any, tmp_path: Path, experiment: Experiment, records: dict
) -> None:
    case, known = Case(tmp_path, dataset, experiment), records[dataset]
    examples, _ = case.prepare(lines(known))
    answered = next(r for r in known if r[TEXT_KEYS[dataset]] == examples["question"][0])
    _, ledger = case.prepare(lines([*known, answered | {TEXT_KEYS[dataset]: blank}]))
    assert next(step.n_dropped for step in ledger.steps if step.rule == "empty_question") == 1


@pytest.mark.parametrize(
    "spoilt",
    [
        {"message_id": ["x"]},
        {"message_id": None},
        {"parent_id": {"a": 1}},
        {"lang": ["en"]},
        {"role": {}},
        {"role": "Assistant"},
        {"deleted": "False"},
        {"deleted": math.nan},
        {"rank": "first"},
        {"rank": [1]},
        {"rank": 1e999},
        {"text": {}},
        {"labels": ["quality"]},
        {"labels": {"quality": {"value": "good", "count": 3}}},
        {"labels": {"quality": {"value": 10**400, "count": 3}}},
        {"labels": {"quality": {"value": 0.9, "count": 1e999}}},
    ],
)
def test_a_message_of_other_types(
    spoilt: dict, tmp_path: Path, experiment: Experiment, records: dict
) -> None:
    case = Case(tmp_path, "oasst1", experiment)
    known = records["oasst1"]
    reply = next(record for record in known if record["role"] == "assistant")
    content = lines([*known, reply | {"message_id": "another"} | spoilt])
    assert f"raw.jsonl:{len(known) + 1} is not a oasst1 record: " in case.refusal(content)
    assert case.dropped(content) == 1


@pytest.mark.parametrize(
    ("dataset", "spoilt"),
    [
        ("vicuna_eval", {"turns": "Explain gravity."}),
        ("searchqa", {"search_results": {"snippets": "One snippet."}}),
        ("searchqa", {"search_results": "One snippet."}),
        ("ms_marco", {"passages": {"passage_text": "abc", "is_selected": [0, 1, 0]}}),
        ("ms_marco", {"passages": {"passage_text": ["a", "b"], "is_selected": "01"}}),
        ("ms_marco", {"passages": {"passage_text": ["a", "b"], "is_selected": ["no", "yes"]}}),
        ("ms_marco", {"passages": "abc"}),
        ("nq", {"ctxs": "abc"}),
        ("bioasq", {"snippets": "abc"}),
        ("sharegpt", {"conversations": "abc"}),
        ("ms_marco", {"passages": {"passage_text": ["a"], "is_selected": [1e999], "url": []}}),
        ("bioasq", {"questions": [None]}),
        ("bioasq", {"questions": [5]}),
    ],
)
def test_a_value_of_another_form(
    dataset: str, spoilt: dict, tmp_path: Path, experiment: Experiment, records: dict
) -> None:
    case, known = Case(tmp_path, dataset, experiment), records[dataset]
    answered = next(row for row in known if dataset != "ms_marco" or row["wellFormedAnswers"])
    content = lines([*known, answered | spoilt])
    row = rf"raw\.jsonl:{len(known) + 1}(\.1)?"  # .1: the first part of a record of several
    assert re.search(f"{row} is not a ", case.refusal(content))
    assert case.dropped(content) == 1


def test_a_rank_of_any_size_orders_replies(
    tmp_path: Path, experiment: Experiment, records: dict
) -> None:
    case, known = Case(tmp_path, "oasst1", experiment), records["oasst1"]
    reply = next(record for record in known if record["role"] == "assistant")
    case.prepare(lines([*known, reply | {"message_id": "last", "rank": 10**400}]))


@pytest.mark.parametrize("value", [True, False, math.inf, -math.inf, [["a"], [True]]])
def test_values_that_are_no_text(
    value: Any, tmp_path: Path, experiment: Experiment, records: dict
) -> None:
    case, known = Case(tmp_path, "alpaca", experiment), records["alpaca"]
    content = lines([*known, {"instruction": "Say it.", "input": "", "output": value}])
    sentence = f"raw.jsonl:{len(known) + 1} is not a alpaca record: text expected, found "
    assert sentence in case.refusal(content)
    assert case.dropped(content) == 1


def test_numbers_count_as_their_digits_and_not_a_number_as_nothing(
    tmp_path: Path, experiment: Experiment
) -> None:
    case, asked = Case(tmp_path, "alpaca", experiment), {"instruction": "Say it.", "input": ""}
    content = lines([asked | {"output": value} for value in (1, 1.5, math.nan)])
    examples, _ = case.prepare(content, filters=[])
    assert sorted(map(list, examples["references"])) == [[], ["1"], ["1.5"]]


@pytest.mark.parametrize(
    "spoilt",
    [
        *('{"a": ["x",', '{"a": [', '{"a":', '{"a": {"b":', '{"a": {"b": 1,', '{"a": "x'),
        *('{"a": [\n', "null", " null "),
    ],
)
@pytest.mark.parametrize("n_good", [1, 2, 3])
def test_a_first_line_that_breaks_off_anywhere_is_one_bad_row(
    spoilt: str, n_good: int, tmp_path: Path, experiment: Experiment, records: dict
) -> None:
    case = Case(tmp_path, "alpaca", experiment)
    content = spoilt.encode() + b"\n" + lines(records["alpaca"][:n_good])
    assert "raw.jsonl line 1 is " in case.refusal(content)
    assert case.dropped(content) == 1


@pytest.mark.parametrize("spoilt", [b"\0\0", b"null", b"\0{}"])
def test_a_bad_line_near_the_begin_is_one_bad_row(
    spoilt: bytes, tmp_path: Path, experiment: Experiment, records: dict
) -> None:
    case, (first, *rest) = Case(tmp_path, "alpaca", experiment), records["alpaca"]
    content = lines([first]) + spoilt + b"\n" + lines(rest)
    assert "raw.jsonl line 2 is " in case.refusal(content)
    assert case.dropped(content) == 1


DEEP = "[" * 600 + "]" * 600  # which the JSON parser takes


@pytest.mark.parametrize("value", ["1" * 5000, DEEP, "[" * 200_000 + "]" * 200_000])
def test_values_that_no_reader_takes(
    value: str, tmp_path: Path, experiment: Experiment, records: dict
) -> None:
    case, known = Case(tmp_path, "alpaca", experiment), records["alpaca"]
    spoilt = f'{{"instruction": "Say it.", "input": "", "output": {value}}}\n'.encode()
    assert case.dropped(spoilt + lines(known)) == case.dropped(lines(known) + spoilt) == 1
    one_list = json.dumps(known)[:-1].encode() + b"," + spoilt + b"]"
    if value == DEEP:
        assert case.dropped(one_list) == 1
    else:
        sentence = case.refusal(one_list, on_bad_row="drop-and-count")
        assert "raw.jsonl: the record at line 1 cannot be read: " in sentence


@pytest.mark.parametrize(
    "text", ["['It is.']", '["It is."]', ' ["a", "b"]\n', "['a' 'b']", "['a'\n 'b']", "[['a']]"]
)
@pytest.mark.parametrize(
    ("dataset", "key"),
    [
        ("nq", "answers"),
        ("bioasq", "exact_answer"),
        ("searchqa", "answer"),
        ("ms_marco", "wellFormedAnswers"),
        ("cnn_dailymail", "highlights"),
    ],
)
def test_a_list_written_as_text_is_a_bad_row(
    dataset: str, key: str, text: str, tmp_path: Path, experiment: Experiment, records: dict
) -> None:
    case, known = Case(tmp_path, dataset, experiment), records[dataset]
    answered = next(row for row in known if dataset != "ms_marco" or row["wellFormedAnswers"])
    content = lines([*known, answered | {key: text}])
    assert "a list written as text; write it as a list" in case.refusal(content)
    assert case.dropped(content) == 1


@pytest.mark.parametrize("answer", [True, {"yes": 1}, "['yes']"])
def test_the_answer_to_an_unsupported_question_is_not_looked_at(
    answer: Any, tmp_path: Path, experiment: Experiment, records: dict
) -> None:
    case, known = Case(tmp_path, "bioasq", experiment), records["bioasq"]
    before, _ = case.prepare(lines(known))
    judged = known[0] | {"type": "yesno", "exact_answer": answer}
    after, ledger = case.prepare(lines([*known, judged]))
    assert ledger.n_dropped("bad_row") == 0 and len(after) == len(before)
    assert "is not a bioasq record" in case.refusal(lines([*known, judged | {"type": "list"}]))


def test_many_keys_are_counted_and_not_listed(case: Case, records: dict) -> None:
    keyed = {f"id-{number:05d}": {"text": "x"} for number in range(5000)}
    for content in (lines([keyed]), lines([*records[case.dataset], keyed])):
        sentence = case.refusal(content)
        assert "id-00019 and 4980 more" in sentence and len(sentence) < 2000


@pytest.mark.parametrize(
    ("dataset", "spoilt", "field"),
    [
        ("nq", {"ctxs": None}, "list expected, found NoneType; its fields are answers (list of "),
        ("nq", {"ctxs": None}, "ctxs (null)"),
        ("nq", {"ctxs": ["It was Al."]}, "ctxs (list of text)"),
        ("nq", {"ctxs": [[["x"]]]}, "ctxs (list of list)"),
        ("bioasq", {"type": ["list"]}, "type (list of text)"),
        ("bioasq", {"snippets": {"text": ["x"]}}, "snippets ({text})"),
        ("vicuna_eval", {"turns": []}, "turns (empty list)"),
        ("wikisum", {"article": 3, "summary": ["x"]}, "article (number)"),
        ("oasst1", {"labels": {"quality": 0.9}}, "labels ({quality})"),
        ("oasst1", {"labels": {"quality": {"value": "good", "count": 3}}}, "labels ({quality})"),
        ("ms_marco", {"passages": None}, "passages (null)"),
        ("sharegpt", {"conversations": [True]}, "conversations (list of true or false)"),
    ],
)
def test_a_field_of_another_form_is_shown(
    dataset: str,
    spoilt: dict,
    field: str,
    tmp_path: Path,
    experiment: Experiment,
    records: dict,
) -> None:
    case, known = Case(tmp_path, dataset, experiment), records[dataset]
    record = next(row for row in known if dataset != "oasst1" or row["role"] == "assistant")
    assert field in case.refusal(lines([*known, record | spoilt]))


@pytest.mark.parametrize(
    ("dataset", "spoilt", "key", "field"),
    [
        (
            *("sharegpt", {"conversations": [{"role": "user", "content": "x"}]}, "from"),
            "conversations (list of {content, role})",
        ),
        (
            *("ms_marco", {"passages": [{"text": "x"}]}, "passage_text"),
            "passages (list of {text})",
        ),
        (
            *("self_instruct", {"instances": [{"input": "x"}]}, "output"),
            "instances (list of {input})",
        ),
    ],
)
def test_a_key_that_an_inner_object_lacks(
    dataset: str,
    spoilt: dict,
    key: str,
    field: str,
    tmp_path: Path,
    experiment: Experiment,
    records: dict,
) -> None:
    case, known = Case(tmp_path, dataset, experiment), records[dataset]
    record = {name: known[0][name] for name in ("id", "query", "instruction") if name in known[0]}
    answers = {"wellFormedAnswers": []} if dataset == "ms_marco" else {}
    sentence = case.refusal(lines([*known, record | answers | spoilt]))
    assert f"an object within lacks the key '{key}'" in sentence and field in sentence


@pytest.mark.parametrize("of_lists", [False, True])
@pytest.mark.parametrize("dataset", ["alpaca", "dolly", "vicuna_eval", "koala_eval"])
def test_an_instruction_set_in_columns(
    dataset: str, of_lists: bool, tmp_path: Path, experiment: Experiment, records: dict
) -> None:
    case, known = Case(tmp_path, dataset, experiment), records[dataset][:3]
    table = {key: {str(n): row[key] for n, row in enumerate(known)} for key in known[0]}
    if of_lists:
        table = {key: list(column.values()) for key, column in table.items()}
    assert "write one object a row" in case.refusal(json.dumps(table).encode())
