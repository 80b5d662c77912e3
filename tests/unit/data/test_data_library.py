"""What the `datasets` library reads of raw files, and why its JSON and csv readers cannot be used.

The second half holds the library to each reason: when one of these tests fails, the library has
changed, and our own reader of that form may go.
"""

import gzip
import json
import os
import shutil
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
from reset_tuning.data import raw_parquet
from reset_tuning.data.raw import read_records
from reset_tuning.data.rows import BadRow
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


def test_nobody_is_told_of_a_local_file(parquet: Path, monkeypatch: Any) -> None:
    """The library counts every opening at its hub, whose answer a node without a network awaits."""
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_UPDATE_DOWNLOAD_COUNTS", True)
    asked: list[bool] = []
    monkeypatch.setattr(datasets.load, "get_session", lambda: asked.append(True))
    assert len(load("parquet", parquet)) == len(ROWS) and asked
    asked.clear()
    assert len(list(read_records(parquet))) == len(ROWS) and not asked
    assert datasets.config.HF_UPDATE_DOWNLOAD_COUNTS


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


@pytest.mark.parametrize("folder", [".", "run*", "a[b", "c::d"])
@pytest.mark.parametrize("name", ["train[1].parquet", "train?.parquet", "a::train1.parquet"])
def test_a_path_is_no_pattern(folder: str, name: str, parquet: Path, monkeypatch: Any) -> None:
    """The library takes a path for a pattern, or for a chain of file systems."""
    monkeypatch.chdir(parquet.parent)
    pq.write_table(pa.table({"question": ["another file"]}), "other.parquet")
    for other in ("run1", folder):
        Path(other).mkdir(exist_ok=True)
        for neighbour in ("train1.parquet", "a"):
            shutil.copy("other.parquet", Path(other, neighbour))
    path = parquet.rename(Path(folder, name))
    assert [record for _, record in read_records(path)] == ROWS


def test_the_temporary_folder_is_no_pattern(parquet: Path, monkeypatch: Any) -> None:
    (parquet.parent / "job[1]").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(parquet.parent / "job[1]"))
    assert [record for _, record in read_records(parquet)] == ROWS


def test_a_column_of_a_type_that_the_library_lacks_is_read_by_arrow(tmp_path: Path) -> None:
    path = tmp_path / "raw.parquet"
    types = {
        "map": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
        "view": pa.array([["a"]], pa.list_view(pa.string())),
        "uuid": pa.array([b"1" * 16], pa.uuid()),
    }
    pq.write_table(pa.table({"question": ["q"], **types}), path)
    (row,) = (record for _, record in read_records(path))
    assert row["question"] == "q" and row["map"] == [("a", 1)] and row["view"] == ["a"]
    needed = list(read_records(path, columns=["question"]))
    assert needed == [("raw.parquet:1", {"question": "q"})]


@pytest.mark.parametrize(
    "metadata", ["{", "3", '{"info": {"features": {"question": {"_type": "Unheard"}}}}']
)
def test_the_librarys_own_metadata_is_not_read(metadata: str, parquet: Path) -> None:
    table = pq.read_table(parquet).replace_schema_metadata({"huggingface": metadata})
    pq.write_table(table, parquet)
    assert [record for _, record in read_records(parquet)] == ROWS


def test_a_large_row_group_is_not_decoded_whole(parquet: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(raw_parquet, "_ROWS_HELD", 100)
    monkeypatch.setattr(datasets, "load_dataset", None)
    assert [record for _, record in read_records(parquet)] == ROWS
    most = max(len(batch) for batch in raw_parquet._parquet_batches(parquet, "x", []))
    assert most <= raw_parquet._ROWS_AT_ONCE


@pytest.mark.parametrize("rows_held", [0, 1000])
def test_a_repeated_column_is_one_sentence(
    rows_held: int, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(raw_parquet, "_ROWS_HELD", rows_held)
    path = tmp_path / "raw.parquet"
    pq.write_table(pa.table([pa.array(["x"])] * 2, names=["a", "a"]), path)
    with pytest.raises(InputError, match="raw.parquet is not a readable parquet") as caught:
        list(read_records(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rows_held", [0, 1000])
def test_a_cut_or_damaged_parquet_file_is_one_sentence(
    rows_held: int, parquet: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(raw_parquet, "_ROWS_HELD", rows_held)
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
    assert isinstance(ours[1], BadRow) and "line 3 has 1 fields" in ours[1].reason


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
