"""Progress of a long job in its log, at a bounded frequency."""

import logging
import time

_SECONDS_BETWEEN = 10.0


class Progress:
    """Counts the prompts of a job and what was generated for them, and logs how far it is."""

    def __init__(self, n_prompts: int, seconds_between: float = _SECONDS_BETWEEN) -> None:
        self._n_prompts, self._between = n_prompts, seconds_between
        self._known = self._prompts = self._rows = self._tokens = 0
        self._start = self._logged = time.monotonic()

    def skip(self, prompts: int) -> None:
        """Count prompts whose outputs are known already: they cost no time."""
        self._known += prompts

    def advance(self, prompts: int, rows: int, tokens: int) -> None:
        """Count finished work; say so when the last line is old enough."""
        self._prompts += prompts
        self._rows += rows
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
        done = self._known + self._prompts
        left = seconds * max(self._n_prompts - done, 0) / max(self._prompts, 1)
        logging.info(
            "%d of %d prompts (%d known before), generated %d rows, %.1f rows/s, %.0f tokens/s, "
            "about %.0f s left",
            done,
            self._n_prompts,
            self._known,
            self._rows,
            self._rows / seconds,
            self._tokens / seconds,
            left,
        )
