"""The resolved settings of one run (runs/<run>.json), typed and checked."""

import argparse
import json
import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args

from reset_tuning.errors import InputError

# Names of config.yaml and what the Trainer calls them; both warm-up ratios work with each of them.
SCHEDULES = {
    "cosine": "cosine",
    "linear": "linear",
    "constant": "constant_with_warmup",
}
DTYPES = ("bfloat16", "float32")

# Variable with the time, in seconds since the epoch, at which ranks keep their state and stop. It
# is no option: a command that is typed again later would stop at once.
STOP_AT = "RESET_STOP_AT"

# What only the launcher needs; its ranks are told the rest.
_LAUNCHER_ALONE = ("cpu_ranks", "nodes", "runtime")
# Torchrun would take --run for a short form of an option of its own.
_OPTIONS = {"settings": "--config", "run": "--run-name"}


@dataclass(frozen=True)
class AdapterSettings:
    """A low-rank adapter (LoRA) of every linear layer: W + alpha / rank · B A; W stays as it is."""

    rank: int
    alpha: float
    dropout: float = 0.0


@dataclass(frozen=True)
class TrainingSettings:
    """Hyper-parameters of a run: the keys of config.yaml's `training`.

    `global_batch_size` is what one optimiser step sees on any number of ranks (paper: 16 or 32).
    `evaluation_examples` bounds the validation rows that are looked at (without it: all of them).
    `group_by_length` puts rows of about the same length into one global batch: next to no padding,
    but batches of one kind of task (without it only a batch's slices are like that). `packing`
    lays a micro-batch out as one row without any padding, for attention that knows where rows
    begin. Without `deepspeed` training does without DeepSpeed; with `adapter` only low-rank
    additions are learnt.
    """

    learning_rate: float
    weight_decay: float
    warmup_ratio: float
    schedule: str
    epochs: float
    global_batch_size: int
    evaluation_steps: int
    gradient_clipping: float
    group_by_length: bool = False
    packing: bool = False
    evaluation_examples: int | None = None
    deepspeed: str | None = None
    adapter: AdapterSettings | None = None


@dataclass(frozen=True)
class RunSettings:
    """One run: what it starts from, what it is trained on and how."""

    run: str
    base: str
    data: dict[str, str]
    training: TrainingSettings
    max_length: int
    dtype: str
    attention: str


@dataclass(frozen=True)
class Launch:
    """How a training is spread, limited and watched; nothing here decides what is learnt.

    `micro_batch_size` is the most rows that a rank takes at once. `runtime` is the job's time
    limit in minutes (0: none); `resume_minutes` how often the state is kept; `report_to` the
    tracker that the Trainer writes to, or "none".
    """

    micro_batch_size: int
    evaluation_batch_size: int
    gradient_checkpointing: bool
    cpu_ranks: int = 1
    nodes: int = 1
    threads: int = 1
    runtime: float = 0
    resume_minutes: float = 30
    report_to: str = "none"

    @classmethod
    def of(cls, resources: Mapping[str, Any]) -> "Launch":
        """Take what stands here from all resources of a job: 1 is true there, a fraction text."""
        names = {field.name for field in fields(cls)} & resources.keys()
        taken = {name: resources[name] for name in names}
        recompute = bool(taken.pop("gradient_checkpointing"))
        minutes = float(taken.pop("resume_minutes", cls.resume_minutes))
        return cls(gradient_checkpointing=recompute, resume_minutes=minutes, **taken)


@dataclass(frozen=True)
class TrainingJob:
    """One training: its inputs, its seed, and the directory of its unfinished files."""

    settings: str
    train: str
    validation: str
    base: str
    run: str
    seed: int
    output: str
    launch: Launch


@dataclass(frozen=True)
class BatchGeometry:
    """How one optimiser step is spread: ranks x micro-batch x accumulation = global batch."""

    ranks: int
    micro_batch_size: int
    accumulation_steps: int


def read_settings(path: Path) -> RunSettings:
    """Read and check runs/<run>.json; raise InputError naming the file and the key."""
    try:
        raw = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"{path} cannot be read as the settings of a run: {error}") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("training"), dict):
        raise InputError(f"{path} lacks the mapping `training`: resolve the run again")
    raw["training"] = _build(TrainingSettings, raw["training"], f"{path}: training")
    settings = _build(RunSettings, raw, str(path))
    _check_ranges(settings, path)
    return settings


def job_options(job: TrainingJob) -> list[str]:
    """Return a job as the options of train_model.py, which `parse_job` reads."""
    options = []
    for field in _option_fields():
        value = getattr(job.launch if hasattr(job.launch, field.name) else job, field.name)
        options += [_option(field), str(int(value) if isinstance(value, bool) else value)]
    return options


def parse_job(options: Sequence[str]) -> TrainingJob:
    """Read what `job_options` wrote, or what somebody typed; exit with a usage line if it fails."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for field in _option_fields():
        kind: Any = (lambda text: bool(int(text))) if field.type is bool else field.type
        needed = field.default is MISSING
        default = None if needed else field.default
        parser.add_argument(
            _option(field), dest=field.name, type=kind, required=needed, default=default
        )
    values = vars(parser.parse_args(options))
    names = {field.name for field in fields(Launch)} & values.keys()
    launch = Launch(**{name: values.pop(name) for name in names})
    return TrainingJob(**values, launch=launch)


def _option_fields() -> list[Field[Any]]:
    """Return the fields of a job and of its launch that are told to every rank."""
    own = [field for field in fields(TrainingJob) if field.type is not Launch]
    return own + [field for field in fields(Launch) if field.name not in _LAUNCHER_ALONE]


def _option(field: Field[Any]) -> str:
    return _OPTIONS.get(field.name, f"--{field.name.replace('_', '-')}")


def batch_geometry(training: TrainingSettings, micro_batch_size: int, ranks: int) -> BatchGeometry:
    """Spread the global batch over the ranks; raise InputError when it does not divide.

    A rank whose share is below `micro_batch_size` takes that share at once (16 rows on 8 GPUs are
    2 rows each); a larger share is taken in equal micro-batches and accumulated.
    """
    share, left = divmod(training.global_batch_size, ranks)
    if left or not share:
        raise InputError(
            f"training.global_batch_size {training.global_batch_size} cannot be spread over "
            f"{ranks} ranks: choose a multiple of the number of ranks"
        )
    if share <= micro_batch_size:
        return BatchGeometry(ranks, share, 1)
    accumulation, left = divmod(share, micro_batch_size)
    if left:
        raise InputError(
            f"launch.micro_batch_size {micro_batch_size} does not divide the {share} rows that "
            f"each of {ranks} ranks takes of a batch of {training.global_batch_size}"
        )
    return BatchGeometry(ranks, micro_batch_size, accumulation)


def _build(record: type, raw: dict[str, Any], where: str) -> Any:
    """Return the dataclass `record` made of `raw`, whose keys and types must fit exactly."""
    kinds = {field.name: field.type for field in fields(record)}
    required = {field.name for field in fields(record) if field.default is MISSING}
    wrong = sorted((raw.keys() - kinds.keys()) | (required - raw.keys()))
    if wrong:
        raise InputError(f"{where} has unknown or missing keys: {', '.join(wrong)}")
    typed = {key: _typed(value, kinds[key], f"{where}.{key}") for key, value in raw.items()}
    return record(**typed)


def _typed(value: Any, kind: Any, where: str) -> Any:
    """Return a JSON value as the type of its field; an integer may stand for a float."""
    if isinstance(kind, types.UnionType):
        if value is None:
            return None
        (kind,) = (part for part in get_args(kind) if part is not types.NoneType)
    if is_dataclass(kind) and isinstance(value, dict):
        return _build(kind, value, where)
    origin = kind.__origin__ if isinstance(kind, types.GenericAlias) else kind
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, origin) or (isinstance(value, bool) and kind is not bool):
        raise InputError(f"{where} must be of type {origin.__name__}, not {value!r}")
    if get_args(kind) and not all(isinstance(part, str) for part in value.values()):
        raise InputError(f"{where} must map names to names, not {value!r}")
    return value


def _check_ranges(settings: RunSettings, path: Path) -> None:
    """Raise InputError for a value that no training can run with."""
    training = settings.training
    checks = {
        "learning_rate must be a positive number": training.learning_rate > 0,
        "weight_decay must not be negative": training.weight_decay >= 0,
        "warmup_ratio must be at least 0 and below 1": 0 <= training.warmup_ratio < 1,
        "epochs must be positive": training.epochs > 0,
        "gradient_clipping must not be negative": training.gradient_clipping >= 0,
        f"schedule must be one of {', '.join(SCHEDULES)}": training.schedule in SCHEDULES,
        f"dtype must be one of {', '.join(DTYPES)}": settings.dtype in DTYPES,
    }
    for name in ("global_batch_size", "evaluation_steps", "evaluation_examples"):
        count = getattr(training, name)
        checks[f"{name} must be at least 1"] = count is None or count >= 1
    checks["packing needs attention flash_attention_2 or sdpa"] = (
        not training.packing or settings.attention in ("flash_attention_2", "sdpa")
    )
    # DeepSpeed keeps fp32 weights beside those in bf16, and peft keeps its adapters in fp32.
    # Without them bf16 would round most updates away.
    checks["dtype bfloat16 needs training.deepspeed or an adapter: choose float32 without"] = (
        settings.dtype != "bfloat16" or bool(training.deepspeed) or training.adapter is not None
    )
    adapter = training.adapter or AdapterSettings(rank=1, alpha=1.0)
    checks["adapter needs a rank of at least 1, a positive alpha and a dropout below 1"] = (
        adapter.rank >= 1 and adapter.alpha > 0 and 0 <= adapter.dropout < 1
    )
    numbers = (value for value in vars(training).values() if isinstance(value, float))
    checks["every number must be finite"] = all(math.isfinite(number) for number in numbers)
    for message, holds in checks.items():
        if not holds:
            raise InputError(f"{path}: {message}")
