"""A table whose cells another job has made is made once; its names are those of the job."""

from pathlib import Path

import pandas as pd

from reset_tuning.repeats import make_or_repeat
from reset_tuning.tables import read_table, write_table

ROW = {
    "decoding": "greedy", "example_id": "a", "sample_id": 0, "metric": "m", "scorer": "s",
    "value": 0.5, "status": "ok",
}  # fmt: skip


def make_scores(folder: Path, checkpoint: str, identity: list, value: float, calls: list) -> Path:
    path = folder / checkpoint / "scores.parquet"
    names = {"run": "mtl", "seed": 1, "checkpoint": checkpoint}

    def make() -> None:
        calls.append(checkpoint)
        frame = pd.DataFrame([ROW | names | {"value": value}])
        write_table(frame, path, "score", {"scorer": "{}"})

    make_or_repeat(path, make, identity, names, folder / "tables")
    return path


def test_an_equal_table_is_made_once_and_renamed(tmp_path: Path) -> None:
    calls: list[str] = []
    best = make_scores(tmp_path, "best", ["weights", 1], 0.5, calls)
    last = make_scores(tmp_path, "last", ["weights", 1], 0.7, calls)
    assert calls == ["best"]
    first, second = read_table(best, "score"), read_table(last, "score")
    assert second["checkpoint"].tolist() == ["last"]
    pd.testing.assert_frame_equal(
        first.drop(columns="checkpoint"), second.drop(columns="checkpoint")
    )
    direct = make_scores(tmp_path / "other", "last", ["weights", 1], 0.5, calls)
    assert last.read_bytes() == direct.read_bytes(), "no matter which way it was made"


def test_another_identity_is_made(tmp_path: Path) -> None:
    calls: list[str] = []
    make_scores(tmp_path, "best", ["weights", 1], 0.5, calls)
    make_scores(tmp_path, "last", ["weights", 2], 0.7, calls)
    assert calls == ["best", "last"]
