"""The conda definitions, the containers and the lock say the same."""

import re
from importlib.metadata import version

import pytest
import yaml

from environments import ENVIRONMENTS, LOCK, canonical, packages_of, pins_of, rule_environments
from helpers import ROOT

SUMMAC = re.search(r"summac==[\d.]+", (ROOT / "Makefile").read_text()).group()


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_pins_are_those_of_the_lock_and_of_what_the_tests_run_on(name: str) -> None:
    pins = pins_of(name)
    assert pins
    for package, pin in pins.items():
        assert LOCK[package] == pin, package
        assert version(package).split("+")[0] == pin, package
    assert "snakemake" in pins, "a script runs in its environment and imports snakemake there"


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_environments_take_one_python_and_no_defaults_channel(name: str) -> None:
    content = yaml.safe_load((ROOT / "envs" / f"{name}.yaml").read_text())
    assert content["channels"] == ["conda-forge", "nodefaults"]
    assert "python=3.11" in content["dependencies"]


def test_containers_install_the_lock_on_the_same_python() -> None:
    docker = (ROOT / "Dockerfile").read_text()
    apptainer = (ROOT / "envs" / "apptainer.def").read_text()
    assert "FROM python:3.11" in docker and "From: python:3.11" in apptainer
    assert "make .venv" in docker  # which installs requirements.lock and summac
    assert "--requirement /opt/requirements.lock" in apptainer
    assert SUMMAC in apptainer


def test_summac_is_added_where_it_is_needed() -> None:
    added = (ROOT / "envs" / "judge.post-deploy.sh").read_text()
    assert f"--no-deps {SUMMAC}" in added


def test_a_tokenizer_without_tokenizer_json_can_be_read_wherever_one_is() -> None:
    """Transformers makes a fast one of tokenizer.model, by packages that it does not require."""
    for rule in ("build_mixture", "tabulate_data", "show_prompts", "select_samples", "train"):
        _, environment = rule_environments()[rule]
        assert {"sentencepiece", "protobuf"} <= packages_of(environment), rule


def test_raw_parquet_can_be_read_where_splits_are_prepared() -> None:
    """The miniature has none, so no run of it shows what reading it imports."""
    _, environment = rule_environments()["prepare_split"]
    assert "datasets" in packages_of(environment)


def test_every_rule_with_a_script_names_an_environment() -> None:
    used = rule_environments()
    assert used["train"] == ("launch_training.py", "train")
    # It asks torch for the GPUs, and what it says of packages is about trainings.
    assert used["preflight"] == ("check_machine.py", "train")
    assert used["score_pool_entailment"] == ("score_outputs.py", "judge")
    assert {environment for _, environment in used.values()} == set(ENVIRONMENTS)
    assert all(canonical(name) == name for name in LOCK)
