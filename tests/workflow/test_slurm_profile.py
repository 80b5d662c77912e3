"""The SLURM profile on any machine, as dry runs: how it is found, and what its jobs ask for."""

import re
from pathlib import Path

import pytest

from helpers import copy_tree, planned_jobs, run_snakemake

TRAINING = "results/paper/checkpoints/mtl/seed-1/best/model.safetensors"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_tree(tmp_path_factory.mktemp("slurm") / "workflow")


def resources_of(output: str, rule: str) -> dict[str, str]:
    """Return the resources of the first job of a rule in a dry run."""
    line = output.split(f"rule {rule}:")[1].split("resources:")[1].splitlines()[0]
    return dict(part.strip().split("=", 1) for part in line.split(",") if "=" in part)


def training(tree: Path, *arguments: str, **environment: str) -> dict[str, str]:
    """Return the resources of a training under the profile."""
    result = run_snakemake(tree, "-n", *arguments, TRAINING, **environment)
    assert result.returncode == 0, result.stdout
    return resources_of(result.stdout, "train")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--profile", "slurm"),
        ("--profile", "profiles/slurm"),
        ("--workflow-profile", "slurm"),
        ("--workflow-profile", "profiles/slurm"),
    ],
    ids=" ".join,
)
def test_every_way_to_name_it_finds_it(tree: Path, arguments: tuple[str, ...]) -> None:
    resources = training(tree, *arguments)
    assert resources["gpu"] == "8" and resources["nodes"] == "1"
    assert resources["slurm_partition"] == "gpu"
    assert 200_000 < int(resources["mem_mb"]) < 300_000  # of a model of 7B
    assert "tasks" not in resources and "slurm_account" not in resources


def test_it_is_found_in_the_home_folder(tree: Path, tmp_path: Path) -> None:
    (tmp_path / ".config" / "snakemake").mkdir(parents=True)
    (tmp_path / ".config" / "snakemake" / "slurm").symlink_to(tree / "profiles" / "slurm")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    where = ("--snakefile", str(tree / "Snakefile"), "--directory", str(tree))
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / ".config")}
    assert training(elsewhere, "--profile", "slurm", *where, **home)["gpu"] == "8"


def test_the_site_is_told_by_variables(tree: Path) -> None:
    site = {
        "RESET_SLURM_ACCOUNT": "lab-7",
        "RESET_GPU_PARTITION": "boost_usr_prod",
        "RESET_GPU_TYPE": "a100",
        "RESET_GPU_CONSTRAINT": "a100&nvlink",
        "RESET_MAX_RUNTIME": "480",
    }
    resources = training(tree, "--profile", "slurm", **site)
    assert resources["slurm_account"] == "lab-7"
    assert resources["slurm_partition"] == "boost_usr_prod"
    assert resources["gpu_model"] == "a100" and resources["constraint"] == "a100&nvlink"
    assert resources["runtime"] == "480"
    assert resources["slurm_extra"] == "--signal=USR1@600"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RESET_CPUS_PER_GPU", "many"),
        ("RESET_TRAINING_NODES", "two"),
        ("RESET_WARNING_SECONDS", "-5"),
        ("RESET_MAX_RUNTIME", "24h"),
        ("RESET_MAX_MEMORY_MB", "512G"),
        ("RESET_GPU_TYPE", "a100:8"),
    ],
)
def test_a_site_value_that_cannot_be_is_named(tree: Path, name: str, value: str) -> None:
    result = run_snakemake(tree, "-n", "--profile", "slurm", TRAINING, **{name: value})
    assert result.returncode != 0
    (told,) = [line for line in result.stdout.splitlines() if name in line]
    assert f"{name} is '{value}', but must be" in told
    assert "Traceback" not in result.stdout and "ValueError" not in result.stdout


def test_an_empty_site_value_is_none(tree: Path) -> None:
    names = ("SLURM_ACCOUNT", "CPU_PARTITION", "GPU_PARTITION", "GPU_TYPE", "GPU_CONSTRAINT")
    names += ("CPUS_PER_GPU", "TRAINING_NODES", "WARNING_SECONDS", "MAX_RUNTIME", "MAX_MEMORY_MB")
    empty = dict.fromkeys((f"RESET_{name}" for name in names), "")
    assert training(tree, "--profile", "slurm", **empty) == training(tree, "--profile", "slurm")


@pytest.mark.parametrize("name", ["all", "=input", "lambda x: 1", "input", "gpu-a100", "12"])
def test_no_name_of_a_site_is_evaluated(tree: Path, name: str) -> None:
    variables = ("CPU_PARTITION", "GPU_PARTITION", "SLURM_ACCOUNT", "GPU_CONSTRAINT")
    site = {f"RESET_{variable}": name for variable in variables}
    result = run_snakemake(tree, "-n", "--profile", "slurm", TRAINING, **site)
    assert result.returncode == 0, result.stdout
    for rule in ("train", "build_mixture"):
        resources = resources_of(result.stdout, rule)
        assert resources["slurm_partition"] == resources["slurm_account"] == name
    assert resources_of(result.stdout, "train")["constraint"] == name


def test_a_type_of_gpus_that_the_plugin_refuses_is_asked_for_by_an_option(tree: Path) -> None:
    resources = training(tree, "--profile", "slurm", RESET_GPU_TYPE="nvidia_a100-sxm4-80gb")
    assert (resources["gpu"], resources["gpus_per_node"], resources["nodes"]) == ("0", "8", "1")
    assert "gpu_model" not in resources and "tasks" not in resources
    expected = "--gpus-per-node=nvidia_a100-sxm4-80gb:8 --signal=USR1@600"
    assert resources["slurm_extra"] == expected


def test_several_nodes_are_asked_for_node_by_node(tree: Path) -> None:
    site = {"RESET_TRAINING_NODES": "2", "RESET_GPU_TYPE": "h100"}
    resources = training(tree, "--profile", "slurm", **site)
    assert (resources["nodes"], resources["tasks"], resources["mpi"]) == ("2", "2", "srun")
    assert resources["gpu"] == "0" and "gpu_model" not in resources
    assert resources["slurm_extra"] == "--gpus-per-node=h100:8 --signal=USR1@600"
    assert resources["mem_mb"] == "207000"  # of 256,000 on one node, less half of the state


def local_rules(tree: Path) -> set[str]:
    """Return the rules that never become jobs of a cluster."""
    files = [tree / "Snakefile", *(tree / "rules").glob("*.smk")]
    text = "".join(path.read_text() for path in files)
    blocks = re.findall(r"^ *localrules:\n((?: +\w+,\n)+)", text, re.MULTILINE)
    return set(re.findall(r"\w+", "".join(blocks)))


def test_the_paper_is_hundreds_of_jobs_of_the_cluster(tree: Path) -> None:
    result = run_snakemake(tree, "-n", "--profile", "slurm")
    assert result.returncode == 0, result.stdout
    local = local_rules(tree)
    assert {"query_judge", "parse_judgments", "tabulate_main", "fetch_raw"} <= local
    planned = planned_jobs(result.stdout)
    submitted = sum(count for rule, count in planned.items() if rule not in local)
    assert 100 < submitted < 300


def test_rules_with_gpus_run_where_the_gpus_are(tree: Path) -> None:
    profile = (tree / "profiles" / "slurm" / "profile.yaml").read_text()
    named = set(re.findall(r'"(\w+)"', profile.split("gpu_rules = (")[1].split(")")[0]))
    asking = set()
    for path in (tree / "rules").glob("*.smk"):
        rule = ""
        for line in path.read_text().splitlines():
            if match := re.match(r"rule (\w+):|use rule (\w+) as (\w+)", line):
                rule = match[1] or match[3]
                asking |= {rule} if match[2] in asking else set()
            elif re.match(r"\s+gpu=", line):
                asking.add(rule)
    without = {rule for rule in asking if rule.endswith("_on_cpu")}  # their `gpu` is 0
    assert named == asking - without - local_rules(tree)


def test_an_image_may_stand_for_the_environments(tree: Path) -> None:
    """Apptainer itself is not here: the directive is accepted, and changes no plan."""
    result = run_snakemake(tree, "-n", "--profile", "slurm", TRAINING, RESET_CONTAINER="a.sif")
    assert result.returncode == 0, result.stdout
    assert planned_jobs(result.stdout)["train"] == 1
