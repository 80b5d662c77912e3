"""What names an output and a model in the sidecar."""

import shutil
from pathlib import Path

import pytest
from huggingface_hub import constants

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


@pytest.mark.parametrize(
    "name",
    [
        "config.json",  # its RoPE base or its EOS moves every output
        "generation_config.json",  # other end tokens
        "tokenizer_config.json",
        "special_tokens_map.json",
        "tokenizer.model",
    ],
)
def test_changed_configuration_never_returns_old_outputs(
    name: str, tmp_path: Path, checkpoint: Path
):
    copy = Path(shutil.copytree(checkpoint, tmp_path / "best"))
    declared = sorted(copy.glob("*.safetensors"))  # what a rule names; the folder may hold more
    before = model_identity(declared, str(copy), "float32", "sdpa")
    (copy / name).write_text('{"rope_theta": 500.0}')
    assert model_identity(declared, str(copy), "float32", "sdpa") != before


def test_what_no_model_reads_does_not_count(tmp_path: Path, checkpoint: Path):
    copy = Path(shutil.copytree(checkpoint, tmp_path / "best"))
    before = model_identity([], str(copy), "float32", "sdpa")
    (copy / "README.md").write_text("a note")
    (copy / ".cache").mkdir()
    assert model_identity([], str(copy), "float32", "sdpa") == before


def test_another_commit_of_a_hub_model_is_another_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    names = {model_identity([], "a/b", "bfloat16", "sdpa")}  # not fetched yet
    ref = tmp_path / "models--a--b" / "refs" / "main"
    ref.parent.mkdir(parents=True)
    for commit in ("1f3a", "9c0e"):
        ref.write_text(commit)
        names.add(model_identity([], "a/b", "bfloat16", "sdpa"))
    assert len(names) == 3
