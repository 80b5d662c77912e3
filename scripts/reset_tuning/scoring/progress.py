"""Progress of long jobs in the log: how many of how many, and how fast."""

import logging
import time

_INTERVAL_SECONDS = 10.0


class Progress:
    """Counts finished items and logs a line at most every ten seconds, and one at the end."""

    def __init__(self, what: str, total: int) -> None:
        self._what = what
        self.total = total
        self._done = 0
        self._failed = 0
        self._start = self._last = time.monotonic()

    def add(self, done: int = 1, failed: int = 0) -> None:
        """Count `done` finished items, `failed` of them without a result."""
        self._done += done
        self._failed += failed
        now = time.monotonic()
        if self._done >= self.total or now - self._last >= _INTERVAL_SECONDS:
            self._last = now
            rate = self._done / max(now - self._start, 1e-9)
            failures = f", {self._failed} failed" if self._failed else ""
            logging.info(
                "%s: %d of %d (%.1f/s%s)", self._what, self._done, self.total, rate, failures
            )
