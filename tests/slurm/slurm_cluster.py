"""The cluster that the tests bring up, and clones of the workflow that run on it."""

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from helpers import ROOT, copy_tree

HERE = Path(__file__).parent
OVERLAYS = ("config/mini.yaml", "tests/e2e/tiny.yaml", "tests/slurm/tiny.yaml")
_PORTS = 10
# No test asks how fast this machine is: the limits only end what hangs.
_PATIENCE = 600
# What a cluster's people would wait for is waited for in seconds here.
_SHORT = (
    *("--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "10"),
    *("--max-jobs-per-timespan", "100/1s"),
)


def why_no_cluster() -> str | None:
    """Return what this machine lacks for a SLURM cluster; None when it has everything."""
    for program in ("slurmctld", "slurmd", "munged", "sbatch"):
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
            return f"{program} is not installed (Debian: slurm-wlm and munge)"
    if os.geteuid() != 0:
        return "only root can start the daemons of a cluster and make devices"
    return None


def wait_until(holds: Callable[[], object], what: str) -> object:
    """Poll until something holds and return it; fail with `what` when it never does."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if found := holds():
            return found
        time.sleep(0.2)
    raise AssertionError(f"waited {_PATIENCE} s in vain: {what}")


class Cluster:
    """A running cluster below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        python = Path(sys.executable).parent
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SLURM_")},
            "PATH": f"{folder / 'bin'}:{python}:{os.environ['PATH']}",
            "SLURM_CONF": str(folder / "slurm.conf"),
            "HF_HUB_OFFLINE": "1",
        }

    def run(self, *command: str) -> str:
        """Run a command of SLURM and return what it prints."""
        done = subprocess.run(
            command,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=True,
        )
        return done.stdout.strip()

    def queue(self, *filters: str) -> list[str]:
        """Return the numbers of the queued and running jobs."""
        return self.run("squeue", "--noheader", "--format=%i", *filters).split()

    def jobs(self) -> list[dict[str, str]]:
        """Return all jobs that SLURM remembers, also ended ones, in the order of their numbers."""
        shown = self.run("scontrol", "show", "job", "--details", "--oneliner")
        lines = [line for line in shown.splitlines() if line.startswith("JobId=")]
        return sorted(map(_fields, lines), key=lambda job: int(job["JobId"]))

    def job(self, number: str) -> dict[str, str]:
        return next(job for job in self.jobs() if job["JobId"] == number)

    def wait_for(self, number: str, state: str) -> None:
        """Wait for a state of a job; fail with all that SLURM knows of it when it never comes."""
        try:
            wait_until(lambda: self.job(number)["JobState"] == state, f"job {number} is {state}")
        except AssertionError as error:
            for log in sorted((self.folder / "log").glob("slurm*.log")):
                error.add_note(f"{log.name}:\n{log.read_text()[-2000:]}")
            error.add_note(f"{self.job(number)}\n{self.run('sinfo', '--Node', '--long')}")
            raise

    def jobs_of(self, folder: Path, rule: str) -> list[dict[str, str]]:
        """Return the jobs of a rule that were submitted from a folder."""
        return [
            job
            for job in self.jobs()
            if job["WorkDir"] == str(folder)
            and re.match(rf"rule_{rule}(_|$)", job.get("Comment", ""))
        ]

    def state_of(self, node: str) -> str:
        """Return the state of a node, as `idle` or `down*`."""
        return self.run("sinfo", "--noheader", f"--nodes={node}", "--format=%t")

    def clear(self) -> None:
        """Cancel what is left of a test, and mend the nodes."""
        if numbers := self.queue():
            self.run("scancel", *numbers)
        wait_until(lambda: not self.queue(), "the queue runs empty")


def _fields(line: str) -> dict[str, str]:
    """Split a line of `scontrol show --oneliner`, whose values may hold blanks and equal signs."""
    parts = re.split(r" +(?=[A-Z][A-Za-z:/_]*=)", line.strip())
    return dict(part.split("=", 1) for part in parts if "=" in part)


def free_port() -> int:
    """Return the first of ten neighbouring ports that nobody uses."""
    while True:
        first = random.randrange(20_000, 32_000, _PORTS)
        try:
            for port in range(first, first + _PORTS):
                with socket.socket() as tried:
                    tried.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Bring a cluster up for a block, in a folder whose name is short enough for its sockets."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    try:
        subprocess.run([HERE / "up.sh", folder, str(free_port())], check=True, timeout=_PATIENCE)
        yield Cluster(folder)
    finally:
        subprocess.run([HERE / "down.sh", folder], check=True, timeout=_PATIENCE)


class Clone:
    """A copy of the workflow that runs on a cluster, with the tests' small miniature."""

    def __init__(self, folder: Path, cluster: Cluster, *overlays: str) -> None:
        self.folder = folder
        self.cluster = cluster
        self.results = folder / "results" / "mini"
        self.environment: dict[str, str] = {}
        self.runs: list[Run] = []
        self.overlays = (*OVERLAYS, *overlays)

    @classmethod
    def fresh(cls, folder: Path, cluster: Cluster) -> "Clone":
        """Copy the workflow into an empty folder."""
        copy_tree(folder)
        for name in OVERLAYS[1:]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
        return cls(folder, cluster)

    def copy(self, folder: Path) -> "Clone":
        """Copy this clone with all it has made, so that Snakemake sees it as it is."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Clone(folder, self.cluster, *self.overlays[len(OVERLAYS) :])

    def with_overlay(self, overlay: Path) -> "Clone":
        """Return the same clone under one more configuration file."""
        other = Clone(self.folder, self.cluster, *self.overlays[len(OVERLAYS) :], str(overlay))
        other.runs = self.runs
        return other

    def start(self, *arguments: str, profile: str = "slurm", **environment: str) -> "Run":
        """Start snakemake as a user would."""
        options = ("--profile", profile) if profile else ("--cores", "2")
        command = [
            *(sys.executable, "-m", "snakemake", *arguments, *options),
            *(_SHORT if profile == "slurm" else ()),
            *("--configfile", *self.overlays),
        ]
        run = Run(self, command, self.cluster.environment | self.environment | environment)
        self.runs.append(run)
        return run

    def stop(self) -> None:
        """End what a failed test has left running: it would submit again what is cancelled."""
        for run in self.runs:
            run.process.kill()
            run.process.wait()

    def snakemake(self, *arguments: str, **options: str) -> "Run":
        """Run snakemake to its end."""
        run = self.start(*arguments, **options)
        run.wait()
        return run

    def log_of(self, rule_and_tail: str) -> str:
        """Return the log of a rule's job as far as it is written."""
        path = self.results / "logs" / f"{rule_and_tail}.log"
        return path.read_text() if path.exists() else ""


class Run:
    """One run of snakemake; `output` is what it has printed."""

    def __init__(self, clone: Clone, command: list[str], environment: dict[str, str]) -> None:
        self._path = clone.folder / f"run-{time.time_ns()}.txt"
        with self._path.open("w") as stream:
            self.process = subprocess.Popen(
                command,
                cwd=clone.folder,
                env=environment,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # Background jobs of a shell without a terminal ignore SIGINT, and so would it.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    @property
    def output(self) -> str:
        return self._path.read_text()

    def wait(self) -> int:
        """Wait for the end and return the exit status; interrupt a run that never ends."""
        try:
            return self.process.wait(2 * _PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)
            raise AssertionError(f"it does not end:\n{self.output[-6000:]}") from None

    @property
    def status(self) -> int | None:
        return self.process.poll()

    def succeeded(self) -> "Run":
        assert self.status == 0, self.output[-8000:]
        return self


def ranks(clone: Clone) -> list[psutil.Process]:
    """Return the processes that train in a clone."""
    program = f"{clone.folder}/scripts/train_model.py"
    found = [(one, one.info["cmdline"] or []) for one in psutil.process_iter(["cmdline"])]
    return [one for one, line in found if program in line and "torch.distributed.run" not in line]
