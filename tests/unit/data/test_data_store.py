"""Tables larger than their buffer: the same file as one written at once."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_samples import example

from reset_tuning.data.store import write_examples
from reset_tuning.errors import InputError
from reset_tuning.tables import read_table, write_table

IDS = st.lists(st.integers(0, 2**64 - 1), unique=True, min_size=1, max_size=40)


def row(number: int) -> dict:
    places = {"gold_passages": [1, 2] if number % 2 else None, "gold_retrieved": None}
    return example(f"{number:016x}", context=f"text {number} " * (number % 7)) | places


@settings(max_examples=25)
@given(IDS, st.integers(1, 30_000))
def test_spilling_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int], buffer: int
) -> None:
    folder = tmp_path_factory.mktemp("store")
    rows = [row(number) for number in numbers]
    n_rows = write_examples(iter(rows), folder / "spilled.parquet", {"split": "train"}, buffer)
    write_table(pd.DataFrame(rows), folder / "whole.parquet", "example", {"split": "train"})
    spilled, whole = (
        read_table(folder / f"{name}.parquet", "example") for name in ("spilled", "whole")
    )
    assert n_rows == len(rows)
    assert spilled["example_id"].is_monotonic_increasing
    pd.testing.assert_frame_equal(spilled, whole)
    assert pq.read_schema(folder / "spilled.parquet").metadata[b"split"] == b"train"
    assert {path.name for path in folder.iterdir()} == {"spilled.parquet", "whole.parquet"}


@pytest.mark.parametrize("buffer", [1, 10**9])
def test_two_rows_of_one_id_are_refused(tmp_path: Path, buffer: int) -> None:
    with pytest.raises(InputError, match="two rows of the example table share the key"):
        write_examples([row(5), row(5)], tmp_path / "x.parquet", {}, buffer)
    assert not list(tmp_path.iterdir())


def test_a_reader_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def rows():
        yield row(1)
        raise InputError("line 2 is broken")

    with pytest.raises(InputError, match="line 2"):
        write_examples(rows(), tmp_path / "x.parquet", {}, 1)
    assert not list(tmp_path.iterdir())
