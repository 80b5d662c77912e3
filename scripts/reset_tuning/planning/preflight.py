"""Whether a machine can do what a job asks of it, said before the job spends hours.

Nothing here is an input of a rule: a verdict that changes makes nothing again.
"""

import http.client
import importlib.metadata
import json
import logging
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from reset_tuning.errors import InputError
from reset_tuning.experiment import Experiment
from reset_tuning.files import is_folder, model_files_in, weight_files
from reset_tuning.judging.server import endpoint_name, read_key
from reset_tuning.planning.disk import MOST_STATES, training_need
from reset_tuning.planning.models import (
    BYTES_OF,
    ModelSizes,
    cached_folder,
    check_positions,
    model_size,
    positions_of,
)
from reset_tuning.planning.text import aligned

OK, WARNING, FAILED = "ok", "warning", "FAILED"
LOCK = Path(__file__).resolve().parents[3] / "requirements.lock"
GPU_NODES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
# What results depend on: of jobs that run a model, and of trainings.
MODEL_PACKAGES = ("torch", "transformers", "tokenizers")
TRAINING_PACKAGES = (*MODEL_PACKAGES, "accelerate", "deepspeed", "datasets")
_ANSWER_SECONDS = 5.0
# In a process of its own: asking for a capability makes a context that holds memory on every GPU.
_PROBE = """
import json, torch
count = torch.cuda.device_count()
names = [torch.cuda.get_device_name(index) for index in range(count)]
print(json.dumps([names, count > 0 and torch.cuda.is_bf16_supported(including_emulation=False)]))
"""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: what was found, whether it will do, and else what to do."""

    name: str
    verdict: str
    detail: str


@dataclass(frozen=True)
class Devices:
    """The GPUs that a process sees; `error` says why they could not be asked."""

    names: tuple[str, ...] = ()
    has_bfloat16: bool = False
    error: str | None = None


def tell(checks: Sequence[Check]) -> None:
    """Log all checks as a table; raise InputError that names those that failed."""
    failed = _logged(checks)
    if failed:
        names = ", ".join(check.name for check in failed)
        raise InputError(
            f"{len(failed)} of {len(checks)} checks failed: {names}; their lines say what to do"
        )


def require(checks: Sequence[Check]) -> None:
    """Log the checks of a job; raise InputError that says what is missing when one failed."""
    if failed := _logged(checks):
        reasons = "; ".join(f"{check.name}: {check.detail}" for check in failed)
        raise InputError(f"this cannot run here: {reasons}")


def _logged(checks: Sequence[Check]) -> list[Check]:
    for line in format_checks(checks):
        logging.info("%s", line)
    return [check for check in checks if check.verdict == FAILED]


def format_checks(checks: Sequence[Check]) -> list[str]:
    """Return the checks as aligned lines."""
    columns = {
        "check": [check.name for check in checks],
        "verdict": [check.verdict for check in checks],
        "found": [check.detail for check in checks],
    }
    return aligned(columns, left=tuple(columns))


# ---------------------------------------------------------------- the first seconds of a job


def require_for_model(model: str, dtype: str, *, gpus: int, cpu_ranks: int) -> None:
    """Check what a job needs that runs a model; raise InputError when something is missing."""
    require(
        [
            *gpu_checks(visible_devices(), gpus, [dtype], cpu_ranks=cpu_ranks),
            model_check("weights", model),
            version_check(MODEL_PACKAGES),
        ]
    )


def require_for_engine(job: Mapping[str, Any], *, gpus: int, cpu_ranks: int) -> None:
    """Check what a job needs that writes outputs, from its arguments.

    An endpoint has the weights itself, and vLLM brings other versions than the lock.
    """
    kind = job.get("backend", {}).get("kind", "transformers")
    if kind == "transformers":
        require_for_model(job["model_path"], job["dtype"], gpus=gpus, cpu_ranks=cpu_ranks)
    elif gpus:
        require(gpu_checks(visible_devices(), gpus, [job["dtype"]], cpu_ranks=0))


def require_for_training(
    base: str, settings: Path, output: Path, *, gpus: int, cpu_ranks: int
) -> None:
    """Check what a training needs, disk for its states and weights included.

    `gpus` are those of one node. Raises InputError when something is missing.
    """
    resolved = json.loads(settings.read_text())
    dtype = resolved["dtype"]
    require(
        [
            *gpu_checks(visible_devices(), gpus, [dtype], cpu_ranks=cpu_ranks),
            model_check("base", base, resolved["max_length"]),
            version_check(TRAINING_PACKAGES),
            training_disk_check(output, model_size(base), dtype, held=_size_below(output)),
        ]
    )


def training_disk_check(folder: Path, parameters: float, dtype: str, held: float = 0) -> Check:
    """Return whether there is room for a training's weights and states, less those it has."""
    need = training_need(parameters * BYTES_OF[dtype], parameters, tokens=0, n_states=MOST_STATES)
    what = "this training still" if held else "a training"
    return disk_check(folder, max(need.kept + need.transient - held, 0), what)


def _size_below(folder: Path) -> int:
    """Return the bytes of all files below a folder, one under several names once.

    What a job that is about to give way removes meanwhile is passed over.
    """
    sizes = {}
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                found = os.stat(Path(place) / name)
                sizes[found.st_dev, found.st_ino] = found.st_size
    return sum(sizes.values())


def require_for_server(*, gpus: int) -> None:
    """Check what a judge's server needs that the job starts itself."""
    checks = gpu_checks(visible_devices(), gpus, [], cpu_ranks=0) if gpus else []
    require([*checks, version_check(["openai"])])


# ---------------------------------------------------------------- GPUs


def visible_devices() -> Devices:
    """Ask torch which GPUs this process sees, where there is a driver at all."""
    if not any(Path(node).exists() for node in GPU_NODES):
        return Devices()
    done = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, text=True)
    try:
        names, has_bfloat16 = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        reason = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        return Devices(error=f"torch cannot ask for them ({reason})")
    return Devices(tuple(names), bool(has_bfloat16))


def gpu_checks(
    devices: Devices, asked: int, dtypes: Iterable[str], *, cpu_ranks: int
) -> list[Check]:
    """Return whether there are as many GPUs as asked for, and whether they compute in bfloat16.

    With `cpu_ranks` an experiment may run on the CPU: then no GPU is fine, and fewer are a warning.
    """
    count = len(devices.names)
    found = f"{count} of {asked} ({', '.join(dict.fromkeys(devices.names))})" if count else "CPU"
    if count >= asked:
        checks = [Check("GPUs", OK, found if count else "none asked for")]
    elif count == 0 and cpu_ranks:
        return [Check("GPUs", OK, f"CPU: no GPU is seen, and launch.cpu_ranks is {cpu_ranks}")]
    elif cpu_ranks:
        checks = [Check("GPUs", WARNING, f"{found}: the job takes those that there are")]
    else:
        reason = devices.error or f"{count} of {asked} GPUs are seen"
        advice = f"say --resources gpu={count}" if count else "set launch.cpu_ranks for a CPU run"
        look = "look at nvidia-smi and the job's allocation"
        return [Check("GPUs", FAILED, f"{reason}: {look}, or {advice}")]
    if count and "bfloat16" in dtypes:
        checks.append(_bfloat16_check(devices))
    return checks


def _bfloat16_check(devices: Devices) -> Check:
    if devices.has_bfloat16:
        return Check("bfloat16", OK, "supported")
    advice = "set the models' dtype to float32 or take a GPU from Ampere on"
    return Check("bfloat16", FAILED, f"{devices.names[0]} does not compute in it: {advice}")


# ---------------------------------------------------------------- disk, models, versions


def disk_check(folder: Path, need: float, what: str) -> Check:
    """Return whether the file system of a folder has `need` bytes left for `what`."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    text = f"{_size(free)} free at {folder}, {what} needs {_size(need)}"
    if free < need:
        return Check("disk", FAILED, f"{text}: make room, or link the folder to a larger disk")
    return Check("disk", OK, text)


def model_check(label: str, source: str, max_length: int = 0) -> Check:
    """Return whether the files of a model can be had: a folder, the hub's cache, or the hub.

    Where they are there, they must be whole, and of a model that reads `max_length` tokens.
    """
    check = _folder_check if is_folder(source) else _hub_check
    return check(label, source, max_length)


def _folder_check(label: str, folder: str, max_length: int) -> Check:
    try:
        model_files_in(Path(folder))
    except InputError as error:
        return Check(label, FAILED, str(error))
    return _files_check(label, folder, f"in {folder}", max_length)


def _files_check(label: str, folder: str, found: str, max_length: int) -> Check:
    """Return `found` when the files of a model are whole and it reads `max_length` tokens."""
    try:
        model_size(folder)
        check_positions(folder, positions_of(Path(folder)), max_length)
    except InputError as error:
        return Check(label, FAILED, str(error))
    return Check(label, OK, found)


def _hub_check(label: str, identifier: str, max_length: int) -> Check:
    from huggingface_hub import HfApi, constants

    if folder := cached_folder(identifier):
        if weight_files(folder):
            found = f"{identifier} in the cache {constants.HF_HUB_CACHE}"
            return _files_check(label, str(folder), found, max_length)
        found = f"only parts of {identifier} are in the cache {constants.HF_HUB_CACHE}"
    else:
        found = f"{identifier} is not in the cache {constants.HF_HUB_CACHE}"
    advice = f"run `hf download {identifier}` where there is internet, with the same HF_HOME"
    if constants.HF_HUB_OFFLINE:
        return Check(label, FAILED, f"{found} and HF_HUB_OFFLINE is set: {advice}")
    try:
        HfApi().model_info(identifier, timeout=_ANSWER_SECONDS)
    except Exception as error:  # its many errors and those of its HTTP library
        reason = f"the hub gives none ({type(error).__name__})"
        return Check(label, FAILED, f"{found} and {reason}: {advice}")
    return Check(label, OK, f"{identifier} on the hub, to be fetched")


def version_check(needed: Iterable[str], lock: Path = LOCK, *, whole: bool = False) -> Check:
    """Return whether installed packages are those of the lock: the `needed` ones, or the `whole`.

    A needed one that is missing fails. Under conda the others have environments of their own.
    """
    if not lock.exists():
        return Check("versions", WARNING, f"{lock} is not there to compare with")
    locked = dict(_locked(lock))
    wanted = {_canonical(name) for name in needed}
    compared = set(locked) if whole else wanted & set(locked)
    other = []
    absent = []
    for name in sorted(compared):
        try:
            installed = importlib.metadata.version(name).split("+")[0]
        except importlib.metadata.PackageNotFoundError:
            absent.append(name)
            continue
        if installed != locked[name]:
            other.append(f"{name} {installed} in place of {locked[name]}")
    if missing := [name for name in absent if name in wanted]:
        return Check("versions", FAILED, f"{', '.join(missing)} not installed: see {lock.name}")
    text = f"{len(compared) - len(other) - len(absent)} packages as in {lock.name}"
    if absent:
        text += f", {len(absent)} of it not in this environment"
    if other:
        return Check("versions", WARNING, f"{text}; others: {', '.join(other)}")
    return Check("versions", OK, text)


def _locked(lock: Path) -> Iterable[tuple[str, str]]:
    for line in lock.read_text().splitlines():
        name, separator, pin = line.partition("==")
        if separator and not line.startswith("#"):
            yield _canonical(name), pin.strip()


def _canonical(name: str) -> str:
    return name.strip().lower().replace("_", "-").replace(".", "-")


# ---------------------------------------------------------------- endpoints and data


def _answer_check(label: str, url: str, found: str) -> Check:
    """Return `found` as it is when the host of an address answers, else as a warning.

    A warning only: judges are asked and files fetched where Snakemake runs, which may be elsewhere.
    """
    parts = urlsplit(url)
    host = f"{parts.scheme}://{parts.netloc}"
    if answers(host):
        return Check(label, OK, found)
    advice = "it must answer the one where Snakemake runs"
    return Check(label, WARNING, f"{found}, but {host} does not answer this machine: {advice}")


@cache
def answers(host: str) -> bool:
    """Say whether anything answers at a host, whatever it says."""
    try:
        request = urllib.request.Request(host, method="HEAD")
        urllib.request.urlopen(request, timeout=_ANSWER_SECONDS).close()
    except (urllib.error.HTTPError, http.client.HTTPException):
        return True
    except (OSError, ValueError):
        return False
    return True


def judge_check(judge: str, spec: Mapping[str, Any], environment: Mapping[str, str]) -> Check:
    """Return whether a judge can be asked: its key is there, or it needs none."""
    if spec.get("mode") == "replay":
        return Check(f"judge {judge}", OK, "replayed from the records")
    return endpoint_check(f"judge {judge}", f"the judge {judge}", spec, environment)


def endpoint_check(
    label: str, owner: str, spec: Mapping[str, Any], environment: Mapping[str, str]
) -> Check:
    """Return whether an endpoint can be asked; `owner` is who asks it, for the message."""
    variable = spec.get("api_key_variable")
    if spec.get("server"):
        return Check(label, OK, "a server that the job starts")
    if not variable:
        return _answer_check(label, endpoint_name(spec), "asks for no key")
    try:
        read_key(variable, owner, environment)
    except InputError as error:
        return Check(label, FAILED, str(error))
    return _answer_check(label, endpoint_name(spec), f"its key is in {variable}")


def source_check(dataset: str, source: Mapping[str, Any], raw: Path) -> Check:
    """Return whether a dataset's raw files are there, or where they will be fetched from."""
    from reset_tuning.data.sources.local import local_files

    label = f"data {dataset}"
    if (raw / dataset / "manifest.json").exists():
        return Check(label, OK, f"in {raw / dataset}")
    if source["type"] == "miniature":
        return Check(label, OK, "made by the workflow")
    if source["type"] == "local":
        try:
            files = local_files(dataset, source)
        except InputError as error:
            return Check(label, FAILED, str(error))
        return Check(label, OK, f"{sum(map(len, files.values()))} local files")
    return _fetched_check(label, source)


def _fetched_check(label: str, source: Mapping[str, Any]) -> Check:
    from huggingface_hub import constants

    if source["type"] == "url":
        address = next(file["url"] for files in source["files"].values() for file in files)
        return _answer_check(label, address, "to be fetched from its addresses")
    place = source["id"]
    if os.environ.get("HF_HUB_OFFLINE"):
        advice = "unset it, or copy the raw folder from a machine with internet"
        found = f"{place} cannot be fetched while HF_HUB_OFFLINE is set"
        return Check(label, FAILED, f"{found}: {advice}")
    return _answer_check(label, constants.ENDPOINT, f"to be fetched from {place}")


def _size(count: float) -> str:
    """Return bytes as text with a unit that fits."""
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count / 1e3:.3g} kB"


# ---------------------------------------------------------------- a whole experiment


def experiment_checks(
    config: Mapping[str, Any], results: Path, *, gpus: int, cpu_ranks: int
) -> list[Check]:
    """Return every check of an experiment on this machine: `snakemake preflight`."""
    experiment = Experiment(dict(config))
    models = _used_models(experiment)
    dtypes = {config["models"][name]["dtype"] for name in models}
    checks = gpu_checks(visible_devices(), gpus, sorted(dtypes), cpu_ranks=cpu_ranks)
    checks.append(_disk_check(experiment, results, models))
    checks.append(version_check(TRAINING_PACKAGES, whole=True))
    for name in models:
        entry = config["models"][name]
        if "build" in entry:
            checks.append(Check(f"model {name}", OK, "made by the workflow"))
        else:
            check, source = (
                (_folder_check, entry["path"]) if "path" in entry else (_hub_check, entry["hub"])
            )
            checks.append(check(f"model {name}", source, config["prompt"]["max_length"]))
    for name, metric in config["metrics"].items():
        if "model" in metric:
            checks.append(model_check(f"metric {name}", metric["model"]))
    if config["generation"]["backend"] == "endpoint":
        endpoint = config["generation"]["endpoint"]
        checks.append(endpoint_check("generation", "generation.endpoint", endpoint, os.environ))
    checks += [
        judge_check(name, config["judges"][name], os.environ) for name in _judges(experiment)
    ]
    raw = Path(config["paths"]["raw"])
    checks += [source_check(name, experiment.source(name), raw) for name in experiment.datasets]
    return [*checks, _unseen_check(experiment.unguarded_test_sets())]


def _unseen_check(unguarded: Sequence[str]) -> Check:
    """Return whether filters keep what is trained on out of every test set."""
    if not unguarded:
        return Check("test sets", OK, "all are compared with the training sets")
    advice = "add seen_in_training and near_duplicate_of_training to their filters"
    return Check(
        "test sets", WARNING, f"compared with no training set: {', '.join(unguarded)}; {advice}"
    )


def _used_models(experiment: Experiment) -> list[str]:
    """Return the models from which runs start and those that are evaluated untrained."""
    runs = [*experiment.run_names(), *(row["run"] for row in experiment.config["tables"]["main"])]
    used = {experiment.root_model(run) for run in runs}
    used |= {mixture["tokenizer"] for mixture in experiment.mixtures.values()}
    return [name for name in experiment.config["models"] if name in used]


def _judges(experiment: Experiment) -> list[str]:
    selections = [experiment.config["selections"][name] for name in experiment.selections_of()]
    used = {*experiment.evaluation_judges(), *(entry["judge"] for entry in selections)}
    return [name for name in experiment.config["judges"] if name in used]


def _disk_check(experiment: Experiment, results: Path, models: Sequence[str]) -> Check:
    """Return whether there is room for one training of the largest model."""
    sizes = ModelSizes(experiment.config["models"], {})
    try:
        largest = max(models, key=sizes.parameters)
    except InputError:  # the line of that model says what is broken
        return Check("disk", WARNING, "what a training needs is not known: a model is broken")
    dtype = experiment.config["models"][largest]["dtype"]
    return training_disk_check(results, sizes.parameters(largest), dtype)
