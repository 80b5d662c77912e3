"""What the `datasets` library reads of raw files, and why its JSON and csv readers cannot be used.

The second half holds the library to each reason: when one of these tests fails, the library has
changed, and our own reader of that form may go.
"""

import gzip
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers import ROOT
from reset_tuning.data.raw import BadRow, read_records
from reset_tuning.errors import InputError

ROWS = [{"question": f"q{n}", "answers": [f"a{n}"] * (n % 3), "n": n} for n in range(2500)]


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    path = tmp_path / "raw.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=700)
    return path


def load(builder: str, path: Path, **options: Any) -> list[dict[str, Any]]:
    """Return what the library makes of a file."""
    return list(
        datasets.load_dataset(
            builder, data_files=str(path), split="train", streaming=True,
            cache_dir=str(path.parent / "cache"), **options,
        )
    )  # fmt: skip


def test_parquet_is_streamed_by_the_library(parquet: Path, monkeypatch: Any) -> None:
    asked: list[dict[str, Any]] = []
    load_dataset = datasets.load_dataset

    def noted(*arguments: Any, **options: Any) -> Any:
        asked.append({"builder": arguments[0], **options})
        return load_dataset(*arguments, **options)

    monkeypatch.setattr(datasets, "load_dataset", noted)
    assert [record for _, record in read_records(parquet)] == ROWS
    (call,) = asked
    assert call["builder"] == "parquet" and call["streaming"] and call["columns"] is None
    some = read_records(parquet, columns=["question", "absent"])
    assert next(some) == ("raw.parquet:1", {"question": "q0"})
    assert asked[1]["columns"] == ["question"]
    some.close()


def test_no_data_job_loads_torch(parquet: Path) -> None:
    """The library asks torch about its workers, which costs two seconds and 200 MB."""
    code = (
        "import sys; from pathlib import Path; from reset_tuning.data.raw import read_records\n"
        "assert sum(1 for _ in read_records(Path(sys.argv[1]))) == 2500\n"
        "assert 'datasets' in sys.modules and 'torch' not in sys.modules"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "scripts")}
    subprocess.run([sys.executable, "-c", code, str(parquet)], env=environment, check=True)


def test_packed_parquet_is_read_too(parquet: Path, tmp_path: Path) -> None:
    (tmp_path / "raw.parquet.gz").write_bytes(gzip.compress(parquet.read_bytes()))
    with zipfile.ZipFile(tmp_path / "raw.zip", "w") as archive:
        archive.write(parquet, "inside.parquet")
    for name, first in (
        ("raw.parquet.gz", "raw.parquet.gz:1"),
        ("raw.zip", "raw.zip/inside.parquet:1"),
    ):
        rows = list(read_records(tmp_path / name))
        assert rows[0][0] == first and [record for _, record in rows] == ROWS


def test_a_cut_or_damaged_parquet_file_is_one_sentence(parquet: Path) -> None:
    whole = parquet.read_bytes()
    for content in (whole[:-20], whole[:40], whole[:100] + bytes(200) + whole[300:]):
        parquet.write_bytes(content)
        with pytest.raises(
            InputError, match="raw.parquet is (not a readable|truncated or damaged)"
        ) as caught:
            list(read_records(parquet))
        assert "\n" not in str(caught.value)


# --- why not JSON and csv ------------------------------------------------------------------------


BROKEN = '{"question": "q1"}\n{"question": \n{"question": "q3"}\n'


def test_its_json_reader_names_no_line_and_stops_at_a_broken_one(tmp_path: Path) -> None:
    path = tmp_path / "raw.jsonl"
    path.write_text(BROKEN)
    with pytest.raises(Exception) as caught:
        load("json", path)
    assert "line 2" not in str(caught.value) and "raw.jsonl" not in str(caught.value)
    ours = [record for _, record in read_records(path, tolerant=True)]
    assert ours[0] == {"question": "q1"} and ours[2] == {"question": "q3"}
    assert isinstance(ours[1], BadRow) and "raw.jsonl line 2" in ours[1].reason


def test_its_csv_reader_fills_up_records_that_lack_fields(tmp_path: Path) -> None:
    path = tmp_path / "raw.csv"
    path.write_text("article,highlights\none,1\ntwo\nthree,NA\n")
    theirs = load("csv", path)
    assert theirs[1] == {"article": "two", "highlights": None}, "a broken record, and no word of it"
    assert theirs[2]["highlights"] is None, "NA is a text"
    ours = [record for _, record in read_records(path, tolerant=True)]
    assert ours[2] == {"article": "three", "highlights": "NA"}
    assert isinstance(ours[1], BadRow) and "record 2 has 1 fields" in ours[1].reason


def test_its_json_reader_turns_texts_into_dates(tmp_path: Path) -> None:
    """A raw SearchQA record, and with it every key whose name looks like a date's."""
    path = tmp_path / "raw.json"
    record = {"question": "Who?", "air_date": "2007-05-30", "answer": "Wu"}
    path.write_text(json.dumps(record, indent=1))
    assert [found for _, found in read_records(path)] == [record]
    assert load("json", path)[0]["air_date"] != "2007-05-30"


def test_it_cannot_read_a_golden_file(tmp_path: Path) -> None:
    """BioASQ's form: one object whose answers are texts, lists or lists of lists, compressed."""
    path = tmp_path / "7B1_golden.json.gz"
    answers = ["yes", ["a"], [["a", "b"], ["c"]]]
    golden = {"questions": [{"body": "?", "exact_answer": answer} for answer in answers]}
    path.write_bytes(gzip.compress(json.dumps(golden, indent=1).encode()))
    assert [found for _, found in read_records(path)] == [golden]
    with pytest.raises(ValueError, match="Expected object or value"):
        load("json", path)
