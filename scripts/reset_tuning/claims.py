"""Who is doing what: claims that let jobs share work, and that keep two from doing the same.

A claim is a file named by the work, made with O_EXCL, which is atomic on shared file systems too
(no lock of any kind is used). A process keeps its claims alive by touching one file of its own;
claims of a process that is gone are taken over. Claims are deleted once the work is done, so the
folder is empty between runs. Who cannot get a claim may leave a wish, which its holder can see.
"""

import json
import logging
import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_TOUCH_SECONDS = 10.0
_LEASE_SECONDS = 90.0  # longer than any pause that a loaded file server makes


class Claims:
    """The claims of one process below one folder; a context manager that gives them all back."""

    def __init__(self, directory: Path, lease_seconds: float = _LEASE_SECONDS) -> None:
        self._directory = directory
        self._lease = lease_seconds
        self._identity = _identity()
        self._owner = f"{self._identity['host']}-{os.getpid()}-{time.time_ns()}"
        self._held: set[str] = set()
        self._told: set[str] = set()  # the owners whose end is in the log
        self._stop = threading.Event()
        self._pulse = threading.Thread(target=self._keep_alive, name="claims", daemon=True)

    def __enter__(self) -> Self:
        self._owners.mkdir(parents=True, exist_ok=True)
        self._own_file.write_text(json.dumps(self._identity))
        self._pulse.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._pulse.join()
        for key in list(self._held):
            self.release(key)
        self._own_file.unlink(missing_ok=True)

    def take(self, key: str) -> bool:
        """Claim some work; return False when a living process has it.

        A claim does not say that the work is still to be done: another process may have done and
        released it just before, so look at its results after the claim.
        """
        path = self._directory / key
        if not self._create(path) and not self._take_over(path):
            return False
        self._held.add(key)
        return True

    def take_over(self, key: str, poll_seconds: float = 2.0) -> bool:
        """Ask the holder for its claim until it is free; return whether there was one to ask."""
        was_held = False
        while not self.take(key):
            if not was_held:
                logging.warning("%s is held by another process, which is asked for it", key)
            was_held = True
            self._wish(key).touch()
            time.sleep(poll_seconds)
        self._wish(key).unlink(missing_ok=True)
        return was_held

    def is_wanted(self, key: str) -> bool:
        """Tell whether another process asks for what this one holds."""
        return self._wish(key).exists()

    def release(self, key: str) -> None:
        """Give a claim back, after its work is done or will not be.

        One that another process has taken over meanwhile (this one stood still for longer than the
        lease) stays with it.
        """
        self._held.discard(key)
        self._remove_own(self._directory / key)

    def _wish(self, key: str) -> Path:
        return self._directory / f"{key}.wanted"

    @property
    def _owners(self) -> Path:
        return self._directory / "owners"

    @property
    def _own_file(self) -> Path:
        return self._owners / self._owner

    def _create(self, path: Path) -> bool:
        try:
            with path.open("x") as stream:
                stream.write(self._owner)
        except FileExistsError:
            return False
        return True

    def _take_over(self, path: Path) -> bool:
        """Take the claim of a process that is gone; one taker at a time, behind a second file."""
        if not self._is_abandoned(path):
            return False
        gate = path.with_name(f"{path.name}.takeover")
        if not self._create(gate):
            if self._age(gate) > self._lease:  # its taker died in between
                gate.unlink(missing_ok=True)
            return False
        try:
            if not self._is_abandoned(path):
                return False
            path.write_text(self._owner)
            return True
        finally:
            self._remove_own(gate)

    def _remove_own(self, path: Path) -> None:
        """Remove a claim unless it is another process's by now."""
        with suppress(FileNotFoundError):
            if path.read_text() == self._owner:
                path.unlink()

    def _is_abandoned(self, path: Path) -> bool:
        try:
            owner = path.read_text()
        except FileNotFoundError:
            return False  # released just now: it is taken in the next round
        if not owner:  # made, but its maker has not written its name yet, or never will
            return self._age(path) > self._lease
        # Asked anew for every claim: an owner of another machine may have stood still and gone on.
        if not self._is_gone(owner):
            return False
        if owner not in self._told:
            self._told.add(owner)
            logging.info("taking over what %s left undone", owner)
        return True

    def _is_gone(self, owner: str) -> bool:
        """Tell whether a process has ended: certain on this machine, by its pulse elsewhere."""
        file = self._owners / owner
        try:
            identity = json.loads(file.read_text())
        except FileNotFoundError:
            return True
        except ValueError:
            return self._age(file) > self._lease
        if all(identity[name] == self._identity[name] for name in ("host", "namespace")):
            return _started(identity["process"]) != identity["started"]
        return self._age(file) > self._lease

    def _age(self, path: Path) -> float:
        """Return the seconds since a file was touched, by the clock of the file server."""
        try:
            os.utime(self._own_file)
            return self._own_file.stat().st_mtime - path.stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def _keep_alive(self) -> None:
        while not self._stop.wait(min(_TOUCH_SECONDS, self._lease / 3)):
            with suppress(OSError):
                os.utime(self._own_file)


def _identity() -> dict[str, str | int]:
    """Return what tells this process from every other one, also from a later one of its number."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return {
        "host": socket.gethostname().split(".")[0],
        "namespace": namespace,
        "process": os.getpid(),
        "started": _started(os.getpid()),
    }


def _started(process: int) -> str:
    """Return when a process of this machine started, or "" when there is none."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return ""
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state == "Z" else fields[18]
