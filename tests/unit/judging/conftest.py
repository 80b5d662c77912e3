"""Tables of instruction outputs, and a judge behind a scripted endpoint."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scripted import Endpoint, scripted_endpoint

from reset_tuning.tables import write_table


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """Serve the answers that the test sets."""
    with scripted_endpoint() as state:
        yield state


@pytest.fixture
def spec(endpoint: Endpoint) -> dict[str, Any]:
    """Return a judge of the config that is reached at the scripted endpoint."""
    return {
        "kind": "openai",
        "model": "judge",
        "temperature": 0,
        "max_tokens": 512,
        "base_url": endpoint.base_url,
    }


@pytest.fixture
def write_outputs(tmp_path: Path) -> Callable[..., tuple[Path, list[Path]]]:
    """Return a function that writes examples and outputs and returns their paths."""

    def write(outputs: list[tuple[str, str]], kind: str = "instruction") -> tuple[Path, list[Path]]:
        questions = dict.fromkeys(question for question, _ in outputs)
        examples = pd.DataFrame(
            {
                "example_id": [f"id-{question}" for question in questions],
                "dataset": "koala_eval",
                "kind": kind,
                "instruction": list(questions),
                "context": None,
                "question": None,
                "references": [[] for _ in questions],
                "source_row": "x",
            }
        )
        rows = pd.DataFrame(
            {
                "run": "mtl", "seed": 1, "checkpoint": "best", "decoding": "greedy",
                "example_id": [f"id-{question}" for question, _ in outputs],
                "sample_id": range(len(outputs)), "dataset": "koala_eval", "arm": "greedy",
                "round": 0, "temperature": 0.0, "top_k": 0, "sampling_seed": 0, "multiplicity": 1,
                "output": [output for _, output in outputs], "n_tokens": 3, "finish_reason": "stop",
            }
        )  # fmt: skip
        paths = tmp_path / "outputs.parquet", tmp_path / "test.parquet"
        write_table(rows, paths[0], "generation")
        write_table(examples, paths[1], "example")
        return paths[0], [paths[1]]

    return write
