"""Splits of datasets from raw files: order of the steps, accounting, draws, empty results."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_samples import write_json_lines

from prepare_split import main as prepare
from reset_tuning.data.examples import DatasetSpec, nothing_left, prepare_split
from reset_tuning.data.fetch import fetch
from reset_tuning.data.ledger import AccountingError, Ledger
from reset_tuning.data.overlaps import Similarity
from reset_tuning.data.store import write_examples
from reset_tuning.errors import InputError
from reset_tuning.files import sha256_of
from reset_tuning.stats.ledger import check_ledger
from reset_tuning.tables import read_table

Writer = Callable[[Path, list[dict[str, Any]]], Path]


def manifest(
    folder: Path, splits: dict[str, list[dict[str, Any]]], write: Writer = write_json_lines
) -> Path:
    """Write raw files, one a split, and their manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for split, records in splits.items():
        path = write(folder / f"{split}.jsonl", records)
        digest, size = sha256_of(path), path.stat().st_size
        files.append({"path": path.name, "split": split, "sha256": digest, "bytes": size})
    path = folder / "manifest.json"
    path.write_text(json.dumps({"files": files}))
    return path


def spec(kind: str = "instruction", format: str = "alpaca", **values: Any) -> DatasetSpec:
    filters = values.pop("filters", ["empty_instruction", "has_context"])
    options = values.pop("options", {})
    entry = {
        "kind": kind,
        "format": format,
        "filters": filters,
        "options": options,
        "split": values,
    }
    return DatasetSpec.of("x", entry)


def task(instruction: str, output: str = "o", context: str = "") -> dict[str, str]:
    return {"instruction": instruction, "input": context, "output": output}


@dataclass
class Done:
    """A split that was read and written."""

    examples: pd.DataFrame
    ledger: Ledger
    overlaps: pd.DataFrame


def prepared(
    path: Path, split: str, wanted: DatasetSpec, seed: int = 0, training: Sequence[Path] = ()
) -> Done:
    made = prepare_split(path, "x", split, wanted, list(training), seed)
    target = path.parent / f"{split}.parquet"
    write_examples(made.rows, target, made.metadata)
    return Done(read_table(target, "example"), made.ledger, pd.DataFrame(made.overlaps))


def rules(done: Done) -> list[tuple[str, int, int]]:
    return [(step.rule, step.n_in, step.n_dropped) for step in done.ledger.steps]


def test_steps_are_counted_in_order(tmp_path: Path) -> None:
    records = [task("a"), task("b"), task("A."), task(""), task("c", context="c"), task("a")]
    path = manifest(tmp_path, {"test": records})
    done = prepared(path, "test", spec(filters=["empty_instruction", "has_context"], size=2))
    assert rules(done) == [
        ("read", 6, 0),
        ("empty_instruction", 6, 1),
        ("has_context", 5, 1),
        ("duplicate_content", 4, 1),
        ("not_sampled_for_evaluation", 3, 1),
    ]
    check_ledger(done.ledger.frame(), "here")
    assert set(done.examples["instruction"]) <= {"a", "b", "A."} and len(done.examples) == 2


def test_a_record_of_several_examples_keeps_them_whatever_tells_the_format(tmp_path: Path) -> None:
    """Some instruction sets have groups, of which the best is kept; most have not."""
    record = {"instruction": "Add.", "instances": [task("", f"{n}", f"{n}+0") for n in range(3)]}
    path = manifest(tmp_path, {"test": [record]})
    done = prepared(path, "test", spec(format="auto", filters=[]))
    assert len(done.examples) == 3
    assert sum(dropped for _, _, dropped in rules(done)) == 0


def test_the_script_writes_both_tables(tmp_path: Path) -> None:
    path = manifest(tmp_path, {"train": [task("a"), task("b")], "test": [task("A!"), task("z")]})
    entry = {"kind": "instruction", "format": "auto", "options": {}, "split": {}}
    for split, filters in (("train", []), ("test", [{"seen_in_training": {}}])):
        prepare(
            manifest=path,
            examples=tmp_path / f"{split}.parquet",
            ledger=tmp_path / f"{split}.ledger.csv",
            overlaps=tmp_path / f"{split}.overlaps.csv",
            dataset="x",
            split=split,
            spec=entry | {"filters": filters},
            seed=0,
            training=[tmp_path / "train.parquet"] if split == "test" else [],
        )
    (row,) = read_table(tmp_path / "test.parquet", "example").to_dict("records")
    assert row["instruction"] == "z" and row["source_row"] == "test.jsonl:2"
    assert row["context"] is None or row["context"] != row["context"]
    assert row["references"] == ["o"]
    ledger = read_table(tmp_path / "test.ledger.csv", "ledger")
    assert dict(zip(ledger["rule"], ledger["n_dropped"], strict=True))["seen_in_training"] == 1


def test_gold_positions_are_in_the_table(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    def asked(question: str, gold: int) -> dict[str, Any]:
        texts = ["cod" if place == gold else f"p{place}" for place in range(8)]
        return {
            "question": question,
            "answers": ["cod"],
            "ctxs": [{"text": text} for text in texts],
        }

    path = manifest(
        tmp_path, {"test": [asked("a", 0), asked("b", 0), asked("c", 6), asked("d", 9)]}
    )
    wanted = spec("extractive_qa", "passages", filters=["no_answer", "gold_not_in_passages"])
    done = prepared(path, "test", wanted)
    assert ("gold_not_in_passages", 4, 1) in rules(done)
    places = done.examples.set_index("question")[["gold_passages", "gold_retrieved"]]
    assert places.loc["a"].to_list() == places.loc["b"].to_list() == [[1], 1]
    assert places.loc["c"].to_list() == [[5], 7]
    assert "first gold passage by rank: {1: 2, 5: 1}" in caplog.text


def test_instructions_have_no_gold_positions_to_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    prepared(manifest(tmp_path, {"test": [task("a")]}), "test", spec())
    assert "gold passage" not in caplog.text


def message(identifier: str, parent: str | None, rank: int | None, quality: float) -> dict:
    labels = {"quality": {"value": quality, "count": 2}}
    role = "assistant" if parent else "prompter"
    values = {"message_id": identifier, "parent_id": parent, "role": role, "rank": rank}
    return values | {"text": identifier, "lang": "en", "deleted": False, "labels": labels}


def test_of_equal_replies_the_order_of_the_file_decides_nothing(tmp_path: Path) -> None:
    replies = [message(name, "root", 0, 0.9) for name in "abcdef"]
    kept = set()
    for records in (replies, replies[::-1], replies[3:] + replies[:3]):
        path = manifest(tmp_path, {"train": [message("root", None, None, 0.0), *records]})
        wanted = spec("instruction", "oasst1", filters=["not_assistant_pair"])
        kept.add(prepared(path, "train", wanted).examples["references"][0][0])
    assert len(kept) == 1


def test_the_best_ranked_reply_that_qualifies_is_kept(tmp_path: Path) -> None:
    records = [
        message("root", None, None, 0.0),
        message("best but disliked", "root", 0, 0.5),
        message("unranked", "root", None, 0.99),
        message("third", "root", 2, 0.9),
        message("second", "root", 1, 0.6),
    ]
    path = manifest(tmp_path, {"train": records})
    filters = ["not_assistant_pair", {"low_rating": {"above": 0.5, "annotators": 2}}]
    done = prepared(path, "train", spec("instruction", "oasst1", filters=filters))
    assert list(done.examples["references"]) == [["second"]]
    assert rules(done)[1:5] == [
        ("repeated_message", 5, 0),
        ("not_assistant_pair", 5, 1),
        ("low_rating", 4, 1),
        ("not_best_reply", 3, 2),
    ]


def several_files(folder: Path, *contents: list[dict]) -> Path:
    """Return the manifest of raw files of the training split."""
    path = manifest(folder, {f"{place}": records for place, records in enumerate(contents)})
    listed = json.loads(path.read_text())
    path.write_text(json.dumps({"files": [file | {"split": "train"} for file in listed["files"]]}))
    return path


def pairs(path: Path) -> list[tuple[str, str]]:
    """Return prompts and replies that are kept of OpenAssistant's messages."""
    done = prepared(path, "train", spec("instruction", "oasst1", filters=["not_assistant_pair"]))
    replies = [references[0] for references in done.examples["references"]]
    return sorted(zip(done.examples["instruction"], replies, strict=True))


def test_a_message_of_id_0_has_one_best_reply(tmp_path: Path) -> None:
    replies = [message(1, 0, 0, 0.9), message(2, 0, 1, 0.9)]
    replies = [reply | {"role": "assistant", "text": str(reply["rank"])} for reply in replies]
    path = manifest(tmp_path, {"train": [message(0, None, None, 0.0) | {"text": "?"}, *replies]})
    assert pairs(path) == [("?", "0")]


def test_files_that_count_their_messages_from_1_have_a_prompt_each(tmp_path: Path) -> None:
    def numbered(prompt: str, *extra: dict) -> list[dict]:
        root, reply = message(1, None, None, 0.0), message(2, 1, 0, 0.9)
        return [root | {"text": prompt}, reply | {"text": prompt.upper()}, *extra]

    lost = message(4, 3, 0, 0.9) | {"text": "another prompt's"}
    unrelated = message(3, None, None, 0.0) | {"text": "no reply"}
    path = several_files(tmp_path, numbered("a", unrelated), numbered("b", lost))
    assert pairs(path) == [("a", "A"), ("b", "B")]


def test_no_reply_gets_a_prompt_that_another_file_has_by_the_same_number(tmp_path: Path) -> None:
    prompts = [[message(1, None, None, 0.0) | {"text": text}] for text in ("a", "b")]
    path = several_files(tmp_path, *prompts, [message(7, 1, 0, 0.9)])
    with pytest.raises(InputError, match="none of 3 records is left; filter not_assistant_pair"):
        pairs(path)


@pytest.mark.parametrize("is_swapped", [False, True])
def test_a_tree_may_be_split_over_files(tmp_path: Path, is_swapped: bool) -> None:
    first = [message("root", None, None, 0.0), message("second", "root", 1, 0.9)]
    second = [message("best", "root", 0, 0.9), message("lone", None, None, 0.0)]
    files = (second, first) if is_swapped else (first, second)
    assert pairs(several_files(tmp_path / "apart", *files)) == [("root", "best")]
    again = [*second, message("second", "root", 1, 0.9)]  # one message of the first file too
    assert pairs(several_files(tmp_path / "again", first, again)) == [("root", "best")]


@settings(max_examples=25)
@given(
    st.lists(st.text("abc ?", max_size=4), min_size=1, max_size=40),
    st.integers(0, 3),
    st.sampled_from([0.1, 0.2, 0.5, 0.9]),
)
def test_a_hash_split_divides_without_overlap(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], seed: int, fraction: float
) -> None:
    path = manifest(tmp_path_factory.mktemp("raw"), {"all": [task(text) for text in texts]})
    found: dict[str, set[str]] = {}
    for split, share in (("train", 1 - fraction), ("test", fraction)):
        try:
            done = prepared(path, split, spec(filters=[], fraction=share), seed)
        except InputError:  # chance gave this split nothing
            found[split] = set()
            continue
        check_ledger(done.ledger.frame(), "here")
        found[split] = set(done.examples["instruction"])
    assert found["train"] | found["test"] == set(texts)
    folded = [{text.replace("?", " ").strip() for text in texts_} for texts_ in found.values()]
    assert not {" ".join(t.split()) for t in folded[0] if t} & {
        " ".join(t.split()) for t in folded[1] if t
    }


@settings(max_examples=25)
@given(st.permutations(range(30)), st.integers(1, 40), st.sampled_from(["size", "subset"]))
def test_draws_depend_on_content_and_not_on_order(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], size: int, step: str
) -> None:
    def drawn(numbers: list[int]) -> set[str]:
        path = manifest(tmp_path_factory.mktemp("raw"), {"test": [task(f"t{n}") for n in numbers]})
        return set(prepared(path, "test", spec(**{step: size})).examples["instruction"])

    chosen = drawn(order)
    assert len(chosen) == min(size, 30)
    assert chosen == drawn(list(range(30)))


def test_copies_of_a_record_are_drawn_once(tmp_path: Path) -> None:
    """A record in several copies takes one place of a subset, not one for each of them."""
    records = [task(f"t{n}") for n in range(20)] * 6
    done = prepared(manifest(tmp_path, {"test": records}), "test", spec(subset=6))
    assert ("not_in_subset", 120, 114) in rules(done)
    assert ("duplicate_content", 6, 0) in rules(done)


def test_duplicate_instructions_are_compared_folded(tmp_path: Path) -> None:
    asked = ["What's C++?", "what’s  C++", "What's C#?", "WHAT'S C++!"]
    path = manifest(tmp_path, {"test": [task(text) for text in asked]})
    done = prepared(path, "test", spec(filters=["duplicate_instruction"]))
    assert ("duplicate_instruction", 4, 2) in rules(done)
    assert "What's C#?" in set(done.examples["instruction"])


def dolly_record(instruction: str, category: str) -> dict[str, str]:
    values = {"context": "", "response": "o", "category": category}
    return {"instruction": instruction} | values


def test_of_equal_records_with_other_marks_the_order_decides_nothing(tmp_path: Path) -> None:
    """A filter behind the rule sees the same marks, whichever record came first."""
    records = [
        dolly_record("a", "closed_qa"),
        dolly_record("a", "open_qa"),
        dolly_record("b", "open_qa"),
    ]
    wanted = spec("instruction", "dolly", filters=["duplicate_instruction", "has_context"])
    found = [
        rules(prepared(manifest(tmp_path, {"train": rows}), "train", wanted))
        for rows in (records, records[::-1])
    ]
    assert found[0] == found[1]


@given(st.lists(st.lists(st.booleans(), max_size=20), min_size=1, max_size=6))
def test_any_chain_of_filters_adds_up(steps: list[list[bool]]) -> None:
    ledger = Ledger("data", "x", "train")
    items = ledger.read(iter(range(20)))
    for number, verdicts in enumerate(steps):
        items = ledger.filtered(f"rule {number}", items, lambda i, v=verdicts: i < len(v) and v[i])
    items = ledger.reduced("half", items, lambda whole: list(whole)[::2])
    left = list(items)
    frame = ledger.frame()
    check_ledger(frame, "here")
    assert frame["n_out"].iloc[-1] == len(left) == ledger.n_out
    assert frame["n_in"].iloc[0] - frame["n_dropped"].sum() == len(left)


@given(st.integers(0, 9), st.integers(0, 9), st.sampled_from(["read", "odd", "even"]))
def test_rows_that_nobody_read_are_counted_up_to_their_rule(n: int, more: int, rule: str) -> None:
    ledger = Ledger("data", "x", "train")
    odd = ledger.filtered("odd", ledger.read(iter(range(4))), lambda number: number % 2 == 1)
    assert list(ledger.filtered("even", odd, lambda number: True)) == [1, 3]
    before = {step.rule: (step.n_in, step.n_dropped) for step in ledger.steps}
    ledger.passed_over(rule, n)
    ledger.passed_over(rule, more)
    ledger.check(2)
    for step in ledger.steps:
        n_in, n_dropped = before[step.rule]
        assert step.n_dropped - n_dropped == (n + more if step.rule == rule else 0)


def test_a_ledger_that_does_not_add_up_stops_the_job() -> None:
    ledger = Ledger("data", "x", "train")
    list(ledger.filtered("odd", ledger.read(iter(range(4))), lambda number: number % 2 == 1))
    ledger.check(2)
    with pytest.raises(AccountingError, match="2 rows are accounted for, 3 were written"):
        ledger.check(3)
    ledger.steps[1].n_dropped = 1
    with pytest.raises(AccountingError, match="step odd has 4 rows in, 1 dropped and 2 out"):
        ledger.check(2)


TEXTS = st.sampled_from(["", " ", "a", "A?", "a.", "b", "B b"])
TASKS = st.builds(task, TEXTS, TEXTS, TEXTS)
FILTERS = ["empty_instruction", "empty_response", "has_context", "duplicate_instruction"]


@settings(max_examples=40)
@given(
    st.lists(TASKS, min_size=1, max_size=25),
    st.permutations(FILTERS),
    st.one_of(st.none(), st.integers(1, 20)),
    st.randoms(use_true_random=False),
)
def test_rows_balance_and_their_order_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    records: list[dict],
    filters: list[str],
    subset: int | None,
    random: Any,
) -> None:
    """Any rows and rules: the ledger adds up, ids are unique, and order decides no row or count."""

    def kept(rows: list[dict]) -> tuple[set[str], list[tuple[str, int, int]]]:
        path = manifest(tmp_path_factory.mktemp("raw"), {"train": rows})
        try:
            done = prepared(path, "train", spec(filters=filters, subset=subset))
        except InputError as error:
            assert "none of" in str(error)
            return set(), []
        check_ledger(done.ledger.frame(), "here")
        assert done.examples["example_id"].is_unique
        assert done.ledger.steps[0].n_in == len(rows)
        return set(done.examples["example_id"]), rules(done)

    shuffled = list(records)
    random.shuffle(shuffled)
    assert kept(records) == kept(shuffled)


def as_parquet(path: Path, records: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(records), path, row_group_size=3)
    return path


QUERIES = st.builds(
    lambda query, answers, marks: {
        "query": query,
        "passages": {
            "passage_text": [f"p{n}" * n for n in range(len(marks))],
            "is_selected": marks,
        },
        "wellFormedAnswers": answers,
    },
    st.text("abc", max_size=3),
    st.sampled_from([[], [""], ["An answer."], ["Another."], ["No Answer Present."], None]),
    st.lists(st.integers(0, 1), max_size=7),
)


@pytest.mark.parametrize("values", [{}, {"subset": 4}, {"fraction": 0.5}, {"size": 2}])
@settings(max_examples=25)
@given(
    st.lists(QUERIES, min_size=1, max_size=12),
    st.sampled_from(["no_answer", "no_answer no_context", "no_context no_answer", "no_context"]),
)
def test_parquet_rows_without_answers_are_counted_as_if_they_were_read(
    tmp_path_factory: pytest.TempPathFactory,
    values: dict[str, Any],
    records: list[dict],
    filters: str,
) -> None:
    """Lists that are seen to be empty change neither table nor ledger, whatever the rules."""
    wanted = spec("abstractive_qa", "ms_marco", filters=filters.split(), **values)
    split = "all" if "fraction" in values else "train"

    def outcome(write: Writer) -> Any:
        path = manifest(tmp_path_factory.mktemp("raw"), {split: records}, write)
        try:
            done = prepared(path, "train", wanted)
        except InputError as error:
            return str(error)
        return done.examples.to_json(), done.ledger.frame().to_json()

    assert outcome(as_parquet) == outcome(write_json_lines)


def test_the_seed_tasks_that_two_sets_share_are_found(tmp_path: Path) -> None:
    """Self-Instruct and Alpaca grew from the same 175 seed tasks, the known leak."""
    seeds = [f"Write a poem about fish number {n} that swims in the lake" for n in range(175)]
    grown = {name: [f"{name} invented task {n}" for n in range(300)] for name in ("ours", "theirs")}
    trained = [task(text) for text in seeds + grown["ours"]]
    path = manifest(tmp_path / "a", {"train": trained})
    prepared(path, "train", spec(format="self_instruct", filters=[]))
    tested = [task(text.upper() + "!") for text in seeds[:100]]
    tested += [task(f"{text} today") for text in seeds[100:]]
    tested += [task(text) for text in grown["theirs"]]
    raw = manifest(tmp_path / "b", {"test": tested})
    wanted = replace(
        spec(filters=["seen_in_training", "near_duplicate_of_training"]),
        similarity=Similarity(0.8, 3),
    )
    done = prepared(raw, "test", wanted, training=[tmp_path / "a/train.parquet"])
    counts = {rule: n_dropped for rule, _, n_dropped in rules(done)}
    assert counts["seen_in_training"] == 100
    assert counts["near_duplicate_of_training"] == 75
    assert set(done.examples["instruction"]) == set(grown["theirs"])
    assert done.overlaps.groupby("kind").size().to_dict() == {"exact": 100, "near": 75}
    assert set(done.overlaps["training"]) == {"x"}
    only = manifest(tmp_path / "c", {"test": tested[:100]})
    with pytest.raises(InputError, match="of the training sets x holds most"):
        prepared(only, "test", wanted, training=[tmp_path / "a/train.parquet"])


def test_nothing_left_names_the_filter(tmp_path: Path) -> None:
    path = manifest(tmp_path, {"test": [task(""), task("a", context="c"), task("b", context="c")]})
    with pytest.raises(InputError, match="dataset x, split test: none of 3 records.*has_context"):
        prepared(path, "test", spec())


@pytest.mark.parametrize(
    ("rule", "where"),
    [
        ("bad_row", "step bad_row dropped most (2), see datasets.x.on_bad_row"),
        ("other_split", "step other_split dropped most (2), see datasets.x.splits.test.fraction"),
        ("not_in_subset", "not_in_subset dropped most (2), see datasets.x.splits.test.subset"),
        ("not_best_reply", "step not_best_reply dropped most (2)"),
        ("duplicate_content", "step duplicate_content dropped most (2)"),
        ("not_sampled_for_evaluation", "dropped most (2), see datasets.x.splits.test.size"),
        ("no_context", "filter no_context dropped most (2), see datasets.x.filters"),
        ("seen_in_training", "seen_in_training dropped most (2), see datasets.x.filters"),
    ],
)
def test_nothing_left_names_the_key_of_a_step_that_is_no_filter(rule: str, where: str) -> None:
    ledger = Ledger("data", "x", "test")
    ledger.count("read", 2, 2)
    ledger.count(rule, 2, 0)
    assert nothing_left("x", "test", ledger).endswith(where)


def test_files_without_a_split_need_a_fraction(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="need datasets.x.splits.test.fraction"):
        prepared(manifest(tmp_path, {"all": [task("a")]}), "test", spec())


def test_a_split_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no raw file for split train"):
        prepared(manifest(tmp_path, {"test": [task("a")]}), "train", spec())


def test_changed_and_missing_raw_files_are_noticed(tmp_path: Path) -> None:
    path = manifest(tmp_path, {"test": [task("a")]})
    write_json_lines(tmp_path / "test.jsonl", [task("b")])  # of the same size
    with pytest.raises(InputError, match="dataset x: raw file .* is missing or changed"):
        prepared(path, "test", spec())
    (tmp_path / "test.jsonl").unlink()
    with pytest.raises(InputError, match="missing or changed"):
        prepared(path, "test", spec())


def test_a_local_link_whose_file_changed_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESET_RAW_DIR", str(tmp_path / "local"))
    own = write_json_lines(tmp_path / "local/x/test.jsonl", [task("a")])
    path = tmp_path / "raw/x/manifest.json"
    fetch(path, "x", {"type": "local", "files": {"test": ["*.jsonl"]}})
    assert len(prepared(path, "test", spec()).examples) == 1
    write_json_lines(own, [task("b")])
    with pytest.raises(InputError, match="is missing or changed since .*manifest.json; fetch"):
        prepared(path, "test", spec())


def test_a_broken_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"files": [{"path": "x"}]}')
    with pytest.raises(InputError, match="dataset x: .*manifest.json is not a readable manifest"):
        prepared(tmp_path / "manifest.json", "test", spec())


def test_a_broken_raw_file_is_named_with_its_dataset_and_one_position(tmp_path: Path) -> None:
    path = manifest(tmp_path, {"test": [task("a")]})
    content = json.dumps(task("a")) + '\n{"instruction": "a",,}\n'
    (tmp_path / "test.jsonl").write_text(content)
    files = json.loads(path.read_text())["files"]
    files[0]["sha256"] = sha256_of(tmp_path / "test.jsonl")
    path.write_text(json.dumps({"files": files}))
    with pytest.raises(InputError) as caught:
        prepared(path, "test", spec())
    sentence = str(caught.value)
    assert sentence.startswith("dataset x: test.jsonl line 2 is not valid JSON: ")
    assert sentence.count("line") == 1 and "column" not in sentence


def test_a_record_of_another_format_is_named_with_its_dataset(tmp_path: Path) -> None:
    path = manifest(tmp_path, {"test": [{"unknown": "a"}]})
    with pytest.raises(InputError, match="^dataset x: test.jsonl is not in format 'alpaca'"):
        prepared(path, "test", spec())
