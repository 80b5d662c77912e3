"""The command of a training, its environment, its log and its failures."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from reset_tuning.errors import InputError
from reset_tuning.training import launch, worker
from reset_tuning.training.distributed import ModelShape, deepspeed_config
from reset_tuning.training.failures import told
from reset_tuning.training.settings import Launch, TrainingJob, parse_job
from reset_tuning.training.state import REPORT

ZERO3 = Path("resources/deepspeed/zero3.json")


JOB = TrainingJob(
    settings="results/x/runs/mtl.json",
    train="train.parquet",
    validation="validation.parquet",
    base="results/x/base",
    run="mtl",
    seed=3,
    output="results/x/checkpoints/mtl/seed-3/trainer",
    launch=Launch(4, 8, gradient_checkpointing=True, threads=64),
)


@pytest.mark.parametrize("ranks", [1, 2, 8])
def test_command_starts_one_process_per_rank(ranks: int) -> None:
    command = launch.build_command(ranks, JOB)
    assert command[:4] == [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    assert f"--nproc-per-node={ranks}" in command
    assert "--signals-to-handle=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1" in command
    assert "--shutdown-timeout=600" in command
    script = command.index(str(launch.WORKER))
    assert launch.WORKER.is_file()
    assert command[script + 1 : script + 3] == ["--config", "results/x/runs/mtl.json"]


def test_several_nodes_start_one_torchrun_each_and_meet_at_the_first() -> None:
    meeting = launch.Rendezvous(nodes=4, job_id="17", first_node="gpu03")
    command = launch.build_command(8, JOB, meeting)
    assert command[:4] == ["srun", "--nodes=4", "--ntasks=4", "--ntasks-per-node=1"]
    assert command[4:6] == ["--cpus-per-task=64", "--kill-on-bad-exit=1"]
    assert command[6:9] == [sys.executable, "-m", "torch.distributed.run"]
    assert "--standalone" not in command
    for option in ("--nnodes=4", "--rdzv-id=17", "--rdzv-endpoint=gpu03:20017"):
        assert option in command
    assert "--nproc-per-node=8" in command


def test_torchrun_hands_every_option_on() -> None:
    """It takes what is short for an option of its own, also behind the script's name."""
    from torch.distributed.run import parse_args

    parsed = parse_args(launch.build_command(8, JOB)[3:])
    assert parsed.training_script == str(launch.WORKER)
    assert parse_job(parsed.training_script_args) == JOB


def test_the_nodes_are_asked_of_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = {
        "squeue": "echo 'gpu[03-04]'",
        "scontrol": "[ $2 = hostnames ] && printf 'gpu03\\ngpu04\\n' ||"
        ' echo "NodeName=$4 Arch=x NodeAddr=10.0.0.3 "',
    }
    for name, body in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    job = {"SLURM_JOB_ID": "17"}
    assert launch.rendezvous(2, job) == launch.Rendezvous(2, "17", "10.0.0.3")
    assert launch.rendezvous(1, {}) is None
    with pytest.raises(InputError, match="holds 2 nodes"):
        launch.rendezvous(3, job)
    with pytest.raises(InputError, match="needs a SLURM job"):
        launch.rendezvous(2, {})
    (tmp_path / "squeue").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(InputError, match="SLURM does not say which nodes"):
        launch.rendezvous(2, job)


def test_environment_is_quiet_and_offline_only_for_local_bases(tmp_path: Path) -> None:
    local = launch.training_variables(base=str(tmp_path), threads=4, ranks=2, gpus=0)
    assert local["OMP_NUM_THREADS"] == "2"
    assert local["HF_HUB_OFFLINE"] == "1"
    assert local["DS_ACCELERATOR"] == "cpu"
    hub = launch.training_variables(base="org/model", threads=1, ranks=8, gpus=8)
    assert hub["OMP_NUM_THREADS"] == "1"
    assert not {"HF_HUB_OFFLINE", "DS_ACCELERATOR"} & hub.keys()


def test_a_node_without_the_gpus_of_the_first_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "visible_gpus", lambda: 7)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    monkeypatch.delenv("DS_ACCELERATOR", raising=False)
    worker.check_gpus(nodes=1)  # the first node, which the launcher has looked at
    with pytest.raises(InputError, match="sees 7 of the 8 GPUs"):
        worker.check_gpus(nodes=2)
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    worker.check_gpus(nodes=2)


def test_a_tracker_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    launch.check_tracker("none")
    monkeypatch.setattr(launch.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="report_to is mlflow, but no mlflow is installed"):
        launch.check_tracker("mlflow")
    monkeypatch.setattr(launch.importlib.util, "find_spec", lambda name: name == "tensorboardX")
    launch.check_tracker("tensorboard")


def test_a_training_goes_on_in_its_own_run_of_a_tracker() -> None:
    job = replace(JOB, launch=replace(JOB.launch, report_to="wandb"))
    first = launch.tracker_variables(job, {"seed": 1, "run": "mtl"})
    assert first == launch.tracker_variables(job, {"run": "mtl", "seed": 1})
    assert first["WANDB_RESUME"] == "allow"
    others = [
        launch.tracker_variables(job, {"seed": 2, "run": "mtl"}),
        launch.tracker_variables(replace(job, output="elsewhere"), {"seed": 1, "run": "mtl"}),
    ]
    assert len({one["WANDB_RUN_ID"] for one in (first, *others)}) == 3
    assert launch.tracker_variables(JOB, {"seed": 1}) == {}


@pytest.mark.parametrize("own", [None, "mine"])
def test_the_run_of_a_tracker_that_a_user_chose_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str | None
) -> None:
    output, seen = tmp_path / "trainer", {}
    job = replace(JOB, output=str(output), launch=replace(JOB.launch, report_to="wandb"))
    for variable in ("WANDB_RUN_ID", "WANDB_RESUME"):
        monkeypatch.delenv(variable, raising=False)
    if own is not None:
        monkeypatch.setenv("WANDB_RUN_ID", own)

    def finish(_: object, environment: dict[str, str]) -> None:
        seen.update(environment)
        (output / REPORT).write_text("{}")

    for name in ("read_settings", "batch_geometry", "check_tracker"):
        monkeypatch.setattr(launch, name, MagicMock())
    monkeypatch.setattr(launch, "run_training", finish)
    launch.launch(job, launch.LaunchCommand((), {}, 1), {"seed": 1})
    expected = own or launch.tracker_variables(job, {"seed": 1})["WANDB_RUN_ID"]
    assert (seen["WANDB_RUN_ID"], seen["WANDB_RESUME"]) == (expected, "allow")


def test_launching_imports_no_torch() -> None:
    code = "import sys, launch_training; sys.exit('torch' in sys.modules)"
    scripts = Path(launch.WORKER).parent
    assert subprocess.run([sys.executable, "-c", code], cwd=scripts).returncode == 0


def run(code: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(launch.WORKER.parent)}
    launch.run_training([sys.executable, "-c", code], environment)


def test_lines_of_the_ranks_reach_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="reset_tuning"):
        run("import sys; print('step 1 of 2'); print('noise', file=sys.stderr)")
    messages = [record.message for record in caplog.records]
    assert messages[-1] == "step 1 of 2"
    assert "noise" not in messages


def test_the_sentence_of_a_rank_is_the_error() -> None:
    tell = "from reset_tuning.training.failures import tell; tell('a row is\\ntoo long')"
    with pytest.raises(InputError, match="^a row is\ntoo long$"):
        run(f"import sys; {tell}; sys.exit(1)")


def test_ranks_that_fail_together_are_understood() -> None:
    mark = "\x1efailure "
    assert told(f'{mark}"out of memory"{mark}"out of memory"') == "out of memory"
    assert told(f'step 3{mark}"out of memory"') == "out of memory"
    assert told(f'{mark}"out of {mark}') is None
    assert told("step 3 of 4") is None
    tell = "from reset_tuning.training.failures import tell; tell('x' * 500)"
    code = f"import os; os.fork(); os.fork(); {tell}; os._exit(1)"
    for _ in range(5):
        with pytest.raises(InputError, match="^x{500}$"):
            run(code)


def test_torchrun_speaks_only_when_no_rank_did(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InputError, match="exit status 3"):
        run("import sys; print('stack\\n=====\\nkilled', file=sys.stderr); sys.exit(3)")
    assert "killed" in caplog.text
    assert "stack" not in caplog.records[-1].message
    caplog.clear()
    explained = "print('Traceback of the rank', flush=True)"
    with pytest.raises(InputError, match="exit status 3"):
        run(f"import sys; {explained}; print('echo', file=sys.stderr); sys.exit(3)")
    assert "echo" not in caplog.text


def signal_this_job(*numbers: int, once: Callable[[], bool] = lambda: True) -> threading.Thread:
    """Send signals to this process as soon as it hands them on and something holds."""
    before = {number: signal.getsignal(number) for number in numbers}

    def wait_and_send() -> None:
        while not once() or any(signal.getsignal(one) == before[one] for one in numbers):
            time.sleep(0.05)
        for number in numbers:
            os.kill(os.getpid(), number)
            time.sleep(0.3)  # equal signals that come at once are one

    thread = threading.Thread(target=wait_and_send)
    thread.start()
    return thread


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_signal_reaches_the_ranks_and_not_torchrun(tmp_path: Path, number: int) -> None:
    """Torchrun would not survive the second of two signals, and a cluster sends the first."""
    ready = tmp_path / "ready"
    rank = (
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGUSR1, lambda *_: sys.exit(75))\n"
        f"pathlib.Path({str(ready)!r}).touch()\n"
        "time.sleep(300)"
    )
    command = [sys.executable, "-c", rank, str(launch.WORKER)]
    torchrun = f"import subprocess, sys; sys.exit(subprocess.run({command}).returncode)"
    before = signal.getsignal(number)
    signal_this_job(number, once=ready.exists)
    with pytest.raises(InputError, match="exit status 75"):
        run(torchrun)
    assert signal.getsignal(number) == before


def test_srun_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It hands every signal on to the torchrun of each node."""
    srun, ready, all_sent = (tmp_path / name for name in ("srun", "ready", "all_sent"))
    srun.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, signal, time\n"
        "told = []\n"
        "signal.signal(signal.SIGUSR1, lambda *_: told.append(1))\n"
        f"pathlib.Path({str(ready)!r}).touch()\n"
        f"while not pathlib.Path({str(all_sent)!r}).exists():\n"
        "    time.sleep(0.05)\n"
        "print('told', len(told))\n"
    )
    srun.chmod(0o755)
    sending = signal_this_job(signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR1, once=ready.exists)
    threading.Thread(target=lambda: (sending.join(), all_sent.touch())).start()
    with caplog.at_level("INFO", logger="reset_tuning"):
        launch.run_training([str(srun)], os.environ)
    assert "told 1" in caplog.messages
    assert caplog.text.count("is handed on to the training") == 3


def test_a_signal_before_there_are_ranks_ends_torchrun() -> None:
    signal_this_job(signal.SIGUSR1)
    with pytest.raises(InputError, match="exit status -15"):
        run("import time; time.sleep(300)")


def test_large_models_keep_the_values_of_the_file() -> None:
    shape = ModelShape(6_738_415_616, ("LlamaDecoderLayer",))
    config = deepspeed_config(ZERO3, shape=shape, on_gpu=True)
    assert config == json.loads((launch.WORKER.parents[1] / ZERO3).read_text())
    assert config["zero_optimization"]["stage"] == 3


def test_small_models_stay_whole_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    shape = ModelShape(641_280, ("LlamaDecoderLayer",))
    zero = deepspeed_config(ZERO3, shape=shape, on_gpu=False)["zero_optimization"]
    assert zero["stage3_param_persistence_threshold"] == 641_280
    assert zero["leaf_module"] == {"classes": ["LlamaDecoderLayer"]}
    assert zero["overlap_comm"] is False
    own = tmp_path / "own.json"
    own.write_text('{"zero_optimization": {"stage": 3, "reduce_bucket_size": 7}}')
    zero = deepspeed_config(own, shape=shape, on_gpu=True)["zero_optimization"]
    assert zero["reduce_bucket_size"] == 7


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist"),
        ("{", "not valid JSON"),
        ('{"zero_optimization": {"stage": 2}}', "stage to 3"),
    ],
)
def test_a_bad_deepspeed_file_is_named(tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / "zero.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=words):
        deepspeed_config(path, shape=ModelShape(1, ()), on_gpu=False)
