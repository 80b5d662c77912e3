"""Files and folders that appear whole, or leave nothing behind."""

from pathlib import Path

import pytest

from reset_tuning.files import atomic_path, work_folder


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "old"


def test_two_writers_of_one_file_have_folders_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "samples" / "best.parquet"
    with work_folder(path) as late:
        early = work_folder(path)
        (late / "part").write_text("late")
        with early as folder:
            assert not list(folder.iterdir())
        assert (late / "part").read_text() == "late"
    assert not list(path.parent.iterdir())
