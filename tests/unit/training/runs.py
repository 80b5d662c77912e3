"""Runs the training script: in this process to its end, or in another that can be interrupted."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from training_world import LAUNCH

import launch_training
from helpers import ROOT
from reset_tuning.training.checkpoints import MODEL_FILES

_RUNNER = """
import json, logging, sys
from pathlib import Path
import launch_training
from runs import arguments
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
world, target, settings, launch = json.loads(sys.argv[1])
launch_training.main(**arguments(Path(world), Path(target), Path(settings), **launch))
"""


def arguments(world: Path, target: Path, settings: Path, **launch: Any) -> dict[str, Any]:
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
        "base_path": str(world / "base"),
        **weights,
        **LAUNCH,
        **launch,
    }


def train(world: Path, target: Path, settings: Path | None = None, **launch: Any) -> Path:
    """Train to the end and return the folder of the declared files."""
    launch_training.main(**arguments(world, target, settings or world / "run.json", **launch))
    return target


def train_until(
    world: Path,
    target: Path,
    line: str,
    interrupt: Callable[[psutil.Process], None],
    settings: Path | None = None,
    **launch: Any,
) -> tuple[int, str]:
    """Train in another process, interrupt it when its log has a line; return status and log."""
    described = [str(world), str(target), str(settings or world / "run.json"), launch]
    paths = os.pathsep.join(
        [str(ROOT / "scripts"), str(ROOT / "tests"), str(Path(__file__).parent)]
    )
    process = subprocess.Popen(
        [sys.executable, "-c", _RUNNER, json.dumps(described)],
        env=os.environ | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seen: list[str] = []
    for text in process.stdout or ():
        seen.append(text)
        if line in text and interrupt is not None:
            interrupt(psutil.Process(process.pid))
            interrupt = None
    return process.wait(), "".join(seen)


def ranks_of(process: psutil.Process) -> list[psutil.Process]:
    """Return the processes of the ranks, oldest first."""
    children = process.children(recursive=True)
    launchers = [child for child in children if "torch.distributed.run" in child.cmdline()]
    ranks = [child for launcher in launchers for child in launcher.children()]
    return sorted(ranks, key=lambda rank: rank.create_time())


def lose_node(process: psutil.Process) -> None:
    """Kill a training with all its processes at once, as a machine that stops does."""
    for one in [process, *process.children(recursive=True)]:
        one.kill()


def after(seconds: float, interrupt: Callable[[psutil.Process], None]) -> Callable[..., None]:
    """Return an interruption that waits first."""

    def wait_and_interrupt(process: psutil.Process) -> None:
        time.sleep(seconds)
        interrupt(process)

    return wait_and_interrupt
