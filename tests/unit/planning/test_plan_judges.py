"""What judges cost: prices, replies on record, replays."""

from pathlib import Path

import pandas as pd
import pytest

from reset_tuning.experiment import Experiment
from reset_tuning.judging.records import Records
from reset_tuning.judging.replies import JudgeReply
from reset_tuning.judging.requests import build_request
from reset_tuning.planning.expectations import Expectations
from reset_tuning.planning.jobs import PlannedJob
from reset_tuning.planning.judges import JudgeCosts
from reset_tuning.planning.models import ModelSizes
from reset_tuning.planning.work import Workload
from reset_tuning.tables import write_table

PROMPT = {"system": "Rate.", "user": "{question}\n{answer}"}
WILDCARDS = {"run": "mtl", "seed": "1", "checkpoint": "best", "judge": "gpt-4"}
ANSWERS = ("one answer", "another", "another", "")


def job(results: Path) -> PlannedJob:
    inputs = (
        f"{results}/generations/mtl/seed-1/best.parquet",
        f"{results}/data/koala/test.parquet",
    )
    return PlannedJob("query_judge", WILDCARDS, inputs, (f"{results}/judged.parquet",), 0, 1)


def costs(config: dict, sources: dict, results: Path) -> JudgeCosts:
    config["paths"]["records"] = str(results / "records")
    expectations = Expectations(Experiment(config), results, sources)
    sizes = ModelSizes(config["models"], sources["models"])
    prompts = dict.fromkeys(config["judges"], PROMPT)
    return JudgeCosts(config, prompts, Workload(expectations, sizes), expectations)


def write_outputs(results: Path) -> None:
    examples = pd.DataFrame(
        {
            "example_id": [f"e{index}" for index in range(len(ANSWERS))],
            "dataset": "koala_eval",
            "kind": "instruction",
            "instruction": ["a question"] * len(ANSWERS),
            "context": None,
            "question": None,
            "references": [[]] * len(ANSWERS),
            "source_row": "f:1",
        }
    )
    write_table(examples, results / "data" / "koala" / "test.parquet", "example")
    outputs = examples[["example_id", "dataset"]].assign(
        run="mtl", seed=1, checkpoint="best", decoding="greedy", sample_id=0, arm="greedy", round=0,
        temperature=0.0, top_k=0, sampling_seed=0, multiplicity=1, output=list(ANSWERS), n_tokens=2,
        finish_reason="stop",
    )  # fmt: skip
    write_table(outputs, results / "generations" / "mtl" / "seed-1" / "best.parquet", "generation")


def record(config: dict, results: Path, answer: str) -> None:
    request = build_request(config["judges"]["gpt-4"], PROMPT, "a question", answer)
    reply = JudgeReply(
        "gpt-4-0613", reply="Rating: [[5]]", finish_reason="stop", prompt_tokens=100,
        completion_tokens=40,
        response='{"model": "gpt-4-0613", "choices": [{"message": {"content": "Rating: [[5]]"}, '
        '"finish_reason": "stop"}], "usage": {"prompt_tokens": 100, "completion_tokens": 40}}',
    )  # fmt: skip
    with Records(results / "records", "gpt-4", [request.key]) as records:
        records.store(request, reply)


def test_answers_that_are_not_written_yet_are_counted(
    config: dict, sources: dict, tmp_path: Path
) -> None:
    cost = costs(config, sources, tmp_path).of(job(tmp_path))
    assert cost.requests == 280 and cost.recorded == 0
    assert cost.completion_tokens == 280 * 70
    dollars = (cost.prompt_tokens * 30 + cost.completion_tokens * 60) / 1e6
    assert cost.dollars == pytest.approx(dollars, rel=1e-3)


def test_the_batch_api_halves_the_price(config: dict, sources: dict, tmp_path: Path) -> None:
    live = costs(config, sources, tmp_path).of(job(tmp_path)).dollars
    config["judges"]["gpt-4"]["mode"] = "batch"
    assert costs(config, sources, tmp_path).of(job(tmp_path)).dollars == pytest.approx(live / 2)


def test_a_replay_costs_nothing(config: dict, sources: dict, tmp_path: Path) -> None:
    config["judges"]["gpt-4"]["mode"] = "replay"
    cost = costs(config, sources, tmp_path).of(job(tmp_path))
    assert cost.dollars == 0 and cost.requests == 0 and cost.recorded == 280


def test_replies_on_record_cost_nothing(config: dict, sources: dict, tmp_path: Path) -> None:
    """Of four outputs one is empty and two are equal, so two requests are left, one of it paid."""
    write_outputs(tmp_path)
    before = costs(config, sources, tmp_path).of(job(tmp_path))
    assert (before.requests, before.recorded) == (2, 0)
    record(config, tmp_path, "another")
    after = costs(config, sources, tmp_path).of(job(tmp_path))
    assert (after.requests, after.recorded) == (1, 1)
    assert after.completion_tokens == 40  # as long as the reply on record
    assert 0 < after.dollars < before.dollars
    record(config, tmp_path, "one answer")
    assert costs(config, sources, tmp_path).of(job(tmp_path)).dollars == 0


def test_lengths_on_record_are_taken_for_new_answers(
    config: dict, sources: dict, tmp_path: Path
) -> None:
    record(config, tmp_path, "another")
    cost = costs(config, sources, tmp_path).of(job(tmp_path))
    assert cost.prompt_tokens == 280 * 100 and cost.completion_tokens == 280 * 40
