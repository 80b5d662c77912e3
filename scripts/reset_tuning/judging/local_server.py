"""A server inside the job: started, waited for, and gone when the job is."""

import http.client
import logging
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

from reset_tuning.errors import InputError
from reset_tuning.judging import supervise

_LOOPBACK = "127.0.0.1"
_READY_MINUTES = 30.0  # loading 70B weights from a network file system takes long
_POLL_SECONDS = 0.2
_STOP_SECONDS = supervise.GRACE_SECONDS + 5
_LAST_LINES = 15


@contextmanager
def running_server(server: Mapping[str, Any], model: str, key: str) -> Iterator[str]:
    """Start `server.command` on a free port, yield its base URL when it answers, and stop it.

    `{model}`, `{port}` and `{python}` in the command are filled in, other braces stay as they are:
    "vllm serve {model} --port {port} --hf-overrides '{"a": 1}'". It runs
    under a supervisor that stops it, with all its children, as soon as this process is gone.
    Raises InputError, which names the configuration's `key`, when the command cannot be read, ends
    or does not answer within `server.ready_minutes`.
    """
    port = _free_port()
    command = _words(server["command"], key, model=model, port=str(port), python=sys.executable)
    with tempfile.TemporaryFile() as output:
        logging.info("%s: starting %s", key, shlex.join(command))
        process = subprocess.Popen(
            [sys.executable, supervise.__file__, *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            minutes = float(server.get("ready_minutes", _READY_MINUTES))
            _wait_until_ready(process, port, minutes, key, output)
            yield f"http://{_LOOPBACK}:{port}/v1"
        finally:
            assert process.stdin is not None
            process.stdin.close()  # tells the supervisor to stop the server
            process.wait(_STOP_SECONDS)
            logging.info("%s: server stopped", key)


def _words(command: str, key: str, **values: str) -> list[str]:
    """Return the words of a command with its placeholders filled in."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InputError(
            f"{key}: server.command cannot be read ({str(error).lower()}): {command}"
        ) from None
    placeholder = re.compile("{(" + "|".join(values) + ")}")
    return [placeholder.sub(lambda match: values[match[1]], word) for word in words]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((_LOOPBACK, 0))
        return listener.getsockname()[1]


def _wait_until_ready(
    process: subprocess.Popen, port: int, minutes: float, key: str, output: Any
) -> None:
    deadline = time.monotonic() + 60 * minutes
    while not _answers(port):
        if process.poll() is not None:
            problem = f"ended with code {process.returncode} before it answered"
        elif time.monotonic() > deadline:
            problem = f"did not answer within {minutes:g} minutes"
        else:
            time.sleep(_POLL_SECONDS)
            continue
        raise InputError(
            f"the server of {key} {problem}; correct server.command or raise "
            f"server.ready_minutes (its last output: {_last_output(output)})"
        )
    logging.info("%s: the server answers", key)


def _answers(port: int) -> bool:
    """Tell whether the server lists its models."""
    try:
        with closing(http.client.HTTPConnection(_LOOPBACK, port, timeout=5)) as connection:
            connection.request("GET", "/v1/models")
            return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False


def _last_output(output: Any) -> str:
    output.seek(0)
    lines = output.read().decode(errors="replace").splitlines()
    return " | ".join(line.strip() for line in lines[-_LAST_LINES:] if line.strip()) or "none"
