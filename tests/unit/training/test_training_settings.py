"""Settings of a run and the arithmetic of its batches."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_world import TRAINING, write_settings

from reset_tuning.errors import InputError
from reset_tuning.training.settings import (
    Launch,
    TrainingJob,
    TrainingSettings,
    batch_geometry,
    job_options,
    parse_job,
    read_settings,
)


def settings_of(global_batch: int) -> TrainingSettings:
    return TrainingSettings(**TRAINING | {"global_batch_size": global_batch})


@given(st.integers(1, 512), st.integers(1, 64), st.integers(1, 16))
def test_geometry_spreads_exactly_the_global_batch(
    global_batch: int, micro: int, ranks: int
) -> None:
    try:
        geometry = batch_geometry(settings_of(global_batch), micro, ranks)
    except InputError:
        share = global_batch / ranks
        assert share != int(share) or (share > micro and share % micro)
    else:
        spread = geometry.ranks * geometry.micro_batch_size * geometry.accumulation_steps
        assert spread == global_batch
        assert geometry.micro_batch_size <= micro


@pytest.mark.parametrize(
    ("global_batch", "ranks", "micro_batch", "accumulation"),
    [(32, 8, 4, 1), (16, 8, 2, 1), (32, 1, 4, 8), (32, 4, 4, 2)],
)
def test_geometry_of_the_paper_on_several_machines(
    global_batch: int, ranks: int, micro_batch: int, accumulation: int
) -> None:
    geometry = batch_geometry(settings_of(global_batch), 4, ranks)
    assert (geometry.micro_batch_size, geometry.accumulation_steps) == (micro_batch, accumulation)


def test_settings_are_read_with_their_types(tmp_path: Path) -> None:
    settings = read_settings(write_settings(tmp_path / "run.json", epochs=2))
    assert settings.training.epochs == 2.0
    assert isinstance(settings.training.epochs, float)
    assert settings.data == {"mixture": "toy"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"learning_rate": "fast"}, "learning_rate must be of type float"),
        ({"learning_rate": 0}, "learning_rate must be a positive"),
        ({"weight_decay": -0.1}, "weight_decay must not be negative"),
        ({"warmup_ratio": 1.0}, "warmup_ratio"),
        ({"schedule": "sinus"}, "cosine, linear, constant"),
        ({"evaluation_steps": True}, "evaluation_steps must be of type int"),
        ({"evaluation_examples": "all"}, "evaluation_examples must be of type int"),
        ({"evaluation_examples": 0}, "evaluation_examples must be at least 1"),
        ({"evaluation_steps": 0}, "evaluation_steps must be at least 1"),
        ({"learning_rat": 1e-3}, "unknown or missing keys: learning_rat"),
    ],
)
def test_bad_settings_are_one_sentence(tmp_path: Path, change: dict, words: str) -> None:
    path = write_settings(tmp_path / "run.json", **change)
    with pytest.raises(InputError, match=words) as error:
        read_settings(path)
    assert str(path) in str(error.value)


def test_bfloat16_needs_something_that_keeps_float32_weights(tmp_path: Path) -> None:
    """At the paper's rate of 2e-6 most updates are lost when a weight has eight bits."""
    path = tmp_path / "run.json"
    with pytest.raises(InputError, match="dtype bfloat16 needs training.deepspeed"):
        read_settings(write_settings(path, dtype="bfloat16", deepspeed=None))
    for changes in ({}, {"deepspeed": None, "adapter": {"rank": 4, "alpha": 8}}):
        read_settings(write_settings(path, dtype="bfloat16", **changes))


def test_a_missing_key_and_a_broken_file_are_named(tmp_path: Path) -> None:
    path = write_settings(tmp_path / "run.json")
    settings = json.loads(path.read_text())
    del settings["dtype"]
    path.write_text(json.dumps(settings))
    with pytest.raises(InputError, match="dtype"):
        read_settings(path)
    path.write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        read_settings(path)


def test_a_job_survives_its_options() -> None:
    launch = Launch(4, 8, gradient_checkpointing=True, threads=64, resume_minutes=0.5)
    job = TrainingJob("runs/toy.json", "t", "v", "org/base", "toy", 1, "out dir", launch)
    options = job_options(job)
    assert options[:2] == ["--config", "runs/toy.json"]
    assert parse_job(options) == job


def test_a_launch_is_read_from_resources_where_no_number_is_a_fraction() -> None:
    resources = {"micro_batch_size": 4, "evaluation_batch_size": 8, "gradient_checkpointing": 1}
    launch = Launch.of(resources | {"resume_minutes": "0.5", "mem_mb": 9})
    assert launch == Launch(4, 8, gradient_checkpointing=True, resume_minutes=0.5)
    assert Launch.of(resources | {"resume_minutes": 5}).resume_minutes == 5.0
    assert Launch.of(resources).resume_minutes == Launch.resume_minutes


def test_an_option_with_a_spelling_error_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    job = TrainingJob("s", "t", "v", "b", "toy", 1, "o", Launch(4, 8, gradient_checkpointing=False))
    with pytest.raises(SystemExit):
        parse_job([*job_options(job), "--thread", "3"])
    assert "unrecognized arguments: --thread 3" in capsys.readouterr().err
