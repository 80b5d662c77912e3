"""Runs a command for as long as the process that started this one lives.

A killed job cannot clean up after itself, but the system closes its end of our standard input:
then the command and all its children are stopped.
"""

import os
import signal
import subprocess
import sys
import threading

GRACE_SECONDS = 10.0


def main() -> None:
    """Run the command given as arguments; end with its exit code, or when standard input ends."""
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
    threading.Thread(target=lambda: os._exit(process.wait()), daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _stop(process))
    sys.stdin.buffer.read()
    _stop(process)


def _stop(process: subprocess.Popen) -> None:
    """Ask the command's whole process group to end, then make it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(GRACE_SECONDS)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
    os._exit(0)


if __name__ == "__main__":
    main()
