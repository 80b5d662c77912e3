"""The table module: what it refuses and what it keeps."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from reset_tuning.errors import InputError
from reset_tuning.tables import read_table, write_table, writing_table

LEDGER = {
    "stage": ["prepare_split"] * 2,
    "item": ["nq"] * 2,
    "split": ["train"] * 2,
    "step": [1, 0],
    "rule": ["no_answer", "read"],
    "n_in": [5, 5],
    "n_dropped": [2, 0],
    "n_out": [3, 5],
}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_round_trip_in_key_order(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"ledger.{suffix}"
    write_table(pd.DataFrame(LEDGER), path, "ledger", None)
    frame = read_table(path, "ledger")
    assert list(frame["step"]) == [0, 1]
    assert list(frame["rule"]) == ["read", "no_answer"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extra": [1, 2]}, "extra"),
        ({"n_in": ["a", "b"]}, "wrong type"),
        ({"rule": [None, "read"]}, "rule"),
        ({"step": [1, 1]}, "share the key"),
    ],
)
def test_a_frame_that_breaks_the_schema_is_never_written(
    tmp_path: Path, change: dict[str, list], message: str
) -> None:
    path = tmp_path / "ledger.parquet"
    with pytest.raises(InputError, match=message):
        write_table(pd.DataFrame(LEDGER | change), path, "ledger")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_nothing_to_tabulate_is_a_table_without_rows(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"tradeoff{suffix}"
    write_table(pd.DataFrame(), path, "tradeoff")
    assert len(read_table(path, "tradeoff")) == 0


def test_metadata_goes_into_the_header(tmp_path: Path) -> None:
    path = tmp_path / "ledger.parquet"
    write_table(pd.DataFrame(LEDGER), path, "ledger", {"splitter": "punkt"})
    assert pq.read_schema(path).metadata[b"splitter"] == b"punkt"


def test_a_foreign_or_truncated_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger.parquet"
    pd.DataFrame({"a": [1]}).to_parquet(path)
    with pytest.raises(InputError, match=r"ledger\.parquet is not a ledger table"):
        read_table(path, "ledger")
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(InputError, match=r"ledger\.parquet cannot be read"):
        read_table(path, "ledger")


def test_texts_of_a_csv_file_stay_texts_where_they_look_like_numbers(tmp_path) -> None:
    """One seed: the values of seeds are one number, and the table is written again by others."""
    row = {"run": "1", "checkpoint": "best", "average": "overall", "n_seeds": 1, "n": 9.0}
    row |= {"n_failed": 0.0, "mean": 0.5, "sd": None, "low": 0.4, "high": 0.6}
    row |= {"seed_values": "0.5", "note": None}
    path = tmp_path / "averages.csv"
    write_table(pd.DataFrame([row]), path, "averages")
    again = read_table(path, "averages")
    assert (again["run"].iloc[0], again["seed_values"].iloc[0]) == ("1", "0.5")
    assert pd.isna(again["note"].iloc[0])
    write_table(again, path, "averages")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_texts_that_read_like_nulls_stay_texts(tmp_path: Path, suffix: str) -> None:
    rows = pd.DataFrame(LEDGER | {"item": ["None", "null"], "split": ["NA", ""]})
    path = tmp_path / f"ledger.{suffix}"
    write_table(rows, path, "ledger")
    again = read_table(path, "ledger")
    assert set(again["item"]) == {"None", "null"} and set(again["split"]) == {"NA", ""}
    write_table(again, path, "ledger")
    assert read_table(path, "ledger").equals(again)


def test_a_key_that_two_parts_share_is_refused(tmp_path: Path) -> None:
    rows = pd.DataFrame(LEDGER)
    path = tmp_path / "ledger.parquet"
    twice = pytest.raises(InputError, match="out of order or twice")
    with twice, writing_table(path, "ledger") as table:
        table.write(rows)
        table.write(rows[rows["step"] == 1])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00"])
def test_a_csv_file_that_is_none_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ledger.csv").write_bytes(content)
    with pytest.raises(InputError, match="ledger.csv cannot be read as a ledger table"):
        read_table(tmp_path / "ledger.csv", "ledger")
