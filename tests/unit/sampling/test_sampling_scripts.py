"""The two generation scripts, as the rules call them."""

import logging
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

import generate_outputs
import sample_outputs
from reset_tuning import reuse
from reset_tuning.errors import InputError
from reset_tuning.sampling import generation
from reset_tuning.sampling.engines import Means
from reset_tuning.sampling.generation import generation_job, read_job, write_job
from reset_tuning.sampling.transformers_backend import TransformersBackend
from reset_tuning.tables import read_table, write_table
from reset_tuning.training.encoding import Encoder

TEMPLATE = {
    "with_input": "### Instruction: {instruction} ### Input: {input} ### Response:",
    "without_input": "### Instruction: {instruction} ### Response:",
}
TASKS = {"nq": "Answer the question."}
RESOURCES = {"batch_tokens": 256, "gpu_memory": "0.8", "cpu_ranks": 1, "gpu": 0, "mem_mb": 100}
GREEDY = {"kind": "greedy", "max_new_tokens": 12}
RESET = {
    "kind": "grid",
    "max_new_tokens": 12,
    "temperatures": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7],
    "top_ks": [5, 10, 20, 50, 70, 90, 100],
    "top_k_temperature": 1.0,
    "arm": "random",
    "rounds": 1,
    "examples_per_set": 4,
}


def examples() -> pd.DataFrame:
    rows = [_example(f"i{n}", "koala_eval", "instruction", f"Name a {n}") for n in range(4)]
    rows += [
        _example(f"q{n}", "nq", "extractive_qa", None, "Ada owns the red cat " * (1 + n), "who")
        for n in range(6)
    ]
    return pd.DataFrame(rows)


def _example(
    example_id: str,
    dataset: str,
    kind: str,
    instruction: str | None,
    context: str | None = None,
    question: str | None = None,
) -> dict[str, Any]:
    return {
        "example_id": example_id,
        "dataset": dataset,
        "kind": kind,
        "instruction": instruction,
        "context": context,
        "question": question,
        "references": ["red cat"],
        "source_row": f"file.jsonl:{example_id[1:]}",
    }


@pytest.fixture
def split_files(tmp_path: Path) -> list[Path]:
    paths = []
    for dataset, rows in examples().groupby("dataset"):
        paths.append(tmp_path / f"{dataset}.parquet")
        write_table(rows, paths[-1], "example")
    return paths


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """A mixture in which the instructions are up-sampled."""
    rows = examples()
    prompts = [f"### Instruction: {row.example_id} ### Response:" for row in rows.itertuples()]
    rows = rows.assign(
        set=rows["dataset"],
        copy=0,
        prompt=prompts,
        response="red cat",
        n_prompt_tokens=6,
        n_response_tokens=3,
        n_context_tokens_cut=0,
    )
    again = rows[rows["dataset"] == "koala_eval"].assign(copy=1)
    write_table(pd.concat([rows, again]), tmp_path / "train.parquet", "mixture")
    return tmp_path / "train.parquet"


@pytest.fixture
def generate(
    tmp_path: Path, checkpoint: Path, split_files: list[Path]
) -> Callable[..., pd.DataFrame]:
    def call(**changes: Any) -> pd.DataFrame:
        path = tmp_path / "generations.parquet"
        arguments = _common(tmp_path, checkpoint) | {
            "examples": split_files,
            "generations": path,
            "decoding": "greedy",
            "spec": GREEDY,
            "template": TEMPLATE,
            "tasks": TASKS,
            "resources": RESOURCES,
        }
        generate_outputs.main(**(arguments | changes))
        return read_table(path, "generation")

    return call


@pytest.fixture
def sample(tmp_path: Path, checkpoint: Path, pool: Path) -> Callable[..., pd.DataFrame]:
    def call(**changes: Any) -> pd.DataFrame:
        path = tmp_path / "samples.parquet"
        arguments = _common(tmp_path, checkpoint) | {
            "pool": pool,
            "samples": path,
            "decoding": "reset",
            "spec": RESET,
            "resources": RESOURCES,
        }
        sample_outputs.main(**(arguments | changes))
        return read_table(path, "generation")

    return call


def _common(folder: Path, checkpoint: Path) -> dict[str, Any]:
    return {
        "model": sorted(checkpoint.iterdir()),
        "run": "mtl",
        "seed": 1,
        "checkpoint": "best",
        "model_path": str(checkpoint),
        "dtype": "float32",
        "attention": "sdpa",
        "max_length": 100,
        "sidecar": str(folder / "sidecar"),
    }


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let every attempt to load a model fail from now on."""

    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a model was loaded")

    return lambda: monkeypatch.setattr(TransformersBackend, "load", refuse)


def test_every_test_example_gets_one_greedy_row(generate: Callable[..., pd.DataFrame]):
    rows = generate()
    assert sorted(rows["example_id"]) == sorted(examples()["example_id"])
    assert rows["multiplicity"].eq(1).all()
    assert rows["output"].ne("").any()
    assert rows["dataset"].to_list() == ["koala_eval"] * 4 + ["nq"] * 6


def test_equal_weights_elsewhere_cost_nothing(
    generate: Callable[..., pd.DataFrame],
    no_model: Callable[[], None],
    checkpoint: Path,
    tmp_path: Path,
):
    best = generate()
    last = Path(shutil.copytree(checkpoint, tmp_path / "last"))
    no_model()
    again = generate(model=sorted(last.iterdir()), model_path=str(last), checkpoint="last")
    assert again.drop(columns="checkpoint").equals(best.drop(columns="checkpoint"))


def test_a_job_counts_what_it_found_done(
    generate: Callable[..., pd.DataFrame], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(reuse, "_counts", Counter())
    generate()
    assert reuse.known_share() == 0
    generate()
    assert reuse.known_share() == 0.5  # of both jobs, which are one process here


def test_a_new_test_set_costs_its_own_rows(
    generate: Callable[..., pd.DataFrame],
    split_files: list[Path],
    monkeypatch: pytest.MonkeyPatch,
):
    generate(examples=split_files[:1])
    asked = []
    whole = TransformersBackend.generate

    def recorded(backend: TransformersBackend, requests: list) -> Any:
        asked.append(len(requests))
        return whole(backend, requests)

    monkeypatch.setattr(TransformersBackend, "generate", recorded)
    generate()
    assert asked == [6]


def test_a_prompt_that_cannot_fit_is_counted_and_keeps_an_empty_row(
    generate: Callable[..., pd.DataFrame], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    rows = generate(max_length=21).set_index("example_id")
    # Nine tokens are left: an instruction takes seven, a question with its task ten.
    assert rows.loc["i0", "n_tokens"] > 0
    assert rows.loc["q0"][["output", "finish_reason"]].to_list() == ["", "prompt_too_long"]
    assert "6 of 10 prompts leave no room" in caplog.text
    metadata = pq.read_schema(tmp_path / "generations.parquet").metadata
    assert metadata[b"prompts_too_long"] == b"6"


def test_a_prompt_whose_answer_does_not_fit_whole_is_asked_with_a_part_of_it(
    generate: Callable[..., pd.DataFrame], split_files: list[Path], tmp_path: Path
):
    """Only what does not fit without its context stays empty: an answer too long is cut."""
    rows = examples().query("dataset == 'nq'").assign(gold_passages=[[1]] * 6)
    write_table(rows, tmp_path / "gold.parquet", "example")
    (split,) = (path for path in split_files if path.stem == "nq")
    asked = generate(examples=[tmp_path / "gold.parquet"], max_length=39)
    assert asked["finish_reason"].ne("prompt_too_long").all()
    assert asked.equals(generate(examples=[split], max_length=39))


def test_an_empty_prompt_is_refused_by_its_example(sample: Callable[..., pd.DataFrame], pool: Path):
    rows = read_table(pool, "mixture")
    rows.loc[rows["example_id"] == "q3", "prompt"] = " "
    write_table(rows, pool, "mixture")
    with pytest.raises(InputError, match="prompt of example q3 .nq. is empty"):
        sample(spec=RESET | {"examples_per_set": 10})


def test_the_pool_has_seven_draws_of_each_example(sample: Callable[..., pd.DataFrame]):
    rows = sample()
    assert rows.groupby("example_id")["multiplicity"].sum().eq(7).all()
    assert rows.groupby("dataset")["example_id"].nunique().eq(4).all()
    assert len(rows) > 8


def test_reset_s_takes_the_first_round_from_reset(
    sample: Callable[..., pd.DataFrame], no_model: Callable[[], None]
):
    reset = sample()
    smaller = RESET | {"examples_per_set": 2}
    no_model()
    expected = sample(decoding="reset-s", spec=smaller).assign(decoding="reset")
    chosen = reset[reset["example_id"].isin(expected["example_id"])]
    assert chosen.reset_index(drop=True).equals(expected)
    with pytest.raises(AssertionError, match="a model was loaded"):
        sample(decoding="reset-s", spec=smaller | {"rounds": 2})


def test_a_long_training_prompt_is_limited_to_the_room_left(sample: Callable[..., pd.DataFrame]):
    spec = RESET | {"temperatures": [3.0], "top_ks": [100], "top_k_temperature": 3.0}
    # Five words and BOS before it, EOS behind it when it is trained on.
    assert sample(max_length=9, spec=spec)["n_tokens"].max() == 2
    assert sample(max_length=7, spec=spec)["n_tokens"].max() == 0


def test_prompts_are_tokenised_as_in_training(tokenizer: Any, generate: Callable, monkeypatch: Any):
    asked = []
    whole = TransformersBackend.generate

    def recorded(backend: TransformersBackend, requests: list) -> Any:
        asked.extend(requests)
        return whole(backend, requests)

    monkeypatch.setattr(TransformersBackend, "generate", recorded)
    generate()
    prompt = "### Instruction: Name a 0 ### Response:"
    (trained,) = Encoder(tokenizer, 100)({"prompt": [prompt], "response": ["red"]})["input_ids"]
    assert asked[0].prompt_ids == tuple(trained[:-2])


def test_a_test_prompt_is_not_followed_by_anything(generate: Callable[..., pd.DataFrame]):
    # An instruction takes eight tokens with BOS: what is left is the decoding's own twelve.
    whole = generate(max_length=100).set_index("example_id").loc["i0"]
    assert generate(max_length=20).set_index("example_id").loc["i0"].equals(whole)


def test_cut_contexts_are_counted(
    generate: Callable[..., pd.DataFrame], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    path = tmp_path / "generations.parquet"
    generate()
    assert "0 of 10 prompts were cut, by 0 context tokens" in caplog.text
    # Beside the twelve new tokens 27 are left: question n takes 12 and a context of 5 (1 + n).
    generate(max_length=39)
    metadata = pq.read_schema(path).metadata
    assert (metadata[b"prompts_cut"], metadata[b"context_tokens_cut"]) == (b"3", b"30")
    assert "3 of 10 prompts were cut, by 30 context tokens" in caplog.text


def test_a_job_is_made_of_a_rules_arguments(tmp_path: Path):
    means = Means.of(RESOURCES)
    arguments = _common(tmp_path, tmp_path) | {"decoding": "greedy", "spec": GREEDY, "means": means}
    files = [tmp_path / "model.safetensors"]
    assert generation_job(**arguments | {"model": files[0]}).model == files
    job = generation_job(**arguments | {"model": files})
    assert (job.sidecar, job.means) == (tmp_path / "sidecar", means)
    assert means == Means(batch_tokens=256, gpu_memory=0.8)
    assert read_job(write_job(job, tmp_path)) == job
    with pytest.raises(TypeError, match="temperature"):
        generation_job(**arguments, temperature=1)


def test_no_examples_is_an_error(generate: Callable[..., pd.DataFrame]):
    with pytest.raises(InputError, match="no examples"):
        generate(examples=[])


def test_a_job_that_ends_late_leaves_its_successor_the_prompts(
    generate: Callable[..., pd.DataFrame], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """A job that its cluster lost sight of may still write the same table as the next one."""
    write = generation.write_prompts
    others: list[pd.DataFrame] = []

    def write_while_another_job_runs(*arguments: Any) -> tuple[int, int]:
        counts = write(*arguments)
        monkeypatch.setattr(generation, "write_prompts", write)
        others.append(generate())
        return counts

    monkeypatch.setattr(generation, "write_prompts", write_while_another_job_runs)
    assert generate().equals(others[0])
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
