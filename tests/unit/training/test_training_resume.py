"""An interrupted training ends with the bytes of one that never was."""

import logging
import shutil
import signal
from pathlib import Path

import psutil
import pytest
from runs import after, lose_node, ranks_of, train, train_until
from safetensors.torch import load_file, save_file
from training_world import mixture_rows, write_settings

import launch_training
from reset_tuning.errors import InputError
from reset_tuning.files import sha256_of
from reset_tuning.tables import read_table, write_table
from reset_tuning.training.state import last_state

pytestmark = pytest.mark.slow

ALWAYS = {"resume_minutes": 0}  # a state after every step


def assert_same(resumed: Path, uninterrupted: Path) -> None:
    for file in ("best/model.safetensors", "last/model.safetensors"):
        assert sha256_of(resumed / file) == sha256_of(uninterrupted / file)
    histories = [read_table(path / "history.csv", "history") for path in (resumed, uninterrupted)]
    first, second = (history.drop(columns="tokens_per_second") for history in histories)
    assert first.equals(second)
    assert not (resumed / "trainer").exists()


@pytest.fixture(scope="module")
def uninterrupted(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(world, tmp_path_factory.mktemp("one") / "seed-1")


def stop_by_limit(world: Path, target: Path, settings: Path | None = None) -> Path:
    """Let a training meet its time limit after its first step; return the state it leaves."""
    with pytest.raises(InputError, match="stopped by its time limit after step 1 of 12"):
        train(world, target, settings, runtime=0.0001)
    assert not (target / "history.csv").exists()
    state = last_state(target / "trainer")
    assert state is not None
    assert state.name == "checkpoint-1"
    return state


def test_a_time_limit_and_a_half_written_state(
    world: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    target = tmp_path / "seed-1"
    state = stop_by_limit(world, target)
    half = shutil.copytree(state, state.with_name("checkpoint-7"))
    (half / "complete.json").unlink()
    train(world, target)
    assert_same(target, uninterrupted)


def test_a_signal_in_the_second_epoch(world: Path, tmp_path: Path) -> None:
    """The order of an epoch's rows must not depend on how many epochs this process has seen."""
    settings = write_settings(tmp_path / "run.json", epochs=2, group_by_length=True)
    target = tmp_path / "seed-1"
    status, log = train_until(
        world,
        target,
        "step 14: state kept",
        lambda process: process.send_signal(signal.SIGUSR1),
        settings,
        **ALWAYS,
    )
    assert status == 1
    assert "training was stopped by SIGUSR1 after step" in log
    assert len(list((target / "trainer").glob("checkpoint-*"))) == 1
    train(world, target, settings)
    assert_same(target, train(world, tmp_path / "uninterrupted", settings))


def test_a_lost_node_during_an_evaluation(world: Path, tmp_path: Path) -> None:
    """Evaluations of thousands of rows one by one take long enough to be hit."""
    large = Path(shutil.copytree(world, tmp_path / "world"))
    write_table(mixture_rows(1500, seed=2), large / "validation.parquet", "mixture")
    slow = ALWAYS | {"evaluation_batch_size": 1}
    target = tmp_path / "seed-1"
    status, log = train_until(large, target, "step 4: state kept", after(1.5, lose_node), **slow)
    assert status == -signal.SIGKILL
    assert "step 5:" not in log
    assert last_state(target / "trainer").name == "checkpoint-4"
    train(large, target, **slow)
    assert_same(target, train(large, tmp_path / "uninterrupted", **slow))


def test_one_of_two_ranks_is_killed(world: Path, tmp_path: Path) -> None:
    two = {"cpu_ranks": 2, "micro_batch_size": 2, "threads": 2}
    target = tmp_path / "seed-1"
    status, log = train_until(
        world,
        target,
        "step 7: state kept",
        lambda process: ranks_of(process)[1].kill(),
        **ALWAYS,
        **two,
    )
    assert status == 1
    assert "killed by signal 9" in log
    with pytest.raises(InputError, match="by 2 ranks, but this job has 1"):
        train(world, target)
    train(world, target, **two)
    assert_same(target, train(world, tmp_path / "uninterrupted", **two))


def test_a_state_of_other_settings_is_set_aside(
    world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = tmp_path / "seed-1"
    stop_by_limit(world, target)
    settings = write_settings(tmp_path / "run.json", learning_rate=2e-3)
    caplog.clear()
    with caplog.at_level(logging.INFO):
        stop_by_limit(world, target, settings)
    assert "another training (settings.training.learning_rate differs)" in caplog.text
    assert "going on" not in caplog.text
    assert last_state(target / "trainer.stale") is not None


def test_a_finished_training_is_only_put_in_place(
    world: Path, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "seed-1"

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(launch_training, "publish", killed)
        train(world, target)
    monkeypatch.setattr("reset_tuning.training.launch.run_training", killed)
    train(world, target)
    assert_same(target, uninterrupted)


def test_a_loss_that_is_not_a_number_names_step_rate_and_examples(
    world: Path, tmp_path: Path
) -> None:
    broken = Path(shutil.copytree(world, tmp_path / "world"))
    weights = broken / "base" / "model.safetensors"
    tensors = load_file(weights)
    tensors["model.embed_tokens.weight"][7, 0] = float("nan")
    save_file(tensors, weights, metadata={"format": "pt"})
    known = set(read_table(world / "train.parquet", "mixture")["example_id"])
    with pytest.raises(InputError, match=r"the loss of step 1 is not a number") as error:
        train(broken, tmp_path / "seed-1")
    named = str(error.value).split("examples ")[1].split(";")[0].split(", ")
    assert len(named) == 8
    assert set(named) <= known


def test_rows_that_are_all_prompt_do_not_shift_the_others(world: Path, tmp_path: Path) -> None:
    holed = Path(shutil.copytree(world, tmp_path / "world"))
    frame = mixture_rows(90, seed=1)
    frame.loc[[0, 40], "response"] = ""
    write_table(frame, holed / "train.parquet", "mixture")
    history = read_table(train(holed, tmp_path / "seed-1") / "history.csv", "history")
    kept = frame[frame["response"] != ""]
    tokens = kept["n_prompt_tokens"] + kept["n_response_tokens"] + 2
    assert history["tokens"].iloc[-1] == tokens.sum()


def test_without_deepspeed_and_packed_the_losses_are_alike(
    world: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    settings = write_settings(tmp_path / "run.json", deepspeed=None, packing=True)
    target = tmp_path / "seed-1"
    stop_by_limit(world, target, settings)
    packed = read_table(train(world, target, settings) / "history.csv", "history")
    padded = read_table(uninterrupted / "history.csv", "history")
    assert packed["eval_loss"].tolist() == pytest.approx(padded["eval_loss"].tolist(), rel=1e-4)
    assert packed["tokens"].tolist() == padded["tokens"].tolist()


def test_psutil_finds_no_rank_that_outlived_its_training() -> None:
    """Torchrun would orphan its ranks by a signal that it does not hand on."""
    orphans = [one for one in psutil.process_iter(["ppid", "cmdline"]) if one.info["ppid"] == 1]
    assert not [one for one in orphans if "train_model.py" in str(one.info["cmdline"])]
