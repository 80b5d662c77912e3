"""Journals and the sidecars kept in them: nothing finished is lost, and nothing is locked."""

import errno
import json
import os
import signal
import subprocess
import sys
from io import FileIO
from pathlib import Path

import pytest

from helpers import ROOT
from reset_tuning import journal
from reset_tuning.errors import InputError
from reset_tuning.journal import Journal, Sidecar

RESULT = {"output": "bleu «red»\n2", "n_tokens": 4}


def test_what_one_process_stores_another_finds(tmp_path: Path):
    with Sidecar(tmp_path) as sidecar:
        assert sidecar.get("a") is None
        sidecar.add([("a", RESULT)])
        assert sidecar.get("a") == RESULT
        # Before the first has ended: each batch is on disk when it is stored.
        assert Sidecar(tmp_path).get("a") == RESULT
    assert Sidecar(tmp_path / "another").get("a") is None


def test_a_torn_line_is_skipped_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with Sidecar(tmp_path) as sidecar:
        sidecar.add([("a", RESULT), ("b", RESULT)])
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-20])
    resumed = Sidecar(tmp_path)
    assert resumed.get("a") == RESULT
    assert resumed.get("b") is None
    assert "skipped 1 torn lines" in caplog.text


def test_what_others_store_meanwhile_is_found_after_a_look(tmp_path: Path):
    with Sidecar(tmp_path) as ours, Sidecar(tmp_path) as theirs:
        ours.add([("mine", 1)])
        for n in range(3):  # a new file, and then one that grows
            theirs.add([(f"key {n}", n)])
            assert ours.get(f"key {n}") is None
            ours.refresh()
            assert ours.get(f"key {n}") == n
        ours.add([("mine too", 2)])
        assert (ours.get("mine"), ours.get("mine too")) == (1, 2)


def test_a_line_that_is_still_being_written_is_found_when_it_is_whole(tmp_path: Path):
    line = b'{"key": "a", "result": 1}\n'
    (tmp_path / "host-1-1.jsonl").write_bytes(line[:12])
    with Sidecar(tmp_path) as sidecar:
        (tmp_path / "host-1-1.jsonl").write_bytes(line)
        sidecar.refresh()
        assert sidecar.get("a") == 1


def test_two_writers_do_not_touch_each_others_file(tmp_path: Path):
    with Sidecar(tmp_path) as first, Sidecar(tmp_path) as second:
        for number in range(100):
            first.add([(f"a{number}", 1)])
            second.add([(f"b{number}", 2)])
    assert len(list(tmp_path.iterdir())) == 2
    both = Sidecar(tmp_path)
    assert all(both.get(f"a{n}") == 1 and both.get(f"b{n}") == 2 for n in range(100))


def test_a_job_with_nothing_to_store_leaves_no_file(tmp_path: Path):
    with Sidecar(tmp_path / "sidecar") as sidecar:
        sidecar.add([])
    assert not any(tmp_path.rglob("*.jsonl"))


def test_without_a_directory_results_are_known_to_this_process_only():
    with Sidecar(None) as sidecar:
        sidecar.add([("a", RESULT)])
        assert sidecar.get("a") == RESULT
    assert Sidecar(None).get("a") is None


def test_a_killed_process_loses_nothing_that_it_appended(tmp_path: Path):
    code = (
        "import os, signal, sys; from pathlib import Path;"
        "from reset_tuning.journal import Journal;"
        "journal = Journal(Path(sys.argv[1]));"
        "[journal.append([{'number': number}]) for number in range(50)];"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "scripts")}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment)
    assert done.returncode == -signal.SIGKILL
    numbers = [json.loads(line)["number"] for line in Journal(tmp_path).lines()]
    assert numbers == list(range(50))


def test_after_a_full_disk_the_torn_file_is_left_and_a_new_one_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def tear(stream: FileIO, content: bytes) -> None:
        stream.write(content[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    with Sidecar(tmp_path) as sidecar:
        sidecar.add([("a", 1)])
        with monkeypatch.context() as patched:
            patched.setattr(journal, "_write_all", tear)
            with pytest.raises(InputError, match="No space left on device.: make room"):
                sidecar.add([("b", 2)])
        sidecar.add([("c", 3)])  # room was made
        assert [sidecar.get(key) for key in "abc"] == [1, None, 3]
    assert len(list(tmp_path.iterdir())) == 2
    assert [Sidecar(tmp_path).get(key) for key in "abc"] == [1, None, 3]


def test_keys_that_share_a_digest_keep_their_own_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(journal, "_digest", lambda _: 7)
    with Sidecar(tmp_path) as sidecar:
        sidecar.add([("a", 1)])
        assert sidecar.get("b") is None
        sidecar.add([("b", 2)])
        assert (sidecar.get("a"), sidecar.get("b")) == (1, 2)
    again = Sidecar(tmp_path)
    assert (again.get("a"), again.get("b"), again.get("c")) == (1, 2, None)
