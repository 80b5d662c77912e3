"""A small experiment on disk: test sets, generations and scores with known averages."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest

from reset_tuning.stats.averages import Headlines
from reset_tuning.tables import write_table

KINDS = {
    "koala_eval": "instruction",
    "nq": "extractive_qa",
    "bioasq": "extractive_qa",
    "ms_marco": "abstractive_qa",
    "wikisum": "summarization",
}
SEEN = ["nq", "ms_marco"]
METRICS = {
    "instruction": [("instruction_following", "gpt-4")],
    "extractive_qa": [("span_coverage", "lexical"), ("exact_match", "lexical")],
    "abstractive_qa": [("summac_zs_entailment", "summac-zs"), ("rouge_l", "rouge-l")],
    "summarization": [("summac_zs_entailment", "summac-zs"), ("rouge_l", "rouge-l")],
}


@dataclass
class Experiment:
    """Files of an experiment, made by the methods below."""

    root: Path
    per_set: int = 2
    examples: list[Path] = field(default_factory=list)
    generations: list[Path] = field(default_factory=list)
    scores: list[Path] = field(default_factory=list)

    def example_ids(self, dataset: str) -> list[str]:
        return [f"{dataset}-{index}" for index in range(self.per_set)]

    def add_test_sets(self) -> None:
        for dataset, kind in KINDS.items():
            rows = [
                {
                    "example_id": example_id,
                    "dataset": dataset,
                    "kind": kind,
                    "instruction": "say hello" if kind == "instruction" else None,
                    "context": None if kind == "instruction" else "a context",
                    "question": None,
                    "references": ["hello"],
                    "source_row": "raw.jsonl:1",
                }
                for example_id in self.example_ids(dataset)
            ]
            path = self.root / "data" / dataset / "test.parquet"
            write_table(pd.DataFrame(rows), path, "example")
            self.examples.append(path)

    def evaluate(
        self, run: str, seed: int, checkpoint: str, value: Callable[[str, str, int], float]
    ) -> None:
        """Write generations and a score file per scorer; `value` takes dataset, metric, index."""
        tail = f"{run}/seed-{seed}/{checkpoint}"
        point = {"run": run, "seed": seed, "checkpoint": checkpoint, "decoding": "greedy"}
        outputs, scores = [], {}
        for dataset, kind in KINDS.items():
            for index, example_id in enumerate(self.example_ids(dataset)):
                identity = point | {"example_id": example_id, "sample_id": 0}
                outputs.append(identity | generation_fields(dataset, index))
                for metric, scorer in METRICS[kind]:
                    row = {"metric": metric, "scorer": scorer, "status": "ok"}
                    row["value"] = value(dataset, metric, index)
                    scores.setdefault(scorer, []).append(identity | row)
        path = self.root / "generations" / f"{tail}.parquet"
        write_table(pd.DataFrame(outputs), path, "generation")
        self.generations.append(path)
        for scorer, rows in scores.items():
            path = self.root / "scores" / tail / f"{scorer}.parquet"
            write_table(pd.DataFrame(rows), path, "score")
            self.scores.append(path)


def generation_fields(dataset: str, index: int) -> dict:
    """The columns of a generation beside its identity; output `index` has 10 (index + 1) tokens."""
    return {
        "dataset": dataset,
        "arm": "greedy",
        "round": 0,
        "temperature": 0.0,
        "top_k": 0,
        "sampling_seed": 0,
        "multiplicity": 1,
        "output": "hello" if index else "",
        "n_tokens": 10 * (index + 1),
        "finish_reason": "length" if index == 1 else "stop",
    }


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    made = Experiment(tmp_path)
    made.add_test_sets()
    return made


@pytest.fixture(scope="module")
def shared_experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """An experiment that the tests of a module read together: writing it takes most of the time."""
    made = Experiment(tmp_path_factory.mktemp("experiment"))
    made.add_test_sets()
    return made


@pytest.fixture(scope="session")
def seen() -> list[str]:
    return SEEN


@pytest.fixture
def headlines() -> Headlines:
    faithfulness = {
        "extractive_qa": "span_coverage",
        "abstractive_qa": "summac_zs_entailment",
        "summarization": "summac_zs_entailment",
    }
    task = {
        "extractive_qa": "exact_match",
        "abstractive_qa": "rouge_l",
        "summarization": "rouge_l",
    }
    return Headlines("gpt-4", faithfulness, task)


@pytest.fixture
def point() -> Callable[..., dict]:
    def make(run: str, seed: int, checkpoint: str, source: tuple | None = None) -> dict:
        source_run, source_seed, source_checkpoint = source or (run, seed, checkpoint)
        return {
            "run": run,
            "seed": seed,
            "checkpoint": checkpoint,
            "source_run": source_run,
            "source_seed": source_seed,
            "source_checkpoint": source_checkpoint,
        }

    return make
