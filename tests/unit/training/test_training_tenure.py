"""Two jobs of one training: the later one takes over, and no step is made twice."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from runs import ranks_of, train, train_until

from reset_tuning.errors import InputError
from reset_tuning.files import sha256_of
from reset_tuning.training import tenure
from reset_tuning.training.launch import WORKER, build_command, run_training
from reset_tuning.training.settings import Launch, TrainingJob
from reset_tuning.training.tenure import is_published, sole_trainer

JOB = TrainingJob("s", "t", "v", "b", "mtl", 1, "out", Launch(1, 1, gradient_checkpointing=False))

_SUCCESSOR = """
import sys
from pathlib import Path
from reset_tuning.training.tenure import sole_trainer
with sole_trainer(Path(sys.argv[1])) as gave_way:
    print(gave_way)
"""


def test_the_holder_is_told_and_gives_way(tmp_path: Path) -> None:
    told = threading.Event()
    with sole_trainer(tmp_path) as gave_way:
        assert not gave_way
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN
        signal.signal(signal.SIGUSR1, lambda *_: told.set())
        successor = subprocess.Popen(
            [sys.executable, "-c", _SUCCESSOR, str(tmp_path)],
            env=os.environ | {"PYTHONPATH": str(WORKER.parent)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert told.wait(300)
        assert successor.poll() is None, "it waits as long as this one holds the training"
    assert successor.communicate(timeout=300)[0].strip() == "True"
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_holder_is_told_once_and_not_before_it_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenure, "_POLL_SECONDS", 0.05)
    told: list[int] = []
    with sole_trainer(tmp_path):
        (tmp_path / "trainer.wanted").touch()
        time.sleep(0.3)
        signal.signal(signal.SIGUSR1, lambda number, _: told.append(number))
        while not told:
            time.sleep(0.05)
        time.sleep(0.3)
    assert told == [signal.SIGUSR1]


_SLOW_RANK = """
import signal, sys, time
from pathlib import Path
def keep(*_):
    if not asked:
        asked.append(time.monotonic())
asked = []
signal.signal(signal.SIGUSR1, keep)
(Path(sys.argv[1]).parent / "trainer.wanted").touch()  # another job asks from now on
while not asked or time.monotonic() < asked[0] + 9:
    time.sleep(0.1)
Path(sys.argv[1]).write_text("kept")
"""
_SRUN = """#!{python}
import signal, subprocess, sys
process = subprocess.Popen(sys.argv[1:])
signal.signal(signal.SIGUSR1, lambda number, _: process.send_signal(number))
sys.exit(process.wait())
"""


def test_a_torchrun_behind_srun_has_time_to_keep_a_large_state(tmp_path: Path) -> None:
    """Srun hands every signal on to torchrun, which does not survive many."""
    rank, srun, state = tmp_path / "rank.py", tmp_path / "srun", tmp_path / "state"
    rank.write_text(_SLOW_RANK)
    srun.write_text(_SRUN.format(python=sys.executable))
    srun.chmod(0o755)
    command = build_command(1, JOB)
    torchrun = command[: command.index(str(WORKER))]
    with sole_trainer(tmp_path), suppress(InputError):
        run_training([str(srun), *torchrun, str(rank), str(state)], os.environ)
    assert state.read_text() == "kept"


def test_what_was_put_in_place_meanwhile_is_recognised(tmp_path: Path) -> None:
    provenance = tmp_path / "provenance.json"
    identity = {"run": "toy", "inputs": {"a": "1"}}
    assert not is_published(provenance, identity)
    provenance.write_text('{"run": "toy", "inputs": {"a": "1"}, "python": "3"}')
    assert is_published(provenance, identity)
    assert not is_published(provenance, identity | {"run": "other"})
    provenance.write_text("{")
    assert not is_published(provenance, identity)


def hold_until_told(ranks: list[psutil.Process]) -> None:
    """Stop the ranks, lest they end too soon, until another job has asked them to give way."""
    for rank in ranks:
        rank.suspend()
    told, deadline = 1 << (signal.SIGUSR1 - 1), time.monotonic() + 300
    try:
        while any(not pending_signals(rank.pid) & told for rank in ranks):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        for rank in ranks:
            rank.resume()


def pending_signals(pid: int) -> int:
    """Return the mask of the signals that wait for a process (proc(5): ShdPnd)."""
    status = Path(f"/proc/{pid}/status").read_text()
    (mask,) = [line.split()[1] for line in status.splitlines() if line.startswith("ShdPnd:")]
    return int(mask, 16)


@pytest.mark.slow
def test_a_second_job_goes_on_from_the_state_of_the_first(world: Path, tmp_path: Path) -> None:
    target = tmp_path / "seed-1"
    slow = {"resume_minutes": 0}

    def start_another(process: psutil.Process) -> None:
        """Train in this process while the other still does, and note that it had to end."""
        ranks = ranks_of(process)
        threading.Thread(target=hold_until_told, args=(ranks,), daemon=True).start()
        train(world, target, **slow)

    status, log = train_until(world, target, "step 2: state kept", start_another, **slow)
    assert status == 1
    assert "another job was started for this training" in log
    assert "training was stopped by SIGUSR1" in log
    expected = train(world, tmp_path / "undisturbed")
    for file in ("best/model.safetensors", "last/model.safetensors"):
        assert sha256_of(target / file) == sha256_of(expected / file)
