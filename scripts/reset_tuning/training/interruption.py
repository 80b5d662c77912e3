"""Stopping a training between two steps so that it can go on from there, and keeping its state.

The Trainer's own way to do this writes a state of another step under DeepSpeed, and its ranks do
not agree on the step; this callback makes them agree.
"""

import math
import signal
import time
from collections.abc import Callable
from types import FrameType

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from reset_tuning.training.distributed import largest

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)

_GO_ON, _KEEP, _STOP_IN_TIME, _STOP_BY_SIGNAL = range(4)


class Interruption(TrainerCallback):
    """Keeps the state every `resume_minutes`; on a signal or at `stop_at` also ends the training.

    `stop_at` is in seconds since the epoch. After the end `reason` says why the training was
    stopped; it stays None for one that was not.
    """

    def __init__(
        self,
        resume_minutes: float,
        stop_at: float | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.reason: str | None = None
        self._interval = 60 * resume_minutes
        self._stop_at = math.inf if stop_at is None else stop_at
        self._clock = clock
        self._keep_at = clock() + self._interval
        self._received: int | None = None
        for number in STOP_SIGNALS:
            signal.signal(number, self._remember)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Ask all ranks what they want and do the most that one of them asks for."""
        request = largest(self._request(), args.device)
        if request == _GO_ON or state.global_step >= state.max_steps:
            return
        control.should_save = True
        self._keep_at = self._clock() + self._interval
        if request >= _STOP_IN_TIME:
            control.should_training_stop = True
            self.reason = self._reason(request)

    def _remember(self, number: int, _: FrameType | None) -> None:
        self._received = number

    def _request(self) -> int:
        if self._received is not None:
            return _STOP_BY_SIGNAL
        now = self._clock()
        if now >= self._stop_at:
            return _STOP_IN_TIME
        return _KEEP if now >= self._keep_at else _GO_ON

    def _reason(self, request: int) -> str:
        if request == _STOP_IN_TIME:
            return "its time limit"
        return signal.Signals(self._received).name if self._received else "a signal"
