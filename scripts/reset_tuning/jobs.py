"""The frame around every script: arguments, logging, what the job ran in, the one way to fail."""

import gc
import inspect
import json
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reset_tuning.environment import describe_environment, visible_gpus
from reset_tuning.errors import InputError
from reset_tuning.files import atomic_path
from reset_tuning.reuse import known_share
from reset_tuning.slurm import gpus_of

_FORMAT = "%(asctime)s %(levelname)s %(message)s"

# What imports make stays; at its default the collector looks through all of it again and again, an
# eighth of the time that importing torch and transformers takes.
gc.set_threshold(100_000)

# What the numerical libraries read at import: a job uses the threads that its rule was given.
_THREAD_VARIABLES = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
    "RAYON_NUM_THREADS",  # of the tokenizers and the search for near-duplicates
)


def configure_logging(log: Path | None) -> None:
    """Send log records to stderr (progress on the console) and to the rule's log file."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(log, mode="w"))
    logging.basicConfig(level=logging.INFO, format=_FORMAT, handlers=handlers, force=True)
    for chatty in ("httpx", "httpx2", "openai", "filelock", "matplotlib", "fontTools"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def run(main: Callable[..., None], snakemake: Any) -> None:
    """Call `main` with the rule's named inputs, outputs and params, and end the process well.

    Files arrive as Path, lists of files as list[Path]. `threads` and named resources are passed
    when `main` takes them, or all of them together as `resources`: they set how fast a job runs,
    so they must not be params, whose changes would rebuild what they cannot change. An InputError
    is one sentence in the log and exit code 1; anything else keeps its traceback.
    """
    log = Path(snakemake.log[0]) if snakemake.log else None
    configure_logging(log)
    for variable in _THREAD_VARIABLES:
        os.environ[variable] = str(snakemake.threads)
    if log:
        record_job(job_record(log), snakemake)
    arguments = _paths(snakemake.input) | _paths(snakemake.output) | dict(snakemake.params.items())
    resources = dict(snakemake.resources.items()) | {"threads": snakemake.threads}
    resources["gpu"] = gpus_of(resources)
    offered = resources | {"resources": resources}
    wanted = inspect.signature(main).parameters
    arguments |= {name: value for name, value in offered.items() if name in wanted}
    try:
        main(**arguments)
        if log and (share := known_share()) is not None:
            add_to_record(job_record(log), {"known_before": share})
    except InputError as error:
        logging.error("%s", error)
        sys.exit(1)
    except Exception:
        logging.exception("%s failed", snakemake.rule)
        sys.exit(1)


def job_record(log: Path) -> Path:
    """Return where the record of the job with this log stands: beside the log.

    >>> job_record(Path("logs/train/mtl/seed-1.log")).name
    'seed-1.job.json'
    """
    return log.with_suffix(".job.json")


def record_job(path: Path, snakemake: Any) -> None:
    """Write what a job was given and what it runs in, for those who trace a number back to it.

    Snakemake's own metadata name the rule and the files of a job, but not its code, its packages
    or the names of its params. A rule that asks for no GPU is not asked how many it sees. A record
    that cannot be stored is a warning: it must not end a training.
    """
    gpus = gpus_of(dict(snakemake.resources.items()))
    record = {
        "rule": snakemake.rule,
        "wildcards": dict(snakemake.wildcards.items()),
        "params": dict(snakemake.params.items()),
        "threads": snakemake.threads,
        "gpus": min(gpus, visible_gpus()) if gpus else 0,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
        **describe_environment(),
    }
    _store(path, record)


def add_to_record(path: Path, found: Mapping[str, Any]) -> None:
    """Add what a job says of itself at its end to its record."""
    if path.exists():
        _store(path, json.loads(path.read_text()) | found)


def _store(path: Path, record: Mapping[str, Any]) -> None:
    try:
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(record, indent=1, default=str) + "\n")
    except OSError as error:
        logging.warning("%s cannot be stored (%s)", path, error.strerror)


def listed(files: Path | Sequence[Path]) -> list[Path]:
    """Return a rule's files as a list: of one alone, Snakemake gives no list.

    >>> listed(Path("a.parquet"))
    [PosixPath('a.parquet')]
    """
    return [files] if isinstance(files, Path) else list(files)


def _paths(files: Any) -> dict[str, Path | list[Path]]:
    """Turn Snakemake's named file lists into Path or list[Path] by name."""
    return {
        name: Path(value) if isinstance(value, str) else [Path(item) for item in value]
        for name, value in files.items()
    }
