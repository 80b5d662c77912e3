"""What reading MS MARCO and removing near-duplicates cost: memory and ratios within one run."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from helpers import ROOT
from reset_tuning.data.candidates import normalise
from reset_tuning.data.overlaps import NearIndex, Similarity
from reset_tuning.data.store import write_examples
from reset_tuning.files import sha256_of

FEW, MANY = 250_000, 1_000_000
COMPARED = 100_000  # rows for datasets.map, which is slow
INSTRUCTIONS = 200_000
WORDS = [f"{start}{end}" for start in "bcdfghklmnprstvw" for end in ("a", "ite", "or", "un", "ess")]
DISTINCT = 1000
ROWS_PER_FILE = 125_000
MIXED_FEW, MIXED_MANY = 10_000, 40_000  # rows of the larger of two sets

# Prepares one split in a process of its own, as a job does, and says how long it took and how much
# memory.
PREPARE = """
import datasets, json, resource, sys, time  # datasets: its import is not counted for either
import reset_tuning.jobs
from pathlib import Path
from reset_tuning.data.examples import DatasetSpec, prepare_split
from reset_tuning.data.store import write_examples
folder = Path(sys.argv[1])
spec = DatasetSpec.of("ms_marco", {"kind": "abstractive_qa", "format": "ms_marco",
    "options": {"max_passages": 5}, "filters": ["no_answer", "no_context", "no_selected_passage"]})
started = time.process_time()
made = prepare_split(folder / "manifest.json", "ms_marco", "train", spec, [], 0)
n = write_examples(made.rows, folder / "out.parquet", made.metadata)
print(json.dumps({"n": n, "seconds": time.process_time() - started,
    "bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))
"""


# The same rules through Dataset.map and filter, in a process of its own too.
WITH_DATASETS = """
import datasets, json, sys, time
folder, cache = sys.argv[1:]
datasets.disable_progress_bars()

def example(row):
    passages = row["passages"]
    known = [
        (text, chosen)
        for text, chosen in zip(passages["passage_text"], passages["is_selected"], strict=True)
        if text.strip()
    ]
    kept = known[:5]
    if not any(chosen for _, chosen in kept):
        gold = next((pair for pair in known[5:] if pair[1]), None)
        kept = kept[:-1] + [gold] if gold else kept
    return {
        "context": "\\n".join(text for text, _ in kept),
        "question": row["query"],
        "references": [text for text in row["wellFormedAnswers"] if text.strip()],
        "has_gold": any(chosen for _, chosen in kept),
    }

started = time.process_time()
data = datasets.load_dataset(
    "parquet", data_files=folder + "/train-*.parquet", cache_dir=cache, split="train")
data = data.map(example, remove_columns=data.column_names)
data = data.filter(lambda row: bool(row["references"]))
data = data.filter(lambda row: row["has_gold"])
data.to_parquet(folder + "/theirs.parquet")
print(json.dumps({"n": len(data), "seconds": time.process_time() - started}))
"""


# Builds a mixture in a process of its own.
BUILD = """
import json, resource, sys, time
from pathlib import Path
from reset_tuning.data.mixtures import (
    MixtureFiles, MixtureSpec, PromptSettings, build_mixture, example_tables, cutting_tokenizer)
folder, model, template = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
spec = MixtureSpec.of("all", {"sets": {"large": ["large"], "small": ["small"]},
    "validation_size": 500, "long_responses": "drop", "max_response_tokens": 480,
    "near_duplicates": "drop", "similarity": {"threshold": 0.8, "n_words": 3}})
settings = PromptSettings(cutting_tokenizer(model), template,
    {"large": "Extract.", "small": "Extract."}, 4000)
files = MixtureFiles(folder / "train.parquet", folder / "validation.parquet")
started = time.process_time()
build_mixture("all", example_tables(sorted(folder.glob("*.examples"))), spec, settings, 0, files)
print(json.dumps({"seconds": time.process_time() - started, "size": files.train.stat().st_size,
    "bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))
"""


def distinct_rows() -> Iterator[dict[str, Any]]:
    """Yield rows like MS MARCO v2.1's: ten passages of 56 words, a well-formed answer for 19 %."""
    draw = random.Random(0)

    def text(n_words: int) -> str:
        return " ".join(draw.choices(WORDS, k=n_words))

    for number in range(DISTINCT):
        has_answer = number % 100 < 62  # the share of v2.1's queries with an answer
        selected = draw.randrange(10) if has_answer else -1
        yield {
            "answers": [text(12) if has_answer else "No Answer Present."],
            "passages": {
                "is_selected": [int(place == selected) for place in range(10)],
                "passage_text": [text(56) for _ in range(10)],
                "url": ["http://example.org/" + text(3).replace(" ", "/") for _ in range(10)],
            },
            "query": text(6),
            "query_type": "DESCRIPTION",
            "wellFormedAnswers": [text(14)] if number % 100 < 19 else [],
        }


def write_raw(folder: Path, n: int) -> Path:
    """Write n rows as the hub's parquet files and a manifest; return the folder.

    The distinct rows are repeated under queries of their own, in row groups of 1,000 and files of
    125,000 rows (the hub's hold 116,000).
    """
    folder.mkdir(parents=True)
    known = pa.Table.from_pylist(list(distinct_rows()))
    place = known.schema.get_field_index("query")
    queries = known["query"].to_pylist()
    files = []
    for first in range(0, n, ROWS_PER_FILE):
        path = folder / f"train-{first // ROWS_PER_FILE:05d}.parquet"
        with pq.ParquetWriter(path, known.schema) as out:
            for start in range(first, min(first + ROWS_PER_FILE, n), DISTINCT):
                mine = [f"{query} {start + number}" for number, query in enumerate(queries)]
                out.write_table(known.set_column(place, "query", pa.array(mine)))
        digest, size = sha256_of(path), path.stat().st_size
        files.append({"path": path.name, "split": "train", "sha256": digest, "bytes": size})
    (folder / "manifest.json").write_text(json.dumps({"files": files}))
    return folder


def write_set(folder: Path, name: str, n: int) -> None:
    """Write n questions, each with a context of its own of 340 words."""
    draw = random.Random(name)

    def text(n_words: int) -> str:
        return " ".join(draw.choices(WORDS, k=n_words))

    rows = (
        {
            "example_id": f"{draw.getrandbits(64):016x}", "dataset": name,
            "kind": "extractive_qa", "instruction": None, "context": text(340),
            "question": f"{text(8)} {number}?", "references": [text(3)], "source_row": "x",
            "gold_passages": [1], "gold_retrieved": 1,
        }
        for number in range(n)
    )  # fmt: skip
    write_examples(rows, folder / f"{name}.examples", {})


def run_alone(code: str, *arguments: str) -> dict[str, float]:
    """Run code in a process of its own and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT / "scripts"), "RAYON_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def prepare(folder: Path) -> dict[str, float]:
    return run_alone(PREPARE, str(folder))


def with_datasets(folder: Path, cache: Path) -> dict[str, float]:
    return run_alone(WITH_DATASETS, str(folder), str(cache))


def test_ms_marco_streams(tmp_path: Path) -> None:
    few, many = (prepare(write_raw(tmp_path / str(n), n)) for n in (FEW, MANY))
    ratio = many["seconds"] / few["seconds"]
    print(
        f"\ndata: MS MARCO reader and filters, {MANY:,} rows ({many['n']:,} kept): peak memory "
        f"{many['bytes'] / 2**30:.2f} GiB ({few['bytes'] / 2**30:.2f} at {FEW:,}), "
        f"{ratio:.2f} x the time for {MANY // FEW} x the rows"
    )
    assert many["bytes"] <= 1.5 * 2**30
    assert ratio <= 4.4


def test_ms_marco_beside_datasets_map(tmp_path: Path) -> None:
    folder = write_raw(tmp_path / "raw", COMPARED)
    # The best of three each, in turn, since the machine may be doing something else.
    ours, theirs = [], []
    for number in range(3):
        ours.append(prepare(folder))
        theirs.append(with_datasets(folder, folder / f"cache-{number}"))
    assert ours[0]["n"] == theirs[0]["n"]
    ratio = min(run["seconds"] for run in theirs) / min(run["seconds"] for run in ours)
    print(
        f"\ndata: datasets.map and filter cost {ratio:.1f} x the MS MARCO reader "
        f"({[round(run['seconds'], 1) for run in ours]} s, "
        f"{[round(run['seconds'], 1) for run in theirs]} s)"
    )
    assert ratio >= 2


def test_mixtures_stream(tmp_path: Path) -> None:
    template = (ROOT / "resources/prompts/alpaca.yaml").read_text()
    model = str(ROOT / "resources/mini/base")
    built = []
    for n in (MIXED_FEW, MIXED_MANY):
        folder = tmp_path / str(n)
        folder.mkdir()
        write_set(folder, "large", n)
        write_set(folder, "small", 2000)
        built.append(run_alone(BUILD, str(folder), model, json.dumps(yaml.safe_load(template))))
    few, many = built
    print(
        f"\ndata: a mixture of {2 * MIXED_MANY:,} rows ({many['size'] / 2**20:.0f} MiB on disk): "
        f"peak memory {many['bytes'] / 2**30:.2f} GiB ({few['bytes'] / 2**30:.2f} at "
        f"{2 * MIXED_FEW:,}), {many['seconds'] / few['seconds']:.2f} x the time for "
        f"{MIXED_MANY // MIXED_FEW} x the rows"
    )
    assert many["bytes"] - few["bytes"] <= 0.25 * 2**30


@pytest.mark.parametrize("n", [INSTRUCTIONS])
def test_near_duplicates(n: int) -> None:
    draw = random.Random(0)
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(4, 40))) for _ in range(n * 9 // 10)]
    texts += [f"{text} today" for text in draw.choices(texts, k=n - len(texts))]
    draw.shuffle(texts)
    normalise("the first call builds its table")
    started, clock = time.process_time(), time.monotonic()
    index = NearIndex(Similarity(0.8, 3))
    kept = sum(index.add_unless_known(normalise(text)) for text in texts)
    seconds = time.process_time() - started
    started = time.process_time()
    for text in texts:
        normalise(text)
    folding = time.process_time() - started
    print(
        f"\ndata: near-duplicates among {n:,} instructions cost {seconds / folding:.1f} x folding "
        f"them once ({kept:,} kept, {time.monotonic() - clock:.0f} s on this machine)"
    )
    assert seconds <= 180
