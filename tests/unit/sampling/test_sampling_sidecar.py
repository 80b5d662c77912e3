"""The sidecar of known outputs."""

import shutil
from pathlib import Path

import pytest

from reset_tuning.sampling.backend import Completion, Setting
from reset_tuning.sampling.sidecar import Sidecar, model_identity, output_key

KEY = output_key("Name a colour", Setting(0.3, 0, 2**62 + 1), 480)
OUTPUT = Completion("bleu «red»\n2", 4, "stop")


def test_what_one_process_stores_another_finds(tmp_path: Path):
    with Sidecar(tmp_path, "model") as sidecar:
        assert sidecar.get(KEY) is None
        sidecar.add([(KEY, OUTPUT)])
        assert sidecar.get(KEY) == OUTPUT
        # Before the first has ended: each batch is on disk when it is stored.
        assert Sidecar(tmp_path, "model").get(KEY) == OUTPUT
    assert Sidecar(tmp_path, "another").get(KEY) is None


def test_everything_that_changes_an_output_is_part_of_its_key():
    setting = Setting(0.3, 0, 1)
    others = [
        output_key("Name a colour.", setting, 480),
        output_key("Name a colour", Setting(0.4, 0, 1), 480),
        output_key("Name a colour", Setting(0.3, 5, 1), 480),
        output_key("Name a colour", Setting(0.3, 0, 2), 480),
        output_key("Name a colour", setting, 100),
    ]
    assert len({output_key("Name a colour", setting, 480), *others}) == 6


def test_a_torn_line_is_skipped_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    other = output_key("Name an animal", Setting(0.0, 0, 0), 480)
    with Sidecar(tmp_path, "model") as sidecar:
        sidecar.add([(KEY, OUTPUT), (other, OUTPUT)])
    (file,) = (tmp_path / "model").iterdir()
    file.write_bytes(file.read_bytes()[:-20])
    resumed = Sidecar(tmp_path, "model")
    assert resumed.get(KEY) == OUTPUT
    assert resumed.get(other) is None
    assert "skipped 1 torn lines" in caplog.text


def test_two_writers_do_not_touch_each_others_file(tmp_path: Path):
    other = output_key("Name an animal", Setting(0.0, 0, 0), 480)
    with Sidecar(tmp_path, "model") as first, Sidecar(tmp_path, "model") as second:
        for _ in range(100):
            first.add([(KEY, OUTPUT)])
            second.add([(other, OUTPUT)])
    assert len(list((tmp_path / "model").iterdir())) == 2
    both = Sidecar(tmp_path, "model")
    assert both.get(KEY) == both.get(other) == OUTPUT


def test_a_job_with_nothing_to_store_leaves_no_file(tmp_path: Path):
    with Sidecar(tmp_path, "model"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_model_is_named_by_its_content(tmp_path: Path, checkpoint: Path):
    copy = Path(shutil.copytree(checkpoint, tmp_path / "last"))
    best = sorted(checkpoint.iterdir())
    name = model_identity(best, str(checkpoint), "float32", "sdpa")
    assert model_identity(sorted(copy.iterdir()), str(copy), "float32", "sdpa") == name
    assert model_identity([], str(copy), "float32", "sdpa") == name
    assert model_identity(best, str(checkpoint), "bfloat16", "sdpa") != name
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert model_identity(sorted(copy.iterdir()), str(copy), "float32", "sdpa") != name


def test_a_hub_model_is_named_by_its_id():
    names = {
        model_identity([], path, "bfloat16", "sdpa")
        for path in ("lmsys/vicuna-7b-v1.3", "huggyllama/llama-7b")
    }
    assert len(names) == 2
