"""Progress of a long job in its log, at a bounded frequency."""

import logging
import time

_SECONDS_BETWEEN = 10.0


class Progress:
    """Counts outputs and tokens of a job that makes `total` outputs, and logs how far it is."""

    def __init__(self, total: int, seconds_between: float = _SECONDS_BETWEEN) -> None:
        self._total, self._between = total, seconds_between
        self._outputs = self._tokens = 0
        self._start = self._logged = time.monotonic()

    def advance(self, outputs: int, tokens: int) -> None:
        """Count finished work; say so when the last line is old enough."""
        self._outputs += outputs
        self._tokens += tokens
        now = time.monotonic()
        if now - self._logged >= self._between:
            self._logged = now
            self._log(now)

    def finish(self) -> None:
        """Say what was done in all."""
        self._log(time.monotonic())

    def _log(self, now: float) -> None:
        seconds = max(now - self._start, 1e-9)
        left = seconds * (self._total - self._outputs) / max(self._outputs, 1)
        logging.info(
            "generated %d of %d outputs (%d %%), %.0f tokens/s, about %.0f s left",
            self._outputs,
            self._total,
            100 * self._outputs // max(self._total, 1),
            self._tokens / seconds,
            left,
        )
