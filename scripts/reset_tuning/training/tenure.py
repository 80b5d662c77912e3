"""One job at a time in the folder of a training.

Two meet there when a cluster loses sight of a node: the job goes on there and is started once more
elsewhere. The second asks the first to keep its state and to stop, and goes on from that state:
never two write, nothing is lost and no step is made twice.
"""

import json
import logging
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reset_tuning.claims import Claims

logger = logging.getLogger(__name__)

_KEY = "trainer"
_POLL_SECONDS = 2.0


@contextmanager
def sole_trainer(folder: Path) -> Iterator[bool]:
    """Hold the training whose claims lie in `folder`; yield whether another job had to give way.

    When a later job asks for it, this process sends itself SIGUSR1 once, as soon as there is a
    training whose launcher hands it on to the ranks. Must be entered in the main thread.
    """
    with Claims(folder) as claims:
        gave_way = claims.take_over(_KEY)
        # Before and after its training a job has no state to keep, and ends soon by itself.
        previous = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        done = threading.Event()
        listener = threading.Thread(target=_listen, args=(claims, done), name="tenure", daemon=True)
        listener.start()
        try:
            yield gave_way
        finally:
            done.set()
            listener.join()
            signal.signal(signal.SIGUSR1, previous)


def is_published(provenance: Path, identity: Mapping[str, Any]) -> bool:
    """Tell whether a job that gave way had already put this very training in place."""
    try:
        content = json.loads(provenance.read_text())
    except (OSError, ValueError):
        return False
    wanted = json.loads(json.dumps(identity))
    return all(content.get(key) == value for key, value in wanted.items())


def _listen(claims: Claims, done: threading.Event) -> None:
    while not done.wait(_POLL_SECONDS):
        if claims.is_wanted(_KEY) and signal.getsignal(signal.SIGUSR1) is not signal.SIG_IGN:
            logger.warning("another job was started for this training and takes over from here")
            os.kill(os.getpid(), signal.SIGUSR1)
            return
