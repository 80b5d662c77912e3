"""What goes wrong inside a training is one sentence, and what was complete stays."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from runs import ALWAYS, assert_same, train
from safetensors.torch import load_file, save_file
from training_world import mixture_rows, word_tokenizer, write_settings

from reset_tuning.errors import InputError
from reset_tuning.tables import read_table, write_table
from reset_tuning.training import launch
from reset_tuning.training.settings import read_settings
from reset_tuning.training.state import last_state
from reset_tuning.training.worker import load_config, load_model

pytestmark = pytest.mark.slow

# A rank with an accident in its third forward pass in training.
_UNLUCKY_RANK = """
import os, runpy, sys
sys.path.insert(0, os.path.dirname({worker!r}))
import torch
from transformers import LlamaForCausalLM
forward, passes = LlamaForCausalLM.forward, []
def unlucky(self, *args, **kwargs):
    passes.append(self.training)
    outputs = forward(self, *args, **kwargs)
    if self.training and sum(passes) == 3:
        {accident}
    return outputs
LlamaForCausalLM.forward = unlucky
runpy.run_path({worker!r}, run_name="__main__")
"""
# As on a GPU that is too small.
_NO_MEMORY = 'raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")'
_INFINITE_GRADIENT = "outputs.logits.register_hook(lambda gradient: gradient * float('inf'))"


def copy_of(world: Path, folder: Path) -> Path:
    return Path(shutil.copytree(world, folder / "world"))


def test_the_command_is_the_first_line_of_the_log_also_when_a_check_fails(
    world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with pytest.raises(InputError, match="holds no model"):
        train(world, tmp_path / "seed-1", base_path=str(tmp_path))
    first, *_ = caplog.messages
    assert first.startswith("env OMP_NUM_THREADS=1 ")
    assert "-m torch.distributed.run --standalone --nproc-per-node=1" in first


def test_neither_a_gpu_nor_cpu_ranks_is_one_sentence(world: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no GPU is seen and launch.cpu_ranks is 0: give"):
        train(world, tmp_path / "seed-1", cpu_ranks=0)


@pytest.fixture
def accident(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return what lets every rank run some code in its third forward pass."""

    def prepare(code: str) -> None:
        worker = tmp_path / "train_model.py"
        worker.write_text(_UNLUCKY_RANK.format(worker=str(launch.WORKER), accident=code))
        monkeypatch.setattr(launch, "WORKER", worker)

    return prepare


def test_out_of_memory_names_the_setting_to_lower(
    world: Path,
    tmp_path: Path,
    accident: Callable[[str], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    accident(_NO_MEMORY)
    with pytest.raises(InputError, match="lower launch.micro_batch_size") as error:
        train(world, tmp_path / "seed-1", micro_batch_size=4, **ALWAYS)
    assert str(error.value).startswith("out of memory with micro-batches of 4 rows")
    assert "step 1: state kept" in caplog.text
    assert last_state(tmp_path / "seed-1" / "trainer").name == "checkpoint-1"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 900 kB: one state of the tiny model fits, two do not."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=980k", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small file system takes root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_leaves_the_last_state_and_more_room_goes_on(
    world: Path, trained: Path, small_disk: Path
) -> None:
    target = small_disk / "seed-1"
    with pytest.raises(InputError, match="no space is left .* make room and start again"):
        train(world, target, **ALWAYS)
    state = last_state(target / "trainer")
    assert state is not None
    subprocess.run(["mount", "-o", "remount,size=9m", str(small_disk)], check=True)
    train(world, target, **ALWAYS)
    assert_same(target, trained)


def test_a_loss_that_is_not_a_number_names_step_rate_and_examples(
    world: Path, tmp_path: Path
) -> None:
    broken = copy_of(world, tmp_path)
    weights = broken / "base" / "model.safetensors"
    tensors = load_file(weights)
    tensors["model.embed_tokens.weight"][7, 0] = float("nan")
    save_file(tensors, weights, metadata={"format": "pt"})
    known = set(read_table(world / "train.parquet", "mixture")["example_id"])
    sentence = r"the loss of step 1 is not a number, with a learning rate of \d"
    with pytest.raises(InputError, match=sentence) as error:
        train(broken, tmp_path / "seed-1")
    named = str(error.value).split("examples ")[1].split(";")[0].split(", ")
    assert len(named) == 8
    assert set(named) <= known


@pytest.mark.parametrize("deepspeed", ["resources/deepspeed/zero3.json", None])
def test_a_gradient_that_is_not_finite_ends_the_training_before_a_state_is_kept(
    world: Path, tmp_path: Path, accident: Callable[[str], None], deepspeed: str | None
) -> None:
    """DeepSpeed skips such a step and goes on; without it the weights would be lost."""
    settings = write_settings(tmp_path / "run.json", deepspeed=deepspeed)
    accident(_INFINITE_GRADIENT)
    sentence = r"the gradient of step 3 is not a number, with a learning rate of \d.* examples 1-"
    with pytest.raises(InputError, match=sentence):
        train(world, tmp_path / "seed-1", settings, **ALWAYS)
    assert last_state(tmp_path / "seed-1" / "trainer").name == "checkpoint-2"


def of_another_model(world: Path, folder: Path, **change: int) -> Path:
    """Return a copy of the world whose base has another config.json than its weights have."""
    mixed = copy_of(world, folder)
    config = mixed / "base" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    return mixed


def test_a_base_with_the_config_of_another_model_is_refused(world: Path, tmp_path: Path) -> None:
    mixed = of_another_model(world, tmp_path, hidden_size=48)
    with pytest.raises(InputError, match="weights of the base .* do not fit its config.json"):
        train(mixed, tmp_path / "seed-1")
    assert not [path for path in (tmp_path / "seed-1").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_hidden_layers": 3}, "9 parameters are missing, model.layers.2"),
        ({"hidden_size": 48}, "do not fit"),
    ],
)
def test_weights_that_lack_parameters_are_not_filled_up(
    world: Path, tmp_path: Path, change: dict[str, int], words: str
) -> None:
    base = of_another_model(world, tmp_path, **change) / "base"
    with pytest.raises(InputError, match=words):
        load_model(str(base), read_settings(world / "run.json"))


def test_weights_that_the_config_knows_nothing_of_are_not_left_out(
    world: Path, tmp_path: Path
) -> None:
    base = of_another_model(world, tmp_path, num_hidden_layers=1) / "base"
    sentence = "9 parameters are left over, model.layers.1.input_layernorm.weight for one"
    with pytest.raises(InputError, match=sentence):
        load_model(str(base), read_settings(world / "run.json"))


def test_buffers_of_old_checkpoints_are_no_weights_left_over(world: Path, tmp_path: Path) -> None:
    weights = copy_of(world, tmp_path) / "base" / "model.safetensors"
    buffers = {f"model.layers.{n}.self_attn.rotary_emb.inv_freq": torch.ones(8) for n in range(2)}
    save_file(load_file(weights) | buffers, weights, metadata={"format": "pt"})
    load_model(str(weights.parent), read_settings(world / "run.json"))


def test_weights_that_were_cut_short_are_one_sentence(world: Path, tmp_path: Path) -> None:
    """Also where no check came before, as with a command that was pasted."""
    weights = copy_of(world, tmp_path) / "base" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(InputError, match="weights of the base .* cannot be loaded: .*header"):
        load_model(str(weights.parent), read_settings(world / "run.json"))


def test_a_base_with_too_few_positions_is_refused_before_it_is_trained(
    world: Path, tmp_path: Path
) -> None:
    """Its checkpoints could not be generated from: prompts would be too long for them."""
    with pytest.raises(InputError, match="64 positions, fewer than prompt.max_length 65: lower"):
        load_config(str(world / "base"), word_tokenizer(), max_length=65)
    load_config(str(world / "base"), word_tokenizer(), max_length=64)


def test_rows_of_one_incomplete_batch_and_rows_that_are_all_prompt(
    world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Seven rows, two of them without a response: one step with five, and the log says so."""
    caplog.set_level("INFO")
    small = copy_of(world, tmp_path)
    frame = mixture_rows(7, seed=1)
    frame.loc[[0, 4], "response"] = ""
    write_table(frame, small / "train.parquet", "mixture")
    history = read_table(train(small, tmp_path / "seed-1") / "history.csv", "history")
    assert "2 rows are all prompt and are left out" in caplog.text
    assert "only 5 rows to train on, fewer than one global batch of 8" in caplog.text
    kept = frame[frame["response"] != ""]
    tokens = kept["n_prompt_tokens"] + kept["n_response_tokens"] + 2
    assert history["tokens"].tolist() == [tokens.sum()]
    assert history["step"].tolist() == [1]
