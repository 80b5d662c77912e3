"""Which state a training may go on from, and when it is asked to keep one or to stop."""

import errno
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from transformers import Trainer, TrainerControl, TrainerState

from reset_tuning.errors import InputError
from reset_tuning.training.checkpoints import best_directory, publish, remove_all_but
from reset_tuning.training.failures import explain
from reset_tuning.training.interruption import STOP_SIGNALS, Interruption
from reset_tuning.training.settings import Launch, TrainingJob
from reset_tuning.training.speed import Speed, operations_per_token, peak_operations
from reset_tuning.training.state import (
    REPORT,
    close_directory,
    complete_state,
    complete_training,
    is_worth_keeping,
    last_state,
    open_directory,
    read_state,
    stale_directories,
)
from reset_tuning.training.trainer import CheckpointingTrainer, History

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for a file's name")
IDENTITY: dict[str, Any] = {"seed": 1, "settings": {"training": {"epochs": 1.0}}, "inputs": {}}


def keep(directory: Path, step: int) -> Path:
    """Write a state as a training does: its files first, then the word that it is complete."""
    state = directory / f"checkpoint-{step}"
    state.mkdir(parents=True)
    (state / "weights").write_text("1")
    complete_state(state, {"step": step})
    return state


def test_the_newest_complete_state_counts_and_older_ones_go(tmp_path: Path) -> None:
    open_directory(tmp_path / "t", IDENTITY, 1)
    assert last_state(tmp_path / "t") is None
    older = keep(tmp_path / "t", 9)
    shutil.copytree(older, tmp_path / "copy")
    state = keep(tmp_path / "t", 10)
    assert not older.exists()
    (tmp_path / "copy").rename(older)  # as after a kill before the older one was removed
    (tmp_path / "t" / "checkpoint-11").mkdir()
    assert last_state(tmp_path / "t") == state  # not 9 by the order of names
    assert read_state(state) == {"step": 10}


@pytest.fixture
def to_disk(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names, without random parts, that are flushed and (rm <name>) removed."""
    seen: list[str] = []
    flush, remove = os.fsync, shutil.rmtree

    def note_flush(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        seen.append(re.sub(r"^\.(.*)\.\w+\.partial$", r"\1", path.name))
        flush(descriptor)

    def note_removal(path: Path, *arguments: Any) -> None:
        seen.append(f"rm {Path(path).name}")
        remove(path, *arguments)

    monkeypatch.setattr(os, "fsync", note_flush)
    monkeypatch.setattr(shutil, "rmtree", note_removal)
    return seen


@LINUX
def test_older_states_go_when_the_word_of_the_new_one_is_on_the_disk(
    tmp_path: Path, to_disk: list[str]
) -> None:
    open_directory(tmp_path / "t", IDENTITY, 1)
    assert to_disk == ["fingerprint.json", "t"]
    keep(tmp_path / "t", 9)
    to_disk.clear()
    keep(tmp_path / "t", 10)
    assert to_disk == ["complete.json", "checkpoint-10", "t", "rm checkpoint-9"]


@LINUX
def test_every_node_flushes_its_part_before_a_state_is_complete(
    tmp_path: Path, to_disk: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the first rank of a second node does it, where rank 0 can flush nothing."""

    def write_parts(self: CheckpointingTrainer, *_: Any) -> None:
        (tmp_path / "checkpoint-7").mkdir()
        (tmp_path / "checkpoint-7" / "part-of-rank-8").touch()

    trainer = object.__new__(CheckpointingTrainer)
    trainer.output, trainer.speed, trainer.history = tmp_path, MagicMock(), History()
    trainer.state, trainer.args = (
        TrainerState(global_step=7),
        SimpleNamespace(local_process_index=0),
    )
    trainer.accelerator = SimpleNamespace(wait_for_everyone=lambda: to_disk.append("all wrote"))
    trainer.is_world_process_zero = lambda: False
    trainer._gather_tallies = lambda: to_disk.append("all flushed") or ([], [])
    monkeypatch.setattr(Trainer, "_save_checkpoint", write_parts)
    trainer._save_checkpoint(None, None)
    assert to_disk == ["all wrote", "part-of-rank-8", "checkpoint-7", "all flushed"]


@LINUX
def test_a_training_is_finished_when_its_files_are_on_the_disk(
    tmp_path: Path, to_disk: list[str]
) -> None:
    for name in ("best", "last"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"weights-{name}").touch()
    (tmp_path / "history.csv").touch()
    complete_training(tmp_path, {})
    assert to_disk[:5] == ["weights-best", "best", "weights-last", "last", "history.csv"]
    assert to_disk[5:] == [REPORT, tmp_path.name]
    to_disk.clear()
    publish({tmp_path / "best" / "weights-best": tmp_path / "declared" / "weights"})
    assert to_disk == ["weights", "declared"]


def test_a_state_with_nothing_to_tell_is_complete(tmp_path: Path) -> None:
    state = tmp_path / "checkpoint-3"
    state.mkdir()
    complete_state(state, {})
    assert last_state(tmp_path) == state


def test_a_success_removes_what_other_trainings_left_but_nothing_that_nobody_knows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    training = tmp_path / "t"
    for identity in (IDENTITY | {"seed": 2}, IDENTITY):
        open_directory(training, identity, 1)
        keep(training, 3)
    (training / "fingerprint.json").write_text("{")
    open_directory(training, IDENTITY, 1)
    assert stale_directories(training)
    close_directory(training)
    assert list(tmp_path.iterdir()) == [tmp_path / "t.unknown"]
    assert last_state(tmp_path / "t.unknown") is not None
    assert f"{tmp_path / 't.unknown'} stays" in caplog.text


def test_a_word_that_is_half_written_is_none(tmp_path: Path) -> None:
    state = keep(tmp_path / "t", 3)
    (state / "complete.json").write_text('{"st')
    assert last_state(tmp_path / "t") is None
    assert not is_worth_keeping(tmp_path / "t")


def test_the_same_training_finds_its_state(tmp_path: Path) -> None:
    open_directory(tmp_path / "t", IDENTITY, 2)
    keep(tmp_path / "t", 3)
    half = tmp_path / "t" / "checkpoint-4"
    half.mkdir()
    open_directory(tmp_path / "t", dict(reversed(IDENTITY.items())), 2)
    assert last_state(tmp_path / "t") is not None
    assert not half.exists()


def test_another_training_sets_it_aside_and_says_what_differs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    open_directory(tmp_path / "t", IDENTITY, 1)
    keep(tmp_path / "t", 3)
    changed = IDENTITY | {"settings": {"training": {"epochs": 3.0}}}
    open_directory(tmp_path / "empty", IDENTITY, 1)
    open_directory(tmp_path / "empty", changed, 1)
    assert not stale_directories(tmp_path / "empty")
    open_directory(tmp_path / "t", changed, 1)
    assert last_state(tmp_path / "t") is None
    (stale,) = stale_directories(tmp_path / "t")
    assert last_state(stale) is not None
    assert "settings.training.epochs differs" in caplog.text
    assert f"it was moved to {stale}" in caplog.text


def test_each_training_finds_its_own_state_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory, kept = tmp_path / "t", {1: 9000, 2: 20, 3: 30}
    for seed, step in kept.items():
        open_directory(directory, IDENTITY | {"seed": seed}, 1)
        keep(directory, step)
    for seed, step in kept.items():
        open_directory(directory, IDENTITY | {"seed": seed}, 1)
        assert last_state(directory) == directory / f"checkpoint-{step}"
    assert caplog.text.count("is of this training and was moved back") == 3
    assert len(stale_directories(directory)) == 2
    with pytest.raises(InputError, match="by 1 ranks, but this job has 2"):
        open_directory(directory, IDENTITY | {"seed": 1}, 2)
    assert last_state(directory) == directory / "checkpoint-9000"


@pytest.mark.parametrize("fingerprint", [None, "", "{", "[]"])
def test_a_state_that_nobody_knows_is_moved_and_not_removed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fingerprint: str | None
) -> None:
    training, moved = tmp_path / "t", tmp_path / "t.unknown"
    keep(training, 3)
    if fingerprint is not None:
        (training / "fingerprint.json").write_text(fingerprint)
    open_directory(training, IDENTITY, 1)
    assert last_state(training) is None
    assert last_state(moved) is not None
    assert f"it was moved to {moved}" in caplog.text
    (training / "fingerprint.json").unlink()
    open_directory(training, IDENTITY, 1)  # a start without any state: nothing to move
    (training / "fingerprint.json").unlink()
    (training / REPORT).write_text("{}")  # as of a pasted command that trained to its end
    with pytest.raises(InputError, match="t.unknown exists already: move or delete one of them"):
        open_directory(training, IDENTITY, 1)
    assert (training / REPORT).exists()


@pytest.mark.parametrize("file", ["fingerprint.json", "checkpoint-3/complete.json"])
def test_a_file_that_the_disk_refuses_removes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    open_directory(tmp_path, IDENTITY, 1)
    state = keep(tmp_path, 3)
    read = Path.read_text

    def refuse(path: Path, *arguments: Any) -> str:
        if path == tmp_path / file:
            raise OSError(errno.EIO, "Input/output error")
        return read(path, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_text", refuse)
        with pytest.raises(InputError, match=f"{file} cannot be read .Input/output error.*start"):
            open_directory(tmp_path, IDENTITY, 1)
    assert last_state(tmp_path) == state


def test_another_number_of_ranks_is_refused_while_there_is_something_to_lose(
    tmp_path: Path,
) -> None:
    open_directory(tmp_path / "t", IDENTITY, 8)
    open_directory(tmp_path / "t", IDENTITY, 4)
    keep(tmp_path / "t", 3)
    with pytest.raises(InputError, match="by 4 ranks, but this job has 8: give it 4, or delete"):
        open_directory(tmp_path / "t", IDENTITY, 8)
    (tmp_path / "t" / REPORT).write_text("{}")
    open_directory(tmp_path / "t", IDENTITY, 8)  # it is finished: ranks do not matter any more


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def ends_of_steps(interruption: Interruption, steps: int) -> list[tuple[bool, bool]]:
    """Return (keep, stop) as asked for at the end of each of a training's steps."""
    asked = []
    for step in range(1, steps + 1):
        control = TrainerControl()
        state = TrainerState(global_step=step, max_steps=steps)
        arguments = SimpleNamespace(device=torch.device("cpu"))
        interruption.on_step_end(arguments, state, control)
        asked.append((control.should_save, control.should_training_stop))
    return asked


@pytest.mark.usefixtures("handlers")
def test_the_state_is_kept_every_so_many_minutes_but_not_at_the_end() -> None:
    now = iter(range(0, 10_000, 60))
    interruption = Interruption(3, None, clock=lambda: next(now))
    asked = ends_of_steps(interruption, 12)
    # Each step looks at the clock once, and twice when the next time is set: a minute each.
    assert [step for step, (kept, _) in enumerate(asked, 1) if kept] == [3, 6, 9]
    assert not any(stop for _, stop in asked)
    assert interruption.reason is None


@pytest.mark.usefixtures("handlers")
def test_the_time_limit_stops_before_the_last_step_only() -> None:
    interruption = Interruption(60, stop_at=100.0, clock=lambda: 99.0)
    assert ends_of_steps(interruption, 2) == [(False, False)] * 2
    interruption = Interruption(60, stop_at=100.0, clock=lambda: 100.0)
    assert ends_of_steps(interruption, 1) == [(False, False)]
    assert interruption.reason is None
    assert ends_of_steps(interruption, 2)[0] == (True, True)
    assert interruption.reason == "its time limit"


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_stops_at_the_end_of_the_step(number: int) -> None:
    interruption = Interruption(60, None)
    os.kill(os.getpid(), number)
    assert ends_of_steps(interruption, 2)[0] == (True, True)
    assert interruption.reason == signal.Signals(number).name


def test_weights_that_are_still_counted_on_stay(tmp_path: Path) -> None:
    for step in (100, 200, 300):
        best_directory(tmp_path, step).mkdir()
    remove_all_but(tmp_path, {300, 100})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best-100", "best-300"]


def test_publishing_can_be_repeated(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("new")
    target = tmp_path / "declared" / "a"
    for _ in range(2):
        publish({tmp_path / "a": target})
        assert target.read_text() == (tmp_path / "a").read_text() == "new"


def job(**launch: Any) -> TrainingJob:
    options = {"micro_batch_size": 4, "evaluation_batch_size": 8, "gradient_checkpointing": True}
    return TrainingJob("s", "t", "v", "b", "mtl", 1, "out", Launch(**options | launch))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to"), "lower launch.micro_batch_size"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "micro-batches of 4 rows"),
        (OSError(errno.ENOSPC, "No space left on device"), "make room"),
        (
            RuntimeError(
                "[enforce fail at inline_container.cc:672] . unexpected pos 93056 vs 92944"
            ),
            "make room",
        ),
    ],
)
def test_a_lack_of_memory_or_space_says_what_to_do(error: Exception, words: str) -> None:
    assert words in (explain(error, job()) or "")


def test_other_failures_keep_their_traceback() -> None:
    assert explain(ValueError("shape mismatch"), job()) is None
    text = explain(MemoryError(), job(gradient_checkpointing=False))
    assert text is not None
    assert "set launch.gradient_checkpointing" in text


def test_speed_counts_training_alone_and_knows_peaks() -> None:
    now = iter([0.0, 10.0, 50.0, 54.0, 60.0, 66.0])
    speed = Speed(operations_per_token=100.0, peak=1000.0, clock=lambda: next(now))
    speed.begin(0)
    speed.stop()
    assert speed.rates(tokens=50, ranks=1) == {"tokens_per_second": 5.0, "mfu": 0.5}
    speed.start()  # the evaluation took 40 seconds
    speed.stop()
    speed.start()  # and a state 6 seconds
    speed.stop()
    assert speed.rates(tokens=250, ranks=2) == {"tokens_per_second": 20.0, "mfu": 1.0}
    assert speed.seconds == 20.0
    assert peak_operations("NVIDIA H100 PCIe") == 756e12
    assert peak_operations("NVIDIA H200") == 989e12
    assert peak_operations("NVIDIA H100 80GB HBM3") == 989e12
    assert peak_operations("NVIDIA H200 NVL") == peak_operations("NVIDIA H100 NVL") == 835.5e12
    assert peak_operations("GeForce") is None
    assert peak_operations(None) is None


def test_operations_of_a_llama_of_seven_billion() -> None:
    """About 6 operations per parameter, and a seventh more for attention at 2,048 tokens."""
    operations = operations_per_token(6_738_415_616, 0, 32, 4096, 2048)
    assert operations / (6 * 6_738_415_616) == pytest.approx(1.0797, abs=1e-3)
    frozen = operations_per_token(0, 6_738_415_616, 32, 4096, 2048)
    assert operations - frozen == 2 * 6_738_415_616
