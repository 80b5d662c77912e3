"""Runs a command for as long as the process that started this one lives.

A killed job cannot clean up after itself, but the system closes its end of our standard input:
then the command and all its children are stopped. So are the children of a command that ends.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

GRACE_SECONDS = 10.0
_POLL_SECONDS = 0.05
_PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    """Run the command given as arguments; end with its exit code, or when standard input ends."""
    _adopt_orphans()
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
    threading.Thread(target=lambda: _end(process.pid, process.wait()), daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _end(process.pid, 0))
    sys.stdin.buffer.read()
    _end(process.pid, 0)


def _end(group: int, code: int) -> None:
    """Stop what is left of the command's process group, then this process with an exit code.

    The command may end before its children do: only an empty group is over.
    """
    deadline = time.monotonic() + GRACE_SECONDS
    with suppress(ProcessLookupError):  # the group is empty
        os.killpg(group, signal.SIGTERM)
        while time.monotonic() < deadline:
            _reap(group)
            os.killpg(group, 0)
            time.sleep(_POLL_SECONDS)
        os.killpg(group, signal.SIGKILL)
    os._exit(code)


def _adopt_orphans() -> None:
    """Make orphans our children: where process 1 reaps nobody, a dead group would look alive."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _reap(group: int) -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-group, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    main()
