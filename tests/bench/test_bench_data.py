"""What reading MS MARCO and removing near-duplicates cost: memory and ratios within one run."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
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
COMPARED = 250_000  # rows for datasets.map, which is slow
INSTRUCTIONS = 200_000
WORDS = [f"{start}{end}" for start in "bcdfghklmnprstvw" for end in ("a", "ite", "or", "un", "ess")]
DISTINCT = 1000
ROWS_PER_FILE = 125_000
COLUMN_FEW, COLUMN_MANY = 10_000, 40_000  # rows of the raw JSON form
MIXED_FEW, MIXED_MANY = 10_000, 40_000  # rows of the larger of two sets

# The process's own peak: `ru_maxrss` would count what the tests held when they started it.
PEAK = """
def peak():
    with open("/proc/self/status") as status:
        return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
"""

# Prepares one split in a process of its own, as a job does, and says how long it took and how much
# memory; with "read" its rows are only counted.
PREPARE = """
import datasets, json, sys, time  # datasets: its import is not counted for either
import reset_tuning.jobs
from pathlib import Path
from reset_tuning.data.examples import DatasetSpec, prepare_split
from reset_tuning.data.store import write_examples
folder, what = Path(sys.argv[1]), sys.argv[2]
spec = DatasetSpec.of("ms_marco", {"kind": "abstractive_qa", "format": "ms_marco",
    "options": {"max_passages": 5}, "filters": ["no_answer", "no_context", "no_selected_passage"]})
started = time.process_time()
made = prepare_split(folder / "manifest.json", "ms_marco", "train", spec, [], 0)
if what == "read":
    n = sum(1 for _ in made.rows)
else:
    n = write_examples(made.rows, folder / "out.parquet", made.metadata)
print(json.dumps({"n": n, "seconds": time.process_time() - started, "bytes": peak()}))
"""


# The same rules through Dataset.map and filter, in a process of its own too.
WITH_DATASETS = """
import datasets, json, sys, time
folder, cache, order = sys.argv[1:]
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
if order == "filter first":
    data = data.filter(
        lambda answers: any(map(str.strip, answers)), input_columns=["wellFormedAnswers"])
data = data.map(example, remove_columns=data.column_names)
if order == "map first":
    data = data.filter(lambda row: bool(row["references"]))
data = data.filter(lambda row: row["has_gold"])
read = time.process_time() - started
data.to_parquet(folder + "/theirs.parquet")
print(json.dumps({"n": len(data), "read": read, "seconds": time.process_time() - started}))
"""


# Builds a mixture in a process of its own.
BUILD = """
import json, sys, time
from pathlib import Path
from reset_tuning.data.mixtures import (
    MixtureFiles, MixtureSpec, build_mixture, example_tables)
from reset_tuning.data.prompts import PromptSettings, cutting_tokenizer
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
    "bytes": peak()}))
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
    paths = []
    for first in range(0, n, ROWS_PER_FILE):
        path = folder / f"train-{first // ROWS_PER_FILE:05d}.parquet"
        with pq.ParquetWriter(path, known.schema) as out:
            for start in range(first, min(first + ROWS_PER_FILE, n), DISTINCT):
                mine = [f"{query} {start + number}" for number, query in enumerate(queries)]
                out.write_table(known.set_column(place, "query", pa.array(mine)))
        paths.append(path)
    write_manifest(folder, paths)
    return folder


def write_manifest(folder: Path, paths: Sequence[Path]) -> None:
    files = [
        {
            "path": path.name, "split": "train", "sha256": sha256_of(path),
            "bytes": path.stat().st_size,
        }
        for path in paths
    ]  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps({"files": files}))


def write_columns(folder: Path, n: int) -> Path:
    """Write n rows as MS MARCO's raw JSON, an object of columns, and a manifest."""
    folder.mkdir(parents=True)
    rows = list(distinct_rows())
    for row in rows:
        marked = row["passages"]
        row["passages"] = [
            {"is_selected": chosen, "passage_text": text, "url": url}
            for chosen, text, url in zip(*marked.values(), strict=True)
        ]
        row["wellFormedAnswers"] = row["wellFormedAnswers"] or "[]"
    path = folder / "train.json"
    with path.open("w") as out:
        for place, column in enumerate(rows[0]):
            known = [json.dumps(row[column]) for row in rows]
            out.write(f'{", " if place else "{"}"{column}": {{')
            for key in range(n):
                value = known[key % DISTINCT]
                if column == "query":
                    value = f'{value[:-1]} {key}"'
                out.write(f'{", " if key else ""}"{key}": {value}')
            out.write("}")
        out.write("}")
    write_manifest(folder, [path])
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
        [sys.executable, "-c", PEAK + code, *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT / "scripts"), "RAYON_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def prepare(folder: Path, what: str = "write") -> dict[str, float]:
    return run_alone(PREPARE, str(folder), what)


def with_datasets(folder: Path, cache: Path, order: str) -> dict[str, float]:
    return run_alone(WITH_DATASETS, str(folder), str(cache), order)


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


def test_a_single_row_group_streams(tmp_path: Path) -> None:
    """Writers other than the hub's put all rows of a file into one row group."""
    folder = write_raw(tmp_path / "raw", FEW)
    whole = pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("*.parquet"))])
    pq.write_table(whole, folder / "one.parquet")
    write_manifest(folder, [folder / "one.parquet"])
    one = prepare(folder)
    print(
        f"\ndata: MS MARCO, {FEW:,} rows in one row group: peak memory "
        f"{one['bytes'] / 2**30:.2f} GiB"
    )
    assert one["bytes"] <= 0.75 * 2**30


def test_ms_marco_columns_stream(tmp_path: Path) -> None:
    few, many = (prepare(write_columns(tmp_path / str(n), n)) for n in (COLUMN_FEW, COLUMN_MANY))
    print(
        f"\ndata: MS MARCO's raw JSON of columns, {COLUMN_MANY:,} rows ({many['n']:,} kept): peak "
        f"memory {many['bytes'] / 2**30:.2f} GiB ({few['bytes'] / 2**30:.2f} at {COLUMN_FEW:,}), "
        f"{many['seconds'] / few['seconds']:.2f} x the time for {COLUMN_MANY // COLUMN_FEW} x the "
        "rows"
    )
    assert many["bytes"] <= min(1.3 * few["bytes"], 1.5 * 2**30)


def test_ms_marco_beside_datasets_map(tmp_path: Path) -> None:
    folder = write_raw(tmp_path / "raw", COMPARED)
    # The best of three each, in turn, since the machine may be doing something else.
    read, written, map_first, filter_first = [], [], [], []
    for number in range(3):
        read.append(prepare(folder, "read"))
        written.append(prepare(folder))
        map_first.append(with_datasets(folder, folder / f"cache-{number}-map", "map first"))
        filter_first.append(
            with_datasets(folder, folder / f"cache-{number}-filter", "filter first")
        )
    assert len({run["n"] for run in (*read, *written, *map_first, *filter_first)}) == 1

    def least(runs: list[dict[str, float]], what: str = "seconds") -> float:
        return min(run[what] for run in runs)

    ratio = least(map_first, "read") / least(read)
    print(
        f"\ndata: datasets.map and filter cost {ratio:.1f} x the MS MARCO reader with its filters, "
        f"{COMPARED:,} rows ({least(map_first, 'read'):.1f} s, {least(read):.1f} s); where the "
        "answers' column alone is filtered before anything is mapped, "
        f"{least(filter_first, 'read') / least(read):.1f} x; with the table written, which ours "
        f"sorts by id, {least(map_first) / least(written):.1f} x"
    )
    assert ratio >= 3


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
    kept = sum(index.find_or_add(normalise(text)) is None for text in texts)
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
