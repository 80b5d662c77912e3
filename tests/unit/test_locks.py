"""Locks of runs that share a folder."""

from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.exceptions import LockException
from snakemake.persistence.file import FilePersistence
from snakemake.utils import listfiles

from reset_tuning.locks import with_own_locks


def records(folder: Path, reads: str, writes: str) -> FilePersistence:
    job = SimpleNamespace(input=[reads], output=[writes])
    workflow = SimpleNamespace(dag_settings=SimpleNamespace(max_checksum_file_size=0))
    dag = SimpleNamespace(jobs=[job], needrun_jobs=lambda: [job], workflow=workflow)
    return with_own_locks(FilePersistence)(dag=dag, path=folder / ".snakemake")


def start(folder: Path, reads: str, writes: str) -> AbstractContextManager[None]:
    run = records(folder, reads, writes).lock()
    run.__enter__()
    return run


def end(run: AbstractContextManager[None]) -> None:
    run.__exit__(None, None, None)


def test_a_run_that_ends_leaves_the_locks_of_one_that_goes_on(tmp_path: Path) -> None:
    first, second = start(tmp_path, "raw", "first"), start(tmp_path, "raw", "second")
    end(first)
    end(start(tmp_path, "raw", "first"))
    with pytest.raises(LockException):
        start(tmp_path, "raw", "second")
    with pytest.raises(LockException):
        start(tmp_path, "raw", "raw")
    end(second)
    end(start(tmp_path, "raw", "second"))


def test_unlocking_removes_all_locks_and_stops_no_run(tmp_path: Path) -> None:
    run, late = start(tmp_path, "raw", "first"), records(tmp_path, "raw", "second")
    records(tmp_path, "raw", "first").cleanup_locks()
    with late.lock():  # its folder was made before
        end(run)
        with pytest.raises(LockException):
            start(tmp_path, "raw", "second")


def test_a_lock_that_vanishes_while_it_is_read_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(tmp_path, "raw", "first")

    def listed_too_early(pattern: str) -> list[tuple[str, object]]:
        files = list(listfiles(pattern))
        end(run)
        return files

    monkeypatch.setattr("snakemake.persistence.file.listfiles", listed_too_early)
    end(start(tmp_path, "raw", "first"))
