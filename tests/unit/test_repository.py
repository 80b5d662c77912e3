"""Promises of the repository that a reader can check by eye, checked."""

import ast
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from helpers import ROOT
from reset_tuning.planning.jobs import LARGEST_COMPARED, RERUN_TRIGGERS

LOCK = dict(
    line.split("==")
    for line in (ROOT / "requirements.lock").read_text().splitlines()
    if line and not line.startswith("#")
)
LIBRARY = ROOT / "scripts" / "reset_tuning"
LIGHT_MODULES = (
    "reset_tuning.config",
    "reset_tuning.experiment",
    "reset_tuning.tables",
    "reset_tuning.stats.systems",
    "reset_tuning.figures.tradeoff",
    "reset_tuning.scoring.lexical",
    "reset_tuning.data.sources.local",
)
HEAVY = {"torch", "transformers", "deepspeed", "openai", "summac"}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported_names(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("path", sorted((ROOT / "envs").glob("*.yaml")), ids=lambda path: path.name)
def test_environment_pins_equal_the_lock(path: Path) -> None:
    locked = {canonical(name): pin for name, pin in LOCK.items()}
    pip = yaml.safe_load(path.read_text())["dependencies"][-1]["pip"]
    for requirement in pip:
        name, pin = requirement.split("==")
        if name != "vllm":  # not in the lock: it brings a torch of its own
            assert locked[canonical(name)] == pin, requirement


def test_the_lock_is_what_is_installed() -> None:
    for name in (
        "snakemake",
        "transformers",
        "deepspeed",
        "datasets",
        "pandas",
        "pyarrow",
        "openai",
    ):
        assert version(name) == LOCK[name]
    assert LOCK["torch"] == "2.13.0" == version("torch").split("+")[0]


def test_the_library_never_imports_snakemake() -> None:
    for path in LIBRARY.rglob("*.py"):
        assert not any(name.split(".")[0] == "snakemake" for name in imported_names(path)), path


def test_tables_and_configuration_start_without_heavy_packages() -> None:
    code = f"import sys, {', '.join(LIGHT_MODULES)}; print(sorted({HEAVY} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "scripts",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_retries_stand_only_in_profiles_and_no_profile_is_loaded_unasked() -> None:
    rules = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    # None at all is no number of them: a verdict of plan and preflight is asked for once.
    assert set(re.findall(r"retries: *(\S+)", rules)) == {"0"}
    assert not (ROOT / "profiles" / "default").exists()
    for profile in (ROOT / "profiles").glob("*/profile.yaml"):
        settings = yaml.safe_load(profile.read_text())
        assert settings["rerun-triggers"] == list(RERUN_TRIGGERS) == ["mtime", "params", "input"]
        assert settings["max-checksum-file-size"] == LARGEST_COMPARED


def test_the_slurm_link_makes_the_literal_command_work() -> None:
    assert (ROOT / "slurm").is_symlink()
    assert (ROOT / "slurm" / "profile.yaml").exists()


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.name
)
def test_commands_of_the_documentation_say_how_many_cores(path: Path) -> None:
    """Without a profile Snakemake runs nothing until it is told; dry runs and lists are free."""
    says = re.compile(r" (-n|-c ?\d+|--cores|--(workflow-)?profile|--list-\S+|--lint|--unlock)\b")
    for line in path.read_text().splitlines():
        command = line.split("#")[0].strip()
        if re.match(r"(\w+=\S+ )*snakemake ", command):
            assert says.search(command), command


def test_every_value_of_the_papers_configuration_is_marked_in_its_section() -> None:
    text = (ROOT / "config.yaml").read_text()
    assert text.count("# paper") > 40
    assert text.count("assumed: ") > 15
    assert "# ours" in text


def test_scripts_are_thin() -> None:
    for path in (ROOT / "scripts").glob("*.py"):
        assert len(path.read_text().splitlines()) <= 100, path.name


def test_a_jobs_log_and_benchmark_are_named_alike() -> None:
    """The cost and the manifest find one by the other.

    plan.smk is apart: to Snakemake a benchmark is an output, and its rules run whenever asked for.
    """
    for path in {*(ROOT / "rules").glob("*.smk")} - {ROOT / "rules" / "plan.smk"}:
        text = path.read_text()
        logs = re.findall(r'"<logs>/(.+)\.log"', text)
        benchmarks = re.findall(r'"<benchmarks>/(.+)\.jsonl"', text)
        assert logs == benchmarks, path.name


def test_every_item_of_the_report_stands_in_a_known_category_under_the_same_labels() -> None:
    rules = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    categories = {
        "Main results", "Trade-off", "ReSet", "Claims", "Data", "Training", "Judges", "Appendix",
    }  # fmt: skip
    assert set(re.findall(r'category="(.+?)"', rules)) <= categories
    for labels in re.findall(r"labels=\{(.+?)\},", rules):
        assert re.match(r'"what": .+, "as": "(page|CSV|JSON|figure)"$', labels), labels
    for caption in re.findall(r'caption="\.\./(report/.+?)"', rules):
        assert (ROOT / caption).read_text().strip(), caption
