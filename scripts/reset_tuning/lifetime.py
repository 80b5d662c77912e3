"""Runs a command that ends with the process that started it, also when that one is killed.

Linux signals a child whose parent has died, if the child asked for it; what it asked for stays over
exec. Run as a script, this module asks and becomes the command. Elsewhere nothing is promised.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with_parent(number: signal.Signals) -> None:
    """Have this process get a signal when its parent dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))


if __name__ == "__main__":
    end_with_parent(signal.SIGTERM)
    os.execvp(sys.argv[1], sys.argv[1:])
