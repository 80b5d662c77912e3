"""Samples a mixture of made-up rows with an engine that costs nothing; prints memory and time.

python tests/bench/pool_memory.py FOLDER EXAMPLES
"""

import json
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from reset_tuning.sampling import generation  # noqa: E402
from reset_tuning.sampling.backend import Completed, Completion, Request  # noqa: E402
from reset_tuning.sampling.engines import Means  # noqa: E402
from reset_tuning.tables import table_schema  # noqa: E402

WORDS = 700  # of a prompt
GRID = {
    "kind": "grid", "max_new_tokens": 75, "temperatures": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7],
    "top_ks": [5, 10, 20, 50, 70, 90, 100], "arm": "random", "rounds": 1,
}  # fmt: skip


class Words:
    """Writes 75 words for every setting."""

    def generate(self, requests: Sequence[Request]) -> Iterator[list[Completed]]:
        for index, request in enumerate(requests):
            yield [
                (
                    index,
                    tuple(
                        Completion(f"{setting.seed} " * 75, 75, "stop", setting.temperature, 0)
                        for setting in request.settings
                    ),
                )
            ]


@contextmanager
def words(*_: object) -> Iterator[Words]:
    yield Words()


def write_mixture(path: Path, n_examples: int) -> None:
    """Write rows in the mixture's order, part by part: a set of one dataset, without copies."""
    path.parent.mkdir(parents=True)
    schema, text = table_schema("mixture"), "word " * WORDS
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, n_examples, 1000):
            numbers = range(start, min(start + 1000, n_examples))
            frame = pd.DataFrame({"example_id": [f"{number:08x}" for number in numbers]})
            frame = frame.assign(
                dataset="nq", kind="extractive_qa", instruction=None, context=text, question="who",
                references=[["x"]] * len(frame), source_row="x", gold_passages=None,
                gold_retrieved=None, set="nq", copy=0, response="word", n_prompt_tokens=WORDS + 1,
                prompt=text + frame["example_id"], n_response_tokens=2, n_context_tokens_cut=0,
            )  # fmt: skip
            frame = frame[schema.names]
            writer.write_table(pa.Table.from_pandas(frame, schema, preserve_index=False))


def main(folder: Path, n_examples: int) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(ROOT / "resources" / "mini" / "base")
    tokenizer(["word"])
    write_mixture(folder / "train.parquet", n_examples)
    generation.loaded_backend = words
    job = generation.generation_job(
        run="mtl", seed=1, checkpoint="best", decoding="reset",
        spec=GRID | {"examples_per_set": n_examples}, model_path="resources/mini/base",
        model=[], dtype="float32", attention="sdpa", max_length=2048,
        means=Means(batch_tokens=16384), sidecar=folder / "sidecar",
    )  # fmt: skip
    before, started = peak(), time.monotonic()
    generation.sample_outputs(job, folder / "train.parquet", folder / "samples.parquet")
    seconds = time.monotonic() - started
    rows = pq.read_metadata(folder / "samples.parquet").num_rows
    assert rows == 7 * n_examples, rows
    print(json.dumps({"megabytes": peak() - before, "seconds": seconds, "rows": rows}))


def peak() -> float:
    """Return the largest resident memory of the process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
