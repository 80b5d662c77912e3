"""Starting a training through torchrun, following it, and saying why it failed."""

import logging
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO

from reset_tuning.errors import InputError

logger = logging.getLogger(__name__)

WORKER = Path(__file__).resolve().parents[2] / "train_model.py"
FAILURE = "failure.txt"  # the sentence that a rank leaves about bad input

# Torchrun must hand these on: a signal that it does not handle kills it and orphans its ranks.
FORWARDED_SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1")
_SHUTDOWN_SECONDS = 600  # what the state of a 7B model may take to reach the disk
_NOISE_LINES = 60
_GPU_NODES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


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
            spoke = _log_lines(process.stdout)
        if process.returncode == 0:
            return
        if (output / FAILURE).exists():
            raise InputError((output / FAILURE).read_text())
        if not spoke:
            noise.seek(0)
            logger.error("%s", "".join(noise.readlines()[-_NOISE_LINES:]))
    raise InputError(f"training ended with exit status {process.returncode}: its log tells why")


@contextmanager
def _started(
    command: Sequence[str], environment: Mapping[str, str], noise: IO[str]
) -> Iterator[subprocess.Popen[str]]:
    """Run a child, handing on the signals that this process gets while it waits."""
    process = subprocess.Popen(
        command, env=dict(environment), stdout=subprocess.PIPE, stderr=noise, text=True
    )

    def forward(number: int, _: FrameType | None) -> None:
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
    """Log every line of the ranks and return whether the last ones were a traceback."""
    traceback_seen = False
    for line in stream or ():
        text = line.rstrip()
        if text:
            logger.info("%s", text)
        traceback_seen = traceback_seen or text.startswith("Traceback")
    return traceback_seen


def publish(files: Mapping[Path, Path]) -> None:
    """Move finished files to their declared places; both lie on one file system."""
    for source, target in files.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)


@contextmanager
def private_directory(path: Path) -> Iterator[Path]:
    """Yield an empty directory for unfinished files and remove it afterwards."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
