"""The frame around every script: arguments, logging and the one way to fail."""

import inspect
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reset_tuning.errors import InputError

_FORMAT = "%(asctime)s %(levelname)s %(message)s"

# What the numerical libraries read at import: a job uses the threads that its rule was given.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


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
    when `main` takes them: they set how fast a job runs, so they must not be params, whose
    changes would rebuild what they cannot change. An InputError is one sentence in the log and
    exit code 1; anything else keeps its traceback.
    """
    configure_logging(Path(snakemake.log[0]) if snakemake.log else None)
    for variable in _THREAD_VARIABLES:
        os.environ[variable] = str(snakemake.threads)
    arguments = _paths(snakemake.input) | _paths(snakemake.output) | dict(snakemake.params.items())
    resources = dict(snakemake.resources.items()) | {"threads": snakemake.threads}
    wanted = inspect.signature(main).parameters
    arguments |= {name: value for name, value in resources.items() if name in wanted}
    try:
        main(**arguments)
    except InputError as error:
        logging.error("%s", error)
        sys.exit(1)
    except Exception:
        logging.exception("%s failed", snakemake.rule)
        sys.exit(1)


def _paths(files: Any) -> dict[str, Path | list[Path]]:
    """Turn Snakemake's named file lists into Path or list[Path] by name."""
    return {
        name: Path(value) if isinstance(value, str) else [Path(item) for item in value]
        for name, value in files.items()
    }
