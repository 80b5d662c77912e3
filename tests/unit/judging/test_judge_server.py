"""A server that the job starts: it answers, and it never outlives the job."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from helpers import ROOT
from reset_tuning.errors import InputError
from reset_tuning.judging import local_server, server, supervise
from reset_tuning.judging.query import query_judge
from reset_tuning.judging.server import endpoint_name, judge_endpoint
from reset_tuning.tables import read_table

COMMAND = "{python} -m reset_tuning.mini.judge_server --port {port}"
SPEC = {"kind": "openai", "model": "rule-judge", "server": {"command": COMMAND}}
PROMPT = ROOT / "resources" / "prompts" / "judge_rating.yaml"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "scripts"))


def servers(port: str) -> list[str]:
    """Return the processes that serve on a port."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if port in words:
            found.append(" ".join(words))
    return found


def wait_until_gone(port: str) -> None:
    deadline = time.monotonic() + 180
    while servers(port):
        assert time.monotonic() < deadline, servers(port)
        time.sleep(0.05)


def test_a_command_is_started_asked_and_stopped(
    write_outputs: Callable[..., tuple[Path, list[Path]]], tmp_path: Path
) -> None:
    files = write_outputs([("anything at all", "some answer")])
    target = tmp_path / "raw.parquet"
    prompt = yaml.safe_load(PROMPT.read_text())
    query_judge(*files, target, "local", SPEC, prompt, tmp_path / "records")
    assert read_table(target, "judgment")["model"].tolist() == ["rule-judge"]
    with judge_endpoint(SPEC, "local") as endpoint:
        port = str(endpoint.base_url).split(":")[-1].split("/")[0]
        assert servers(port)
    wait_until_gone(port)


def test_the_server_of_a_killed_job_is_stopped() -> None:
    code = (
        "import sys, time; from reset_tuning.judging.server import judge_endpoint\n"
        f"with judge_endpoint({SPEC!r}, 'local') as endpoint:\n"
        "    print(endpoint.base_url, flush=True); time.sleep(60)"
    )
    job = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert job.stdout is not None
    port = job.stdout.readline().split(":")[-1].split("/")[0]
    assert servers(port)
    os.kill(job.pid, signal.SIGKILL)
    job.wait()
    job.stdout.close()
    wait_until_gone(port)


WITH_A_WORKER = """
import runpy, signal, subprocess, sys

kind = sys.argv.pop(1)
stubborn = "signal.signal(signal.SIGTERM, signal.SIG_IGN); " if kind == "stubborn" else ""
code = f"import signal, time; {stubborn}print(flush=True); time.sleep(60)"
worker = subprocess.Popen([sys.executable, "-c", code, *sys.argv[1:]], stdout=subprocess.PIPE)
worker.stdout.readline()
if kind == "orphan":
    sys.exit("out of memory")
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
runpy.run_module("reset_tuning.mini.judge_server", run_name="__main__")
"""


def served_with_a_worker(tmp_path: Path, worker: str) -> dict:
    """Return a judge whose server has a child of the same port."""
    script = tmp_path / "server.py"
    script.write_text(WITH_A_WORKER)
    return SPEC | {"server": {"command": f"{{python}} {script} {worker} --port {{port}}"}}


@pytest.mark.parametrize("worker", ["meek", "stubborn"])
def test_a_worker_that_outlives_its_server_is_stopped(tmp_path: Path, worker: str) -> None:
    with judge_endpoint(served_with_a_worker(tmp_path, worker), "local") as endpoint:
        port = str(endpoint.base_url).split(":")[-1].split("/")[0]
        assert len(servers(port)) == 3, "the supervisor, the server, its worker"
        start = time.monotonic()
    assert worker == "stubborn" or time.monotonic() - start < supervise.GRACE_SECONDS
    wait_until_gone(port)


def test_the_worker_of_a_crashed_server_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = local_server._free_port()
    monkeypatch.setattr(local_server, "_free_port", lambda: port)
    spec = served_with_a_worker(tmp_path, "orphan")
    ended = pytest.raises(InputError, match="ended with code 1 .*out of memory")
    with ended, judge_endpoint(spec, "local"):
        pass
    wait_until_gone(str(port))


@pytest.mark.parametrize(
    ("server", "problem"),
    [
        (
            {"command": "{python} -c 'print(\"no such weights\"); exit(3)'"},
            "ended .*no such weights",
        ),
        (
            {"command": "{python} -c 'import time; time.sleep(60)'", "ready_minutes": 0.01},
            "did not answer within 0.01 minutes",
        ),
        ({"command": "vllm serve '{model}"}, "judges.x: server.command .*no closing quotation"),
        (
            {"command": "{python} -c 'import sys; exit(sys.argv[1])' '{\"a\": {\"{model}\"}}'"},
            r'ended .*last output: \{"a": \{"rule-judge"\}\}',
        ),
        ({"command": "no-such-program {port}"}, "ended .*No such file"),
    ],
    ids=["ends", "silent", "unclosed", "braces", "missing"],
)
def test_a_server_that_does_not_come_up_is_one_sentence(server: dict, problem: str) -> None:
    with pytest.raises(InputError, match=problem), judge_endpoint(SPEC | {"server": server}, "x"):
        pass


@pytest.mark.parametrize("key", ["sk-secret\nline", "sk secret", "sk-secret“", "sk-\x00secret"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_repeated(
    key: str, write_outputs: Callable[..., tuple[Path, list[Path]]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(server.os, "environ", {"A_KEY": key})
    spec = {"model": "m", "base_url": "http://127.0.0.1:9/v1", "api_key_variable": "A_KEY"}
    files = write_outputs([("q", "a")])
    with pytest.raises(InputError, match="variable A_KEY, which holds white space") as caught:
        query_judge(*files, tmp_path / "x", "gpt-4", spec, {"system": "", "user": ""}, tmp_path)
    assert "secret" not in str(caught.value)
    assert not list(tmp_path.rglob("*.jsonl"))


def test_a_key_is_hidden_in_every_form_that_a_message_gives_it() -> None:
    key = "sk-'\"\\secret"
    endpoint = server.Endpoint(None, key)
    text = f"{key} {key!r} {json.dumps(key)}"
    assert "secret" not in endpoint.hide_key(text)


def test_replies_are_kept_by_command_and_not_by_port() -> None:
    assert endpoint_name(SPEC) == f"server:{COMMAND}"
