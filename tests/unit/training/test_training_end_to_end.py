"""Whole trainings through the script: torchrun, DeepSpeed ZeRO-3, gloo, no GPU."""

import json
import math
import struct
from pathlib import Path

import pytest
import torch
from runs import train
from safetensors.torch import load_file
from training_world import evaluation_loss, write_settings
from transformers import AutoModelForCausalLM, AutoTokenizer

import launch_training
from reset_tuning.files import sha256_of
from reset_tuning.tables import read_table
from reset_tuning.training.checkpoints import MODEL_FILES

pytestmark = pytest.mark.slow

MODEL = MODEL_FILES["model"]


def test_history_has_every_evaluation_and_the_last_step(trained: Path) -> None:
    history = read_table(trained / "history.csv", "history")
    assert history["step"].tolist() == [5, 10, 12]  # 90 rows in batches of 8
    assert history["eval_loss"].is_monotonic_decreasing
    assert history["perplexity"].tolist() == pytest.approx(
        [math.exp(loss) for loss in history["eval_loss"]], rel=1e-4
    )
    assert history["best"].all()
    assert history["learning_rate"].iloc[-1] > 0


def test_the_learning_rate_warms_up_and_falls_as_a_cosine(trained: Path) -> None:
    history = read_table(trained / "history.csv", "history")
    warm_up, steps, peak = 2, 12, 3e-3  # a tenth of twelve steps, rounded up
    expected = [
        peak / 2 * (1 + math.cos(math.pi * (done - warm_up) / (steps - warm_up)))
        for done in history["step"] - 1
    ]
    assert history["learning_rate"].tolist() == pytest.approx(expected, rel=1e-5)


def test_checkpoints_are_complete_loadable_and_readable(world: Path, trained: Path) -> None:
    assert {path.name for path in trained.iterdir()} - {".claims"} == {
        "best",
        "last",
        "history.csv",
        "provenance.json",
    }
    for file in MODEL_FILES.values():
        assert (trained / "best" / file).stat().st_mode & 0o044 == 0o044
        assert sha256_of(trained / "best" / file) == sha256_of(trained / "last" / file)
    model = AutoModelForCausalLM.from_pretrained(trained / "best")
    assert model.config.use_cache
    start = AutoModelForCausalLM.from_pretrained(world / "base").state_dict()
    assert any(not torch.equal(value, start[name]) for name, value in model.state_dict().items())
    tokenizer = AutoTokenizer.from_pretrained(trained / "best")
    assert tokenizer("w1 w2")["input_ids"] == [5, 6]


def test_saved_weights_have_the_loss_of_the_history(world: Path, trained: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(trained / "best").eval()
    loss = evaluation_loss(model, trained / "best", world / "validation.parquet")
    history = read_table(trained / "history.csv", "history")
    assert loss == pytest.approx(history["eval_loss"].min(), rel=1e-4)


def test_provenance_tells_inputs_and_cost(world: Path, trained: Path) -> None:
    record = json.loads((trained / "provenance.json").read_text())
    assert record["inputs"][str(world / "train.parquet")] == sha256_of(world / "train.parquet")
    assert record["training"]["geometry"] == {
        "ranks": 1,
        "micro_batch_size": 8,
        "accumulation_steps": 1,
    }
    assert record["training"]["steps"] == 12
    assert record["training"]["train_tokens"] > 90 * 7
    (start,) = record["starts"]
    assert start["packages"]["deepspeed"]
    assert (start["from_step"], start["nodes"]) == (0, 1)


def test_ranks_accumulation_and_partitioning_do_not_change_what_is_learnt(
    world: Path, trained: Path, tmp_path: Path
) -> None:
    """Two ranks, two micro-batches each, every parameter partitioned, activations recomputed.

    The last step has two rows, so that the second rank has none. And the same weights have the
    same perplexity there and row by row in one process.
    """
    zero = json.loads((Path(launch_training.__file__).parents[1] / ZERO3).read_text())
    zero["zero_optimization"] |= {
        "stage3_param_persistence_threshold": 0,
        "reduce_bucket_size": 2000,
        "stage3_prefetch_bucket_size": 2000,
        "memory_efficient_linear": True,
        "leaf_module": {"classes": []},
    }
    (tmp_path / "zero.json").write_text(json.dumps(zero))
    changes = {"micro_batch_size": 2, "evaluation_batch_size": 3, "gradient_checkpointing": 1}
    settings = write_settings(tmp_path / "run.json", deepspeed=str(tmp_path / "zero.json"))
    target = train(world, tmp_path / "two", settings, cpu_ranks=2, **changes)
    spread = read_table(target / "history.csv", "history")
    single = read_table(trained / "history.csv", "history")
    assert spread["tokens"].tolist() == single["tokens"].tolist()
    assert spread["eval_loss"].tolist() == pytest.approx(single["eval_loss"].tolist(), rel=1e-4)
    torch.testing.assert_close(
        load_file(target / "last" / MODEL), load_file(trained / "last" / MODEL), rtol=0, atol=1e-4
    )
    model = AutoModelForCausalLM.from_pretrained(target / "last").eval()
    loss = evaluation_loss(model, target / "last", world / "validation.parquet")
    assert spread["perplexity"].iloc[-1] == pytest.approx(math.exp(loss), rel=1e-5)


ZERO3 = "resources/deepspeed/zero3.json"


def test_the_best_step_need_not_be_the_last(world: Path, tmp_path: Path) -> None:
    """A rate that is far too high makes the loss rise again after the first steps."""
    settings = write_settings(
        tmp_path / "run.json", learning_rate=0.3, evaluation_steps=1, schedule="constant"
    )
    target = train(world, tmp_path / "high", settings)
    history = read_table(target / "history.csv", "history")
    assert history["eval_loss"].idxmin() < len(history) - 1
    best, last = (sha256_of(target / name / "model.safetensors") for name in ("best", "last"))
    assert best != last


def read_scalars(folder: Path) -> dict[str, dict[int, float]]:
    """Return the curves of TensorBoard's event files: values by tag and step."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    curves: dict[str, dict[int, float]] = {}
    for file in folder.glob("events.out.tfevents.*"):
        content, at = file.read_bytes(), 0
        while at < len(content):  # a record: length, its checksum, an event, its checksum
            (length,) = struct.unpack_from("<Q", content, at)
            event = event_pb2.Event.FromString(content[at + 12 : at + 12 + length])
            at += 12 + length + 4
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    curves.setdefault(value.tag, {})[event.step] = value.simple_value
    return curves


def test_tensorboard_gets_the_curves_of_the_history(
    world: Path, trained: Path, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboardX")
    target = train(world, tmp_path / "seed-1", report_to="tensorboard")
    curves = read_scalars(target / "tensorboard")
    history = read_table(trained / "history.csv", "history").set_index("step")
    for tag, column in (("eval/loss", "eval_loss"), ("eval/perplexity", "perplexity")):
        assert curves[tag] == pytest.approx(history[column].to_dict(), rel=1e-4)
    assert curves["train/learning_rate"].keys() == {10}
    assert {"train/loss", "train/grad_norm", "train/tokens_per_second"} <= curves.keys()
    assert sha256_of(target / "last" / MODEL) == sha256_of(trained / "last" / MODEL)
