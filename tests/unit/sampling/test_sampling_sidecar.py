"""What names an output and a model in the sidecar."""

import shutil
from pathlib import Path

from reset_tuning.sampling.backend import Setting
from reset_tuning.sampling.sidecar import model_identity, output_key, text_digest


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
    assert output_key("Name a colour", Setting(0, 0, 1), 480) == output_key(
        "Name a colour", Setting(0.0, 0, 1), 480
    )


def test_a_prompt_is_known_by_all_of_its_text():
    assert len({text_digest(text) for text in ("", "a", "a ", "a\n")}) == 4


def test_another_backend_is_another_model():
    names = {
        model_identity([], "a/b", "bfloat16", "sdpa", backend)
        for backend in ({"kind": "transformers"}, {"kind": "vllm"}, {"kind": "endpoint"})
    }
    assert len(names) == 3


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
