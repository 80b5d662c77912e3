"""Mixtures: unique instructions, held-out rows, up-sampling, token limits, accounting."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_samples import example

from build_mixture import main as build
from reset_tuning.data.mixtures import (
    MixtureFiles,
    MixtureSpec,
    build_mixture,
    copies,
    example_tables,
)
from reset_tuning.data.prompts import PromptSettings, cutting_tokenizer
from reset_tuning.data.store import BUFFER_BYTES
from reset_tuning.errors import InputError
from reset_tuning.stats.ledger import check_ledger
from reset_tuning.tables import read_table, write_table

TASKS = {"nq": "Extract.", "cnn_dailymail": "Sum up."}


def instructions(dataset: str, texts: list[str], **values: Any) -> pd.DataFrame:
    rows = [
        example(f"{dataset}-{place}", dataset=dataset, instruction=text) | values
        for place, text in enumerate(texts)
    ]
    return pd.DataFrame(rows)


def questions(n: int, **values: Any) -> pd.DataFrame:
    common = {"dataset": "nq", "context": "One.\nTwo."} | values
    rows = [{"question": f"Who is number {n}?"} | common for n in range(n)]
    return pd.DataFrame([example(f"nq-{n}", "extractive_qa", **row) for n, row in enumerate(rows)])


def spec(**values: Any) -> MixtureSpec:
    entry = {
        "sets": {"instruction": ["dolly", "oasst1"], "nq": ["nq"]},
        "validation_size": 2,
        "long_responses": "drop",
        "max_response_tokens": 20,
        "near_duplicates": "keep",
        "similarity": {"threshold": 0.8, "n_words": 3},
    }
    return MixtureSpec.of("all", entry | values)


@dataclass
class Mixture:
    """What a mixture's four tables hold."""

    train: pd.DataFrame
    validation: pd.DataFrame
    ledger: pd.DataFrame
    duplicates: pd.DataFrame


def mixed(
    folder: Path,
    examples: dict[str, pd.DataFrame],
    spec: MixtureSpec,
    prompts: PromptSettings,
    seed: int = 0,
    buffer_bytes: int = BUFFER_BYTES,
) -> Mixture:
    """Write the examples, mix them and read what came of it."""
    paths = []
    for name, rows in examples.items():
        paths.append(folder / f"{name}.parquet")
        write_table(rows, paths[-1], "example")
    files = MixtureFiles(folder / "out" / "train.parquet", folder / "out" / "validation.parquet")
    tables = example_tables(paths)
    counts = build_mixture("all", tables, spec, prompts, seed, files, buffer_bytes)
    assert {path.name for path in files.train.parent.iterdir()} == {
        "train.parquet", "validation.parquet",
    }  # fmt: skip
    write_table(counts.duplicates, folder / "duplicates.csv", "duplicates")
    return Mixture(
        read_table(files.train, "mixture"),
        read_table(files.validation, "mixture"),
        counts.ledger,
        read_table(folder / "duplicates.csv", "duplicates"),
    )


@pytest.fixture
def built(tokenizer: Any, template: dict, tmp_path_factory: pytest.TempPathFactory) -> Any:
    def build_one(examples: dict[str, pd.DataFrame], seed: int = 0, **values: Any) -> Mixture:
        prompts = PromptSettings(tokenizer, template, TASKS, values.pop("max_length", 300))
        buffer = values.pop("buffer_bytes", BUFFER_BYTES)
        folder = tmp_path_factory.mktemp("mixture")
        return mixed(folder, examples, spec(**values), prompts, seed, buffer)

    return build_one


def sample() -> dict[str, pd.DataFrame]:
    return {
        "dolly": instructions("dolly", ["a", "b", "c", "d"]),
        "oasst1": instructions("oasst1", ["A!", "e", "f"]),
        "nq": questions(12),
    }


def pairs(mixture: Mixture) -> dict[tuple[str, str], list[float]]:
    """The duplicates of the instruction set by (first, dataset), exact and near."""
    rows = mixture.duplicates[mixture.duplicates["set"] == "instruction"]
    counts = rows[["n_exact", "n_near"]].to_numpy(dtype=float).tolist()
    return dict(zip(zip(rows["first"], rows["dataset"], strict=True), counts, strict=True))


def dropped(mixture: Mixture, name: str, split: str = "train") -> dict[str, int]:
    rows = mixture.ledger[
        (mixture.ledger["item"] == f"all/{name}") & (mixture.ledger["split"] == split)
    ]
    return dict(zip(rows["rule"], rows["n_dropped"], strict=True))


def test_sets_are_unique_held_out_and_up_sampled(built: Any) -> None:
    mixture = built(sample())
    assert Counter(mixture.train["set"]) == {"instruction": 10, "nq": 10}
    assert Counter(mixture.validation["set"]) == {"instruction": 2, "nq": 2}
    assert dropped(mixture, "instruction") == {
        "read": 0, "no_response": 0, "response_too_long": 0, "prompt_too_long": 0,
        "duplicate_instruction": 1, "held_out_for_validation": 2, "near_duplicate_of_validation": 0,
        "up_sampled": -6,
    }  # fmt: skip
    assert dropped(mixture, "instruction", "validation") == {"read": 0, "kept_for_training": 4}
    check_ledger(mixture.ledger, "here")
    assert not set(mixture.train["example_id"]) & set(mixture.validation["example_id"])
    assert set(mixture.validation["copy"]) == {0}
    assert "oasst1-0" not in set(mixture.train["example_id"]) | set(
        mixture.validation["example_id"]
    )


def test_rows_carry_prompts_and_counts(built: Any, tokenizer: Any) -> None:
    row = built(sample()).train.query("set == 'nq'").iloc[0]
    asked = f"Question: {row['question']}"
    assert row["prompt"].endswith(f"### Input:\nOne.\nTwo.\n\n{asked}\n\n### Response:")
    assert row["response"] == "yes" and row["n_context_tokens_cut"] == 0
    count = {
        key: len(tokenizer(row[key], add_special_tokens=False)["input_ids"])
        for key in ("prompt", "response")
    }
    assert row["n_prompt_tokens"] == count["prompt"] + 1
    assert row["n_response_tokens"] == count["response"] + 1


def test_prompt_and_response_fit_together(built: Any) -> None:
    examples = sample() | {"nq": questions(12, context="word " * 200, references=["of the " * 5])}
    rows = built(examples, max_length=260).train
    assert (rows["n_prompt_tokens"] + rows["n_response_tokens"]).max() <= 260
    assert (rows.query("set == 'nq'")["n_context_tokens_cut"] > 0).all()


def test_long_responses_and_prompts_are_dropped_by_name(built: Any) -> None:
    examples = sample()
    examples["dolly"].at[1, "references"] = ["qx" * 30]
    examples["dolly"].at[2, "references"] = []
    examples["dolly"].at[3, "references"] = [" "]
    examples["oasst1"].at[1, "instruction"] = "qx" * 200
    counts = dropped(built(examples), "instruction")
    assert (counts["no_response"], counts["response_too_long"], counts["prompt_too_long"]) == (
        2,
        1,
        1,
    )
    kept = dropped(built(examples, long_responses="keep"), "instruction")
    assert "response_too_long" not in kept


def test_no_instruction_is_lost_as_the_duplicate_of_one_that_is_of_no_use(built: Any) -> None:
    examples = sample()
    examples["dolly"].at[0, "references"] = ["qx" * 200]  # OASST has its instruction too
    counts = dropped(built(examples), "instruction")
    assert (counts["response_too_long"], counts["duplicate_instruction"]) == (1, 0)
    counts = dropped(built(examples, long_responses="keep"), "instruction")
    assert (counts["prompt_too_long"], counts["duplicate_instruction"]) == (1, 0)


def test_the_longest_allowed_response_stays(built: Any, tokenizer: Any) -> None:
    examples = sample()
    text = "qx" * 10
    length = len(tokenizer(text, add_special_tokens=False)["input_ids"])
    examples["dolly"].at[1, "references"] = [text]
    assert (
        dropped(built(examples, max_response_tokens=length), "instruction")["response_too_long"]
        == 0
    )
    assert (
        dropped(built(examples, max_response_tokens=length - 1), "instruction")["response_too_long"]
        == 1
    )


def test_the_same_question_may_be_asked_twice(built: Any) -> None:
    assert dropped(built(sample()), "nq")["duplicate_instruction"] == 0


def test_draws_follow_the_content(built: Any) -> None:
    first = built(sample())
    shuffled = {name: rows.sample(frac=1, random_state=1) for name, rows in sample().items()}
    second = built(shuffled)
    key = ["set", "example_id", "copy"]
    for part in ("train", "validation"):
        one, two = (
            getattr(m, part).sort_values(key).reset_index(drop=True) for m in (first, second)
        )
        pd.testing.assert_frame_equal(one, two)
    assert set(built(sample(), seed=1).validation["example_id"]) != set(
        first.validation["example_id"]
    )


STORY = "write a short story about an old fisherman who finds a bottle with a letter on the beach"


def test_near_duplicate_instructions_are_dropped_once(built: Any) -> None:
    examples = sample()
    texts = [STORY, "a b c", "d e f", "g h i"]
    examples["dolly"] = instructions("dolly", texts)
    examples["oasst1"] = instructions("oasst1", [f"{STORY} today", f"Now {STORY}", "j k l"])
    mixture = built(examples, near_duplicates="drop")
    assert dropped(mixture, "instruction")["near_duplicate_instruction"] == 2
    kept = set(mixture.train["instruction"]) | set(mixture.validation["instruction"])
    assert STORY in kept and f"{STORY} today" not in kept
    assert dropped(built(examples), "instruction").get("near_duplicate_instruction") is None
    check_ledger(mixture.ledger, "here")


def test_duplicates_are_counted_by_pair_of_datasets(built: Any) -> None:
    examples = sample()
    examples["dolly"] = instructions("dolly", [STORY, "A b c", "a b c!", "d e f", "g h i"])
    texts = [f"{STORY} today", f"Now {STORY}", "a B c", f"now {STORY}!", "x y", "x y."]
    examples["oasst1"] = instructions("oasst1", texts)
    mixture = built(examples, near_duplicates="drop")
    assert pairs(mixture) == {
        ("dolly", "dolly"): [1, 0], ("dolly", "oasst1"): [1, 2], ("oasst1", "oasst1"): [2, 0],
    }  # fmt: skip
    assert set(mixture.duplicates["set"]) == {"instruction"}, "questions are not compared"
    assert built(examples).duplicates["n_near"].isna().all(), "kept ones are not looked for"


@settings(max_examples=20)
@given(
    st.lists(
        st.tuples(st.sampled_from(["dolly", "oasst1"]), st.integers(0, 4), st.integers(0, 3)),
        max_size=25,
    )
)
def test_the_pairs_add_up_to_the_ledger(
    tokenizer: Any,
    template: dict,
    tmp_path_factory: pytest.TempPathFactory,
    drawn: list[tuple[str, int, int]],
) -> None:
    """Whatever is equal or alike: the pairs' sums are the rows that the rules dropped."""
    ends = ["", "!", " today", " now"]
    texts = {name: [f"{name} {n}" for n in range(6)] for name in ("dolly", "oasst1")}
    for name, number, end in drawn:
        texts[name].append(STORY.replace(" ", f" x{number} ") + ends[end])
    examples = {name: instructions(name, texts[name]) for name in texts}
    prompts = PromptSettings(tokenizer, template, TASKS, 4000)
    wanted = spec(sets={"instruction": list(texts)}, near_duplicates="drop")
    mixture = mixed(tmp_path_factory.mktemp("mixture"), examples, wanted, prompts)
    counts = dropped(mixture, "instruction")
    assert mixture.duplicates["n_exact"].sum() == counts["duplicate_instruction"]
    assert mixture.duplicates["n_near"].sum() == counts["near_duplicate_instruction"]


@settings(max_examples=15)
@given(st.lists(st.integers(0, 12), min_size=10, max_size=30), st.integers(0, 3))
def test_no_training_row_is_like_a_validation_row(
    tokenizer: Any,
    template: dict,
    tmp_path_factory: pytest.TempPathFactory,
    numbers: list[int],
    seed: int,
) -> None:
    """Questions in groups of near-duplicates: no group is on both sides."""
    rows = [
        example(f"{place:016x}", "extractive_qa", dataset="nq", context="c", question=question)
        for place, number in enumerate(numbers)
        for question in [f"{number} {STORY.replace(' ', f' x{number} ')} {place}"]
    ]
    rows += [
        example(f"{999 + n:016x}", "extractive_qa", dataset="nq", context="c", question=f"q{n} r s")
        for n in range(30)
    ]
    wanted = spec(sets={"nq": ["nq"]}, validation_size=4)
    prompts = PromptSettings(tokenizer, template, TASKS, 4000)
    folder = tmp_path_factory.mktemp("mixture")
    mixture = mixed(folder, {"nq": pd.DataFrame(rows)}, wanted, prompts, seed)
    groups = [
        {question.split()[0] for question in part["question"] if "fisherman" in question}
        for part in (mixture.train, mixture.validation)
    ]
    assert not groups[0] & groups[1]
    ids = [set(part["example_id"]) for part in (mixture.train, mixture.validation)]
    assert not ids[0] & ids[1] and len(mixture.validation) == 4
    check_ledger(mixture.ledger, "here")
    lost = dropped(mixture, "nq")["near_duplicate_of_validation"]
    assert len(ids[0]) + len(ids[1]) + lost == len(rows)


def test_small_sets_give_at_most_half_to_validation(built: Any) -> None:
    mixture = built(sample(), validation_size=100)
    assert Counter(mixture.validation["set"]) == {"instruction": 3, "nq": 6}


def test_a_set_without_rows_is_refused(built: Any) -> None:
    examples = sample() | {"nq": questions(4, references=["qx" * 50])}
    with pytest.raises(InputError, match="set nq has too few rows.*response_too_long dropped most"):
        built(examples)


def test_missing_examples_are_named(built: Any) -> None:
    examples = sample()
    del examples["oasst1"]
    with pytest.raises(InputError, match="no training examples of oasst1"):
        built(examples)


def test_unknown_choices_are_refused() -> None:
    with pytest.raises(
        InputError, match="mixtures.all.long_responses is 'cut'; allowed are drop, keep"
    ):
        spec(long_responses="cut")


@given(st.integers(1, 12), st.integers(0, 60), st.integers(0, 3))
def test_up_sampling_is_even(n: int, more: int, seed: int) -> None:
    ids = [f"{number:016x}" for number in range(n)]
    size = n + more
    whole, twice = copies(ids, size, seed)
    assert twice < set(ids) or not twice
    assert whole * n + len(twice) == size and whole == size // n
    assert copies(ids[::-1], size, seed) == (whole, twice), "the order of the rows decides nothing"


@settings(max_examples=15)
@given(
    st.lists(st.integers(0, 2**63 - 1), unique=True, min_size=12, max_size=60),
    st.integers(5, 11),
    st.integers(1, 40_000),
)
def test_mixing_loses_and_invents_nothing(
    tokenizer: Any,
    template: dict,
    tmp_path_factory: pytest.TempPathFactory,
    numbers: list[int],
    n_few: int,
    buffer: int,
) -> None:
    """Any rows and any buffer: every row is in one part, whole, and as often as the ledger says."""
    common = {"kind": "extractive_qa", "dataset": "nq", "context": "c"}
    rows = [example(f"{n:016x}", question=f"Q {n}?", **common) for n in numbers]
    few = pd.DataFrame(
        [example(f"{2**63 + n:016x}", instruction=f"Say {n}.") for n in range(n_few)]
    )
    examples = {"nq": pd.DataFrame(rows), "dolly": few}
    wanted = spec(sets={"instruction": ["dolly"], "nq": ["nq"]})
    prompts = PromptSettings(tokenizer, template, TASKS, 300)
    folders = [tmp_path_factory.mktemp("mixture") for _ in range(2)]
    mixture = mixed(folders[0], examples, wanted, prompts, buffer_bytes=buffer)
    whole = mixed(folders[1], examples, wanted, prompts)
    for part in ("train", "validation"):
        pd.testing.assert_frame_equal(getattr(mixture, part), getattr(whole, part))
    check_ledger(mixture.ledger, "here")
    parts = [set(part["example_id"]) for part in (mixture.train, mixture.validation)]
    assert not parts[0] & parts[1]
    assert parts[0] | parts[1] == {row["example_id"] for row in rows} | set(few["example_id"])
    counts = Counter(zip(mixture.train["set"], mixture.train["example_id"], strict=True))
    for name in ("instruction", "nq"):
        times = [count for (set_name, _), count in counts.items() if set_name == name]
        assert max(times) - min(times) <= 1 and sum(times) == len(mixture.train) // 2
    for _, copied in mixture.train.groupby(["set", "example_id"]):
        assert copied["copy"].tolist() == list(range(len(copied)))
        assert copied["prompt"].nunique() == copied["response"].nunique() == 1
    key = ["set", "example_id", "copy"]
    assert mixture.train[key].equals(mixture.train[key].sort_values(key, ignore_index=True))


def test_the_script_writes_what_the_tables_declare(
    tmp_path: Path, tokenizer: Any, template: dict
) -> None:
    tokenizer.save_pretrained(tmp_path / "model")
    paths = []
    for name, rows in sample().items():
        write_table(rows, tmp_path / f"{name}.parquet", "example")
        paths.append(tmp_path / f"{name}.parquet")
    files = {name: tmp_path / f"{name}.parquet" for name in ("train", "validation")}
    sets = {"instruction": ["dolly", "oasst1"], "nq": ["nq"]}
    limits = {"validation_size": 2, "long_responses": "drop", "max_response_tokens": 20}
    limits |= {"near_duplicates": "keep", "similarity": {"threshold": 0.8, "n_words": 3}}
    build(
        examples=paths,
        ledger=tmp_path / "ledger.csv",
        duplicates=tmp_path / "duplicates.csv",
        mixture="all",
        spec={"sets": sets, "tokenizer": "m"} | limits,
        tokenizer_path=str(tmp_path / "model"),
        template=template,
        tasks=TASKS,
        max_length=300,
        seed=0,
        **files,
    )
    assert len(read_table(files["train"], "mixture")) == 20
    assert len(read_table(files["validation"], "mixture")) == 4
    check_ledger(read_table(tmp_path / "ledger.csv", "ledger"), "here")
    assert read_table(tmp_path / "duplicates.csv", "duplicates")["n_exact"].sum() == 1


def test_a_missing_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be loaded"):
        cutting_tokenizer(str(tmp_path / "absent"))
