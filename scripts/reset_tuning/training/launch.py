"""Starting a training through torchrun, following it, and saying why it failed."""

import hashlib
import importlib.util
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
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any

import psutil

from reset_tuning.environment import visible_gpus
from reset_tuning.errors import InputError
from reset_tuning.training.failures import told
from reset_tuning.training.provenance import describe_start
from reset_tuning.training.settings import (
    STOP_AT,
    TrainingJob,
    batch_geometry,
    job_options,
    read_settings,
)
from reset_tuning.training.state import REPORT, is_finished, open_directory, record_start

logger = logging.getLogger(__name__)

WORKER = Path(__file__).resolve().parents[2] / "train_model.py"

# Torchrun must hand these on: a signal that it does not handle kills it and orphans its ranks.
FORWARDED_SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1")
_SHUTDOWN_SECONDS = 600  # what the state of a 7B model may take to reach the disk
_NOISE_LINES = 20
_FIRST_PORT, _PORTS = 20_000, 10_000  # of the first node, where several nodes meet
# What must be installed for a tracker; one of the packages is enough.
_TRACKERS = {
    "tensorboard": ("tensorboard", "tensorboardX"),
    "wandb": ("wandb",),
    "mlflow": ("mlflow",),
}
# Freed tensors stay with the process, in large pages: else every step has the kernel clear them
# again, a tenth of a small model's time.
_MALLOC = ":".join(
    f"glibc.malloc.{setting}"
    for setting in ("hugetlb=1", "mmap_threshold=2000000000", "trim_threshold=2000000000")
)
_SHARE_OF_RUNTIME = 0.95  # of the job's time limit; the rest is for writing the state


@dataclass(frozen=True)
class LaunchCommand:
    """The command that starts all `ranks` of a training, and its environment variables."""

    words: Sequence[str]
    variables: Mapping[str, str]
    ranks: int

    def __str__(self) -> str:
        """Return it ready to paste into a shell."""
        return shlex.join(["env", *(f"{k}={v}" for k, v in self.variables.items()), *self.words])


def launch_command(job: TrainingJob) -> LaunchCommand:
    """Return what starts a training on all GPUs that the job sees, or on its `cpu_ranks`.

    Raises InputError when there is neither.
    """
    gpus = visible_gpus()
    nodes, ranks_per_node = job.launch.nodes, gpus or job.launch.cpu_ranks
    if not ranks_per_node:
        raise InputError(
            f"the training of {job.run} has nothing to run on, no GPU is seen and launch.cpu_ranks "
            "is 0: give its job a GPU, or set launch.cpu_ranks for a CPU run"
        )
    variables = training_variables(
        base=job.base, threads=job.launch.threads, ranks=ranks_per_node, gpus=gpus
    )
    if job.launch.report_to == "tensorboard":
        variables["TENSORBOARD_LOGGING_DIR"] = str(Path(job.output).with_name("tensorboard"))
    words = build_command(ranks_per_node, job, rendezvous(nodes, os.environ))
    return LaunchCommand(words, variables, nodes * ranks_per_node)


def launch(job: TrainingJob, command: LaunchCommand, identity: Mapping[str, Any]) -> dict[str, Any]:
    """Train to the end and return the report.

    `identity` is all that decides what is learnt: a state in the job's directory that was written
    under another one is set aside. A training that had already ended is not started again. Raises
    InputError for settings or rows that cannot be trained on, when a rank dies, and after a stop.
    """
    started, output = time.time(), Path(job.output)
    settings = read_settings(Path(job.settings))
    batch_geometry(settings.training, job.launch.micro_batch_size, command.ranks)
    check_tracker(job.launch.report_to)
    open_directory(output, identity, command.ranks)
    if is_finished(output):
        logger.info("this training had already ended; only its files are put in place")
        return json.loads((output / REPORT).read_text())
    record_start(output, describe_start(job.launch.nodes))
    tracked = tracker_variables(job, identity)
    environment = {**tracked, **os.environ, **command.variables}
    if job.launch.runtime:
        environment[STOP_AT] = str(started + _SHARE_OF_RUNTIME * 60 * job.launch.runtime)
    run_training(command.words, environment)
    return json.loads((output / REPORT).read_text())


def check_tracker(name: str) -> None:
    """Raise InputError when the package of an experiment tracker is not installed."""
    packages = _TRACKERS.get(name, ())
    if packages and not any(importlib.util.find_spec(package) for package in packages):
        raise InputError(
            f"launch.report_to is {name}, but no {' or '.join(packages)} is installed: install it, "
            "or set launch.report_to to none"
        )


def tracker_variables(job: TrainingJob, identity: Mapping[str, Any]) -> dict[str, str]:
    """Return what lets every job of one training go on in one run of its tracker."""
    if job.launch.report_to != "wandb":
        return {}
    training = json.dumps([str(Path(job.output).resolve()), identity], sort_keys=True)
    run = hashlib.sha256(training.encode()).hexdigest()[:16]
    return {"WANDB_RUN_ID": run, "WANDB_RESUME": "allow"}


@dataclass(frozen=True)
class Rendezvous:
    """Where the nodes of one SLURM job meet: at the address of the first."""

    nodes: int
    job_id: str
    first_node: str

    @property
    def port(self) -> int:
        """A port that jobs of one node, one after another, do not share."""
        return _FIRST_PORT + int(self.job_id) % _PORTS


def rendezvous(nodes: int, environment: Mapping[str, str]) -> Rendezvous | None:
    """Return where the nodes meet, or None for a single one.

    SLURM itself is asked for the nodes: Snakemake's job step hides its variables. Raises InputError
    outside of a SLURM job, or in one that holds another number of nodes.
    """
    if nodes == 1:
        return None
    job_id = environment.get("SLURM_JOB_ID")
    if job_id is None:
        raise InputError(
            f"a training on {nodes} nodes needs a SLURM job that holds them: set "
            f"RESET_TRAINING_NODES={nodes} and use the profile slurm"
        )
    names = _ask("squeue", "--noheader", f"--jobs={job_id}", "--format=%N")
    hosts = _ask("scontrol", "show", "hostnames", names).split()
    if len(hosts) != nodes:
        raise InputError(f"the job holds {len(hosts)} nodes ({names}), but train asks for {nodes}")
    described = _ask("scontrol", "--oneliner", "show", "node", hosts[0])
    fields = dict(field.split("=", 1) for field in described.split() if "=" in field)
    return Rendezvous(nodes, job_id, fields.get("NodeAddr", hosts[0]))


def _ask(*command: str) -> str:
    """Return what a command of SLURM prints."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise InputError(f"SLURM does not say which nodes this job holds: {error}") from error
    return done.stdout.strip()


def build_command(ranks: int, job: TrainingJob, rendezvous: Rendezvous | None = None) -> list[str]:
    """Return the torchrun command of one training with `ranks` processes on every node.

    The same launcher serves one CPU rank and eight GPUs. On one node torchrun chooses a free port;
    on several srun starts one torchrun on each, and they meet at the first.
    """
    torchrun = (sys.executable, "-m", "torch.distributed.run")
    return [
        *(_on_each_node(rendezvous, job.launch.threads) if rendezvous else ()),
        *torchrun,
        *(_meeting(rendezvous) if rendezvous else ("--standalone",)),
        f"--nproc-per-node={ranks}",
        f"--signals-to-handle={','.join(FORWARDED_SIGNALS)}",
        f"--shutdown-timeout={_SHUTDOWN_SECONDS}",
        str(WORKER),
        *job_options(job),
    ]


def _on_each_node(rendezvous: Rendezvous, threads: int) -> tuple[str, ...]:
    """Return the srun that starts one torchrun a node with all that the job holds there."""
    nodes = rendezvous.nodes
    return (
        *("srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"),
        *(f"--cpus-per-task={threads}", "--kill-on-bad-exit=1"),
    )


def _meeting(rendezvous: Rendezvous) -> tuple[str, ...]:
    return (
        f"--nnodes={rendezvous.nodes}",
        "--rdzv-backend=c10d",
        f"--rdzv-id={rendezvous.job_id}",
        f"--rdzv-endpoint={rendezvous.first_node}:{rendezvous.port}",
    )


def training_variables(*, base: str, threads: int, ranks: int, gpus: int) -> dict[str, str]:
    """Return the environment of a training: threads per rank, offline for a local base, quiet."""
    per_rank = str(max(1, threads // ranks))
    variables = {
        "OMP_NUM_THREADS": per_rank,
        "MKL_NUM_THREADS": per_rank,
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONWARNINGS": "ignore::FutureWarning",  # thousands of lines from inside DeepSpeed
        "TORCHDYNAMO_DISABLE": "1",  # nothing is compiled; DeepSpeed would import all of inductor
        "PYTHONUNBUFFERED": "1",
    }
    if not gpus:
        # Without a number of its own DeepSpeed starts numactl in every step to count devices.
        variables |= {"DS_ACCELERATOR": "cpu", "LOCAL_SIZE": str(ranks)}
        variables["GLIBC_TUNABLES"] = os.environ.get("GLIBC_TUNABLES", _MALLOC)
    if Path(base).is_dir():
        variables["HF_HUB_OFFLINE"] = "1"
    return variables


def run_training(
    command: Sequence[str], environment: Mapping[str, str], what: str = "the training"
) -> None:
    """Run the command and log what its ranks print, line by line.

    Raises InputError with the rank's own sentence when the input was bad, and with the exit status
    otherwise, after the end of torchrun's report when no rank has said what went wrong.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as noise:
        with _started(command, environment, noise) as process:
            sentence, traceback_seen = _log_lines(process.stdout)
        if process.returncode == 0:
            return
        if sentence is not None:
            raise InputError(sentence)
        if not traceback_seen:
            noise.seek(0)
            logger.error("%s", _summary(noise.readlines()))
    raise InputError(
        f"{what} ended with exit status {process.returncode}; the lines above tell why "
        "(a rank that was killed by signal 9 had most likely used up the job's memory)"
    )


def _summary(noise: list[str]) -> str:
    """Return torchrun's table of dead ranks, or the end of what it said when there is none."""
    table = next((n for n, line in enumerate(noise) if line.startswith("=====")), None)
    return "".join(noise[-_NOISE_LINES:] if table is None else noise[table:])


@contextmanager
def _started(
    command: Sequence[str],
    environment: Mapping[str, str],
    noise: IO[str],
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

    received: list[int] = []

    def forward(number: int, _: FrameType | None) -> None:
        logger.warning("%s is handed on to the training", signal.Signals(number).name)
        tell_to_stop(process.pid, again=bool(received))
        received.append(number)

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


def tell_to_stop(launcher: int, *, again: bool = False) -> None:
    """Ask the ranks below a torchrun, or srun, to keep their state and stop.

    A cluster signals all processes of a job, and a second signal would kill a torchrun that is
    already waiting for its ranks; so it is left out, and ranks take any number of signals. What
    srun gets reaches every node's torchrun, so it is not asked `again`. Before there are ranks
    nothing is lost, and the launcher itself is ended.
    """
    program = psutil.Process(launcher)
    with suppress(psutil.NoSuchProcess):
        if program.name() == "srun":  # it hands on SIGUSR1, and takes others for itself
            if not again:
                program.send_signal(signal.SIGUSR1)
            return
        ranks = [one for one in program.children(recursive=True) if _is_rank(one)]
        for rank in ranks:
            rank.send_signal(signal.SIGUSR1)
        if not ranks:
            program.terminate()


def _is_rank(process: psutil.Process) -> bool:
    try:
        return str(WORKER) in process.cmdline()
    except psutil.NoSuchProcess:
        return False


def _log_lines(stream: IO[str] | None) -> tuple[str | None, bool]:
    """Log every line of the ranks; return the first rank's sentence, and if there were tracebacks.

    A sentence is the error and not a line of the log: the frame around every script logs it.
    """
    sentence, traceback_seen = None, False
    for line in stream or ():
        text = line.rstrip()
        if (failure := told(text)) is not None:
            sentence = sentence or failure
        elif text:
            logger.info("%s", text)
        traceback_seen = traceback_seen or text.startswith("Traceback")
    return sentence, traceback_seen
