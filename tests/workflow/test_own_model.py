"""A model of one's own: a folder as a hub holds it, with weights in parts or of the old format."""

from pathlib import Path

import pytest

from helpers import in_parts, run_snakemake

TRAINING = "results/mini/checkpoints/llama-cd/seed-1/best/model.safetensors"
BASE = Path("resources/mini/base")
SCORES = "results/mini/scores/generations/vicuna-7b/seed-0/start/summac-zs.parquet"


def miniature(tree: Path, *arguments: str, folder: Path):
    """Run snakemake on the miniature whose first model stands in another folder."""
    overlay = tree / "own.yaml"
    overlay.write_text(f"models: {{llama-7b: {{path: {folder}}}}}\n")
    profile = ("--profile", "profiles/mini", "--configfile", "config/mini.yaml", str(overlay))
    return run_snakemake(tree, *arguments, *profile)


def test_weights_in_parts_are_inputs_and_are_counted(workflow_copy: Path) -> None:
    own = in_parts(BASE, workflow_copy / "own")
    (own / "tokenizer.json").rename(own / "tokenizer.model")  # only named here, never read
    dry = miniature(workflow_copy, "-n", TRAINING, folder=own)
    assert dry.returncode == 0, dry.stdout
    train = dry.stdout.split("rule train:")[1].split("output:")[0]
    mixture = dry.stdout.split("rule build_mixture:")[1].split("output:")[0]
    for name in ("config.json", "tokenizer.model", "tokenizer_config.json"):
        assert f"{own / name}" in train and f"{own / name}" in mixture
    for name in (*(f"model-0000{part}-of-00002.safetensors" for part in (1, 2)), "index.json"):
        assert name in train and name not in mixture
    for rule in ("plan", "preflight"):
        done = miniature(workflow_copy, rule, folder=own)
        assert done.returncode == 0, done.stdout[-3000:]


def assert_refused(copy: Path, own: Path, sentence: str) -> None:
    """Check that a dry run and preflight refuse a model's folder by one sentence."""
    dry = miniature(copy, "-n", TRAINING, folder=own)
    assert dry.returncode != 0 and "most recent call" not in dry.stdout
    assert f"models.llama-7b.path: {sentence}" in dry.stdout
    verdicts = miniature(copy, "preflight", folder=own)
    assert verdicts.returncode != 0 and "Traceback" not in verdicts.stdout
    assert f" model llama-7b      FAILED   {sentence}" in verdicts.stdout
    assert " model vicuna-7b     ok " in verdicts.stdout


@pytest.mark.parametrize("found", ["is no folder", "holds no model"])
def test_a_folder_without_a_model_is_one_sentence(workflow_copy: Path, found: str) -> None:
    own = workflow_copy / "own"
    if found == "holds no model":
        own.mkdir()
        (own / "config.json").write_text("{}")
    assert_refused(workflow_copy, own, f"{own} {found}")


def test_a_broken_file_of_weights_is_one_sentence(workflow_copy: Path) -> None:
    own = in_parts(BASE, workflow_copy / "own")
    weights = own / "model-00002-of-00002.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    assert_refused(workflow_copy, own, f"{weights} is broken")
    planned = miniature(workflow_copy, "plan", folder=own)
    assert planned.returncode != 0 and "most recent call" not in planned.stdout
    assert f"models.llama-7b.path: {weights} is broken" in planned.stdout


def test_a_mistyped_folder_of_a_metric_is_one_sentence(workflow_copy: Path) -> None:
    overlay = workflow_copy / "own.yaml"
    overlay.write_text("metrics: {summac-zs: {model: resources/mini/nope}}\n")
    profile = ("--profile", "profiles/mini", "--configfile", "config/mini.yaml", str(overlay))
    dry = run_snakemake(workflow_copy, "-n", SCORES, *profile)
    assert dry.returncode != 0 and "most recent call" not in dry.stdout
    assert "metrics.summac-zs.model: resources/mini/nope is no folder" in dry.stdout
    verdicts = run_snakemake(workflow_copy, "preflight", *profile)
    assert verdicts.returncode != 0 and "Traceback" not in verdicts.stdout
    assert "resources/mini/nope is no folder" in verdicts.stdout
