# The experiment behind the rules: configuration, path variables, wildcards and input functions.

import copy
import functools
import os
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path

import snakemake.workflow
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.persistence.file import FilePersistence

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))

from reset_tuning.config import normalise, reorder
from reset_tuning.data.sources.local import local_state
from reset_tuning.data.readers import check_formats
from reset_tuning.errors import InputError
from reset_tuning.experiment import MODEL_FILES, Experiment, Weights
from reset_tuning.files import is_folder, is_of_tokenizer, model_files_in, read_yaml
from reset_tuning.locks import with_own_locks
from reset_tuning.planning.jobs import record_jobs
from reset_tuning.planning.models import ModelSizes
from reset_tuning.planning.work import JUDGE_RULES
from reset_tuning.slurm import (
    check_no_second_writer,
    comment_of,
    grown,
    remember_run,
    site_number,
    training_memory_mb,
)
from reset_tuning.stats.deviations import deviation_rows

record_jobs(logger)
snakemake.workflow.FilePersistence = with_own_locks(FilePersistence)
# With the nulls that take keys away: what the dry run of a plan is given.
GIVEN = copy.deepcopy(config)
normalise(config)
try:
    for file in dict.fromkeys(map(Path, workflow.configfiles)):
        if file.suffix in (".yaml", ".yml"):  # of which Snakemake takes the last of two equal keys
            read_yaml(file)
    reorder(config, read_yaml(Path(workflow.basedir) / "config.yaml"))
    experiment = Experiment(config)
    check_formats({name: (d["kind"], d["format"]) for name, d in experiment.datasets.items()})
except InputError as error:
    raise WorkflowError(str(error)) from None


pathvars:
    raw=config["paths"]["raw"],
    results=f"results/{config['experiment']}",
    logs=f"results/{config['experiment']}/logs",
    benchmarks=f"results/{config['experiment']}/benchmarks",


# An image with the packages of requirements.lock, for --sdm apptainer (docs/cluster.md).
if CONTAINER := os.environ.get("RESET_CONTAINER"):

    container: CONTAINER


def any_of(names):
    """Return a pattern that matches exactly the given names; none of them matches nothing."""
    return "|".join(names) or "(?!)"


wildcard_constraints:
    dataset=any_of(experiment.datasets),
    mixture=any_of(experiment.mixtures),
    model=any_of(config["models"]),
    run=any_of([*config["runs"], *config["models"]]),
    seed=r"\d+",
    checkpoint="start|best|last",
    split="train|test",
    decoding=any_of(config["decodings"]),
    judge=any_of(config["judges"]),
    metric=any_of(config["metrics"]),
    selection=any_of(config["selections"]),


@functools.cache
def resource(path):
    """Return a small YAML file of resources/, read once."""
    return read_yaml(Path(workflow.basedir) / "resources" / path)


def as_resource(value):
    """Return a setting as a resource: a flag is 0 or 1 there, and a fraction text, else rounded."""
    if isinstance(value, float):
        return str(value)
    return int(value) if isinstance(value, bool) else value


# Resources of trainings.
LAUNCH = {name: as_resource(value) for name, value in config["launch"].items()}
TEMPLATE = resource(f"prompts/{config['prompt']['template']}.yaml")
TASK_ENTRIES = resource("prompts/tasks.yaml")
TASK_TEXTS = {name: entry["text"] for name, entry in TASK_ENTRIES.items()}
TASKS = {dataset: TASK_TEXTS[task] for dataset, task in experiment.tasks().items()}
TEST_TASKS = {name: TASKS[name] for name in experiment.datasets_with("test") if name in TASKS}


def in_results(path):
    """Return a path below the experiment's results, where params need it written out."""
    return f"results/{config['experiment']}/{path}"


def model_files(model):
    """Return the files of an untrained model: none for a hub model, which transformers fetches."""
    entry = config["models"][model]
    if "hub" in entry:
        return []
    if "path" in entry:
        return folder_files(f"models.{model}.path", entry["path"])
    return [f"<results>/models/{model}/{name}" for name in MODEL_FILES]


def folder_files(key, folder):
    """Return the files of a model's folder that a key of the configuration names."""
    try:
        return [str(path) for path in model_files_in(Path(folder))]
    except InputError as error:
        raise WorkflowError(f"config: {key}: {error}.") from None


def tokenizer_files(model):
    """Return what the tokenizer of an untrained model is read from."""
    return [path for path in model_files(model) if is_of_tokenizer(path)]


def weights_files(weights):
    """Return the files of untrained or trained weights."""
    if weights.run in config["models"]:
        return model_files(weights.run)
    folder = f"<results>/checkpoints/{weights.run}/seed-{weights.seed}/{weights.checkpoint}"
    return [f"{folder}/{name}" for name in MODEL_FILES]


def model_path(files, model):
    """Return what transformers loads: the folder of the files, or the hub identifier."""
    return str(Path(files[0]).parent) if files else config["models"][model]["hub"]


def tokenizer_model(mixture):
    return experiment.mixtures[mixture]["tokenizer"]


def data_files(datasets, split):
    return [f"<results>/data/{dataset}/{split}.parquet" for dataset in datasets]


def test_files(wildcards):
    """The test split of every dataset that has one."""
    return data_files(experiment.datasets_with("test"), "test")


def pool_mixture(wildcards):
    """The mixture whose training rows a run's rejection-sampling pool draws from."""
    mixture = experiment.validation_mixture(wildcards.run)
    return f"<results>/mixtures/{mixture}/train.parquet"


def root_model(wildcards):
    return config["models"][experiment.root_model(wildcards.run)]


def in_point(weights, pattern):
    """Fill run, seed and checkpoint of a path from weights."""
    return pattern.format(run=weights.run, seed=weights.seed, checkpoint=weights.checkpoint)
