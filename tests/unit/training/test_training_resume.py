"""An interrupted training ends with the bytes of one that never was."""

import json
import re
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from runs import (
    ALWAYS,
    Interrupt,
    after,
    assert_same,
    lose_node,
    lose_node_while_writing,
    ranks_of,
    signal_all,
    signal_launcher,
    train,
    train_until,
)
from safetensors.torch import load_file
from training_world import mixture_rows, write_settings

import launch_training
from reset_tuning.errors import InputError
from reset_tuning.tables import read_table, write_table
from reset_tuning.training import launch, provenance
from reset_tuning.training.checkpoints import MODEL_FILES
from reset_tuning.training.state import (
    complete_state,
    complete_training,
    last_state,
    stale_directories,
)

pytestmark = pytest.mark.slow

FILES = MODEL_FILES.values()


# A rank that partitions a tiny model as it would a large one.
_RANK_OF_A_LARGE_MODEL = """
import os, runpy, sys
sys.path.insert(0, os.path.dirname({worker!r}))
from reset_tuning.training import distributed
distributed.WHOLE_MODEL_PARAMETERS = 0
runpy.run_path({worker!r}, run_name="__main__")
"""


def stop_by_limit(world: Path, target: Path, settings: Path | None = None, **launch: int) -> Path:
    """Let a training meet its time limit after its first step; return the state it leaves."""
    with pytest.raises(InputError, match="stopped by its time limit after step 1 of 12"):
        train(world, target, settings, runtime=0.0001, **launch)
    assert not (target / "history.csv").exists()
    state = last_state(target / "trainer")
    assert state is not None
    assert state.name == "checkpoint-1"
    return state


def interrupt_training(
    at: str, interrupt: Interrupt, world: Path, target: Path, settings: Path, **launch: int
) -> str:
    """Train until the log has a line, interrupt, and return the log; a state must be left."""
    status, log = train_until(world, target, at, interrupt, settings, **launch)
    assert status != 0, log
    assert not (target / "history.csv").exists()
    assert last_state(target / "trainer") is not None
    return log


def to_second_rank(number: int) -> Interrupt:
    return lambda process: ranks_of(process)[1].send_signal(number)


def stopped_after(log: str) -> int:
    """Return the step after which a training says that a signal stopped it."""
    # The launcher hands every signal on as SIGUSR1, and a rank may not be the one that got it.
    found = re.search(r"training was stopped by (?:SIG\w+|a signal) after step (\d+) of", log)
    assert found, log
    return int(found[1])


@pytest.mark.skipif(sys.platform != "linux", reason="signals to all processes of a job")
def test_a_training_with_every_accident_ends_as_one_without(world: Path, tmp_path: Path) -> None:
    """Eight jobs, each of which goes on where the one before was lost, over two epochs."""
    large = Path(shutil.copytree(world, tmp_path / "world"))
    write_table(mixture_rows(400, seed=2), large / "validation.parquet", "mixture")
    settings = write_settings(
        tmp_path / "run.json", epochs=2, evaluation_steps=12, group_by_length=True
    )
    slow = {"evaluation_batch_size": 1}  # row by row it takes long enough to be hit
    expected = train(large, tmp_path / "uninterrupted", settings, **slow)
    target = tmp_path / "seed-1"
    trainer = target / "trainer"
    job = {"world": large, "target": target, "settings": settings} | slow | ALWAYS

    log = interrupt_training("step 2: state kept", signal_launcher(signal.SIGTERM), **job)
    step = stopped_after(log)
    log = interrupt_training(f"step {step + 2}: state kept", signal_all(signal.SIGTERM), **job)
    assert f"going on from the state in {trainer}/checkpoint-{step}" in log
    step = stopped_after(log)
    assert step < 12

    log = interrupt_training("step 12: evaluating", after(0.2, lose_node), **job)
    assert "step 12: train loss" not in log
    assert last_state(trainer).name == "checkpoint-11"

    best = lose_node_while_writing(trainer, "best-*", "tokenizer_config.json")
    interrupt_training("step 12: evaluating", best, **job)
    assert [path.name for path in trainer.glob("best-*")] == ["best-12"]
    assert last_state(trainer).name == "checkpoint-11"

    state = lose_node_while_writing(trainer, "checkpoint-*", "complete.json")
    interrupt_training("step 14: state kept", state, **job)
    assert len(list(trainer.glob("checkpoint-*"))) == 2

    log = interrupt_training("step 18: state kept", signal_all(signal.SIGUSR1), **job)
    step = stopped_after(log)
    with pytest.raises(InputError, match=f"by its time limit after step {step + 1} of 24"):
        train(**job, runtime=0.0001)
    train(**job)
    assert_same(target, expected)


def test_two_ranks_stop_at_one_step_and_survive_the_loss_of_one(
    world: Path, tmp_path: Path
) -> None:
    two = {"cpu_ranks": 2, "micro_batch_size": 2, "threads": 2}
    target = tmp_path / "seed-1"
    job = {"world": world, "target": target, "settings": world / "run.json"} | two | ALWAYS

    log = interrupt_training(
        "step 2: state kept", lambda process: ranks_of(process)[1].kill(), **job
    )
    assert "killed by signal 9" in log
    with pytest.raises(InputError, match="by 2 ranks, but this job has 1"):
        train(world, target)
    log = interrupt_training("step 7: state kept", to_second_rank(signal.SIGTERM), **job)
    stopped_after(log)
    train(**job)
    assert_same(target, train(world, tmp_path / "uninterrupted", **two))


def test_the_full_size_configuration_goes_on_to_the_same_bytes(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bf16, two ranks, parameters partitioned, activations recomputed."""
    worker = tmp_path / "train_model.py"
    worker.write_text(_RANK_OF_A_LARGE_MODEL.format(worker=str(launch.WORKER)))
    monkeypatch.setattr(launch, "WORKER", worker)
    job: dict[str, Any] = {
        "settings": write_settings(tmp_path / "run.json", dtype="bfloat16"),
        **{"cpu_ranks": 2, "micro_batch_size": 2, "gradient_checkpointing": 1},
    }
    expected = train(world, tmp_path / "uninterrupted", **job)
    weights = load_file(expected / "last" / "model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.bfloat16}
    stop_by_limit(world, tmp_path / "seed-1", **job)
    assert_same(train(world, tmp_path / "seed-1", **job), expected)


def test_a_state_of_other_settings_is_set_aside(
    world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    target = tmp_path / "seed-1"

    def keep_a_state(*_: object) -> None:
        state = target / "trainer" / "checkpoint-1"
        state.mkdir()
        complete_state(state, {"history": []})
        raise KeyboardInterrupt

    monkeypatch.setattr("reset_tuning.training.launch.run_training", keep_a_state)
    for rate in (3e-3, 2e-3):
        settings = write_settings(tmp_path / "run.json", learning_rate=rate)
        with pytest.raises(KeyboardInterrupt):
            train(world, target, settings)
    assert "another training (settings.training.learning_rate differs)" in caplog.text
    (stale,) = stale_directories(target / "trainer")
    assert last_state(stale) is not None
    assert last_state(target / "trainer") is not None


def test_provenance_names_the_code_of_every_job_that_trained(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is interrupted, the second is killed at its end, the third puts files in place."""
    trainer = tmp_path / "seed-1" / "trainer"

    def interrupted(*_: object) -> None:
        (trainer / "checkpoint-5").mkdir()
        complete_state(trainer / "checkpoint-5", {"history": []})
        raise KeyboardInterrupt

    def killed_at_its_end(*_: object) -> None:
        for file in ("history.csv", *(f"{c}/{f}" for c in ("best", "last") for f in FILES)):
            (trainer / file).parent.mkdir(exist_ok=True)
            (trainer / file).touch()
        complete_training(trainer, {"steps": 12})
        raise KeyboardInterrupt

    jobs = {"first": interrupted, "second": killed_at_its_end, "third": None}
    for commit, run_training in jobs.items():
        monkeypatch.setattr(provenance, "git_commit", lambda _, commit=commit: commit)
        monkeypatch.setattr("reset_tuning.training.launch.run_training", run_training)
        with suppress(KeyboardInterrupt):
            train(world, trainer.parent)
    record = json.loads((trainer.parent / "provenance.json").read_text())
    started = [(start["git_commit"], start["from_step"]) for start in record["starts"]]
    assert started == [("first", 0), ("second", 5)]
    assert "git_commit" not in record


def test_a_finished_training_is_only_put_in_place(
    world: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "seed-1"

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(launch_training, "publish", killed)
        train(world, target)
    monkeypatch.setattr("reset_tuning.training.launch.run_training", killed)
    train(world, target)
    assert_same(target, trained)


def test_without_deepspeed_and_packed_the_losses_are_alike(
    world: Path, trained: Path, tmp_path: Path
) -> None:
    settings = write_settings(tmp_path / "run.json", deepspeed=None, packing=True)
    target = tmp_path / "seed-1"
    stop_by_limit(world, target, settings)
    packed = read_table(train(world, target, settings) / "history.csv", "history")
    padded = read_table(trained / "history.csv", "history")
    assert packed["eval_loss"].tolist() == pytest.approx(padded["eval_loss"].tolist(), rel=1e-4)
    assert packed["tokens"].tolist() == padded["tokens"].tolist()


def test_no_rank_outlived_its_training(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Torchrun would orphan its ranks by a signal that it does not hand on."""
    here = str(tmp_path_factory.getbasetemp())  # other processes of the tests have ranks too
    processes = psutil.process_iter(["ppid", "cmdline"])
    orphans = [str(one.info["cmdline"]) for one in processes if one.info["ppid"] == 1]
    assert not [line for line in orphans if "train_model.py" in line and here in line]
