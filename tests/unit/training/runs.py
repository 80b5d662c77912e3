"""Runs the training script: in this process to its end, or in another that can be interrupted.

The other imports this module, so nothing here imports torch.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

import launch_training
from helpers import ROOT
from reset_tuning.files import sha256_of
from reset_tuning.training.checkpoints import MODEL_FILES

Interrupt = Callable[[psutil.Process], None]
LAUNCH = {"micro_batch_size": 8, "evaluation_batch_size": 16, "gradient_checkpointing": 0}
ALWAYS = {"resume_minutes": 0}  # a state after every step

_RUNNER = """
import json, logging, sys
from pathlib import Path
import launch_training
from runs import arguments
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
world, target, settings, launch = json.loads(sys.argv[1])
launch_training.main(**arguments(Path(world), Path(target), Path(settings), **launch))
"""


def arguments(
    world: Path, target: Path, settings: Path, base_path: str = "", **launch: Any
) -> dict[str, Any]:
    """Return what the rule would pass to the script."""
    weights = {
        f"{checkpoint}_{name}": target / checkpoint / file
        for checkpoint in ("best", "last")
        for name, file in MODEL_FILES.items()
    }
    zero = json.loads(settings.read_text())["training"]["deepspeed"]
    return {
        "settings": settings,
        "train": world / "train.parquet",
        "validation": world / "validation.parquet",
        "base": [world / "base" / "model.safetensors"],
        "history": target / "history.csv",
        "provenance": target / "provenance.json",
        "run": "toy",
        "seed": 1,
        "deepspeed": ROOT / zero if zero else [],
        "base_path": base_path or str(world / "base"),
        "resources": {"gpu": 0, **LAUNCH, **launch},
        **weights,
    }


def train(world: Path, target: Path, settings: Path | None = None, **launch: Any) -> Path:
    """Train to the end and return the folder of the declared files."""
    launch_training.main(**arguments(world, target, settings or world / "run.json", **launch))
    return target


def train_until(
    world: Path,
    target: Path,
    line: str,
    interrupt: Interrupt,
    settings: Path | None = None,
    **launch: Any,
) -> tuple[int, str]:
    """Train in another process, interrupt it when its log has a line; return status and log."""
    described = [str(world), str(target), str(settings or world / "run.json"), launch]
    paths = os.pathsep.join(
        [str(ROOT / "scripts"), str(ROOT / "tests"), str(Path(__file__).parent)]
        + os.environ.get("PYTHONPATH", "").split(os.pathsep)
    )
    process = subprocess.Popen(
        [sys.executable, "-c", _RUNNER, json.dumps(described)],
        env=os.environ | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seen: list[str] = []
    waiting = True
    for text in process.stdout or ():
        seen.append(text)
        if waiting and line in text:
            interrupt(psutil.Process(process.pid))
            waiting = False
    return process.wait(), "".join(seen)


def assert_same(resumed: Path, uninterrupted: Path) -> None:
    """Assert that two trainings left the same bytes and histories and no unfinished files."""
    for file in ("best/model.safetensors", "last/model.safetensors"):
        assert sha256_of(resumed / file) == sha256_of(uninterrupted / file)
    from reset_tuning.tables import read_table

    histories = [read_table(path / "history.csv", "history") for path in (resumed, uninterrupted)]
    first, second = (history.drop(columns="tokens_per_second") for history in histories)
    assert first.equals(second)
    assert not (resumed / "trainer").exists()


def ranks_of(process: psutil.Process) -> list[psutil.Process]:
    """Return the processes of the ranks, oldest first."""
    children = process.children(recursive=True)
    launchers = [child for child in children if "torch.distributed.run" in child.cmdline()]
    ranks = [child for launcher in launchers for child in launcher.children()]
    return sorted(ranks, key=lambda rank: rank.create_time())


def signal_launcher(number: int) -> Interrupt:
    """Return an interruption of the job's own process alone, as Snakemake's or `kill`'s."""
    return lambda process: process.send_signal(number)


def signal_all(number: int) -> Interrupt:
    """Return an interruption of every process of the job, as by a time limit under SLURM."""

    def interrupt(process: psutil.Process) -> None:
        for one in [process, *process.children(recursive=True)]:
            one.send_signal(number)

    return interrupt


def lose_node(process: psutil.Process) -> None:
    """Kill a training with all its processes at once, as a machine that stops does."""
    for one in [process, *process.children(recursive=True)]:
        one.kill()


def lose_node_while_writing(folder: Path, pattern: str, last_file: str) -> Interrupt:
    """Return an interruption that hits the only rank between the files of a directory.

    The rank is stopped again and again until the newest directory of `folder` that fits `pattern`
    (<name>-<step>) holds some files and not yet the one that is written last.
    """

    def is_half_written() -> bool:
        found = sorted(folder.glob(pattern), key=lambda path: int(path.name.split("-")[1]))
        return any(list(one.iterdir()) and not (one / last_file).exists() for one in found[-1:])

    def interrupt(process: psutil.Process) -> None:
        (rank,) = ranks_of(process)
        rank.suspend()
        while not is_half_written():
            rank.resume()
            time.sleep(0.001)
            rank.suspend()
        lose_node(process)

    return interrupt


def after(seconds: float, interrupt: Interrupt) -> Interrupt:
    """Return an interruption that waits first."""

    def wait_and_interrupt(process: psutil.Process) -> None:
        time.sleep(seconds)
        interrupt(process)

    return wait_and_interrupt
