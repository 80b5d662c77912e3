"""Starting a training through torchrun, following it, and saying why it failed."""

import json
import logging
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, Any

from reset_tuning.errors import InputError
from reset_tuning.training.settings import TrainingJob, batch_geometry, read_settings, write_job

logger = logging.getLogger(__name__)

WORKER = Path(__file__).resolve().parents[2] / "train_model.py"
FAILURE = "failure.txt"  # the sentence that a rank leaves about bad input
REPORT = "report.json"  # what rank 0 says of a finished training

# Torchrun must hand these on: a signal that it does not handle kills it and orphans its ranks.
FORWARDED_SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1")
_SHUTDOWN_SECONDS = 600  # what the state of a 7B model may take to reach the disk
_NOISE_LINES = 20
_GPU_NODES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


def launch(job: TrainingJob, cpu_ranks: int) -> dict[str, Any]:
    """Train on all GPUs that the job sees, or on `cpu_ranks` processes, and return the report.

    Raises InputError for settings or rows that cannot be trained on, and when a rank dies.
    """
    gpus = visible_gpus()
    ranks = gpus or cpu_ranks
    batch_geometry(read_settings(Path(job.settings)).training, ranks)  # fails before torch loads
    environment = build_environment(
        os.environ, base=job.base, threads=job.threads, ranks=ranks, gpus=gpus
    )
    output, started = Path(job.output), time.monotonic()
    run_training(build_command(ranks, write_job(job)), environment, output)
    report = json.loads((output / REPORT).read_text())
    return report | {"wall_seconds": round(time.monotonic() - started, 3)}


def visible_gpus() -> int:
    """Return the number of GPUs that the job sees, asking torch only where a driver is present.

    Importing torch takes seconds, which a machine without a GPU need not spend.
    """
    if not any(Path(node).exists() for node in _GPU_NODES):
        return 0
    import torch

    return torch.cuda.device_count()


def build_command(ranks: int, job: Path) -> list[str]:
    """Return the torchrun command of one training on one node.

    The same launcher serves one CPU rank and eight GPUs; torchrun chooses a free port. The worker
    gets a file in place of options: torchrun would take `--run` for a short form of its own.
    """
    return [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        f"--nproc-per-node={ranks}",
        f"--signals-to-handle={','.join(FORWARDED_SIGNALS)}",
        f"--shutdown-timeout={_SHUTDOWN_SECONDS}",
        str(WORKER),
        str(job),
    ]


def build_environment(
    inherited: Mapping[str, str], *, base: str, threads: int, ranks: int, gpus: int
) -> dict[str, str]:
    """Return the environment of a training: threads per rank, offline for a local base, quiet."""
    per_rank = str(max(1, threads // ranks))
    environment = dict(inherited) | {
        "OMP_NUM_THREADS": per_rank,
        "MKL_NUM_THREADS": per_rank,
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONWARNINGS": "ignore::FutureWarning",  # thousands of lines from inside DeepSpeed
        "TORCHDYNAMO_DISABLE": "1",  # nothing is compiled; DeepSpeed would import all of inductor
        "PYTHONUNBUFFERED": "1",
    }
    if not gpus:
        environment["DS_ACCELERATOR"] = "cpu"
    if Path(base).is_dir():
        environment["HF_HUB_OFFLINE"] = "1"
    return environment


def run_training(command: Sequence[str], environment: Mapping[str, str], output: Path) -> None:
    """Run the command and log what its ranks print, line by line.

    Raises InputError with the rank's own sentence when the input was bad, and with the exit status
    otherwise, after the end of torchrun's report when no rank has said what went wrong.
    """
    logger.info("%s", shlex.join(command))
    with tempfile.TemporaryFile("w+", errors="replace") as noise:
        with _started(command, environment, noise) as process:
            explained = _log_lines(process.stdout)
        if process.returncode == 0:
            return
        if (output / FAILURE).exists():
            raise InputError((output / FAILURE).read_text())
        if not explained:
            noise.seek(0)
            logger.error("%s", _summary(noise.readlines()))
    raise InputError(
        f"the training ended with exit status {process.returncode}; the lines above tell why"
    )


def _summary(noise: list[str]) -> str:
    """Return torchrun's table of dead ranks, or the end of what it said when there is none."""
    table = next((n for n, line in enumerate(noise) if line.startswith("=====")), None)
    return "".join(noise[-_NOISE_LINES:] if table is None else noise[table:])


@contextmanager
def _started(
    command: Sequence[str], environment: Mapping[str, str], noise: IO[str]
) -> Iterator[subprocess.Popen[str]]:
    """Run a child to its end, handing on the signals that this process gets meanwhile.

    The child has a session of its own, so that Ctrl-C reaches it once and not twice.
    """
    process = subprocess.Popen(
        command,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=noise,
        text=True,
        errors="replace",
        start_new_session=True,
    )

    def forward(number: int, _: FrameType | None) -> None:
        logger.warning("%s is handed on to the training", signal.Signals(number).name)
        process.send_signal(number)

    numbers = [getattr(signal, name) for name in FORWARDED_SIGNALS]
    previous = {number: signal.signal(number, forward) for number in numbers}
    try:
        yield process
        process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
        for number, handler in previous.items():
            signal.signal(number, handler)


def _log_lines(stream: IO[str] | None) -> bool:
    """Log every line of the ranks and return whether a traceback was among them."""
    traceback_seen = False
    for line in stream or ():
        text = line.rstrip()
        if text:
            logger.info("%s", text)
        traceback_seen = traceback_seen or text.startswith("Traceback")
    return traceback_seen
