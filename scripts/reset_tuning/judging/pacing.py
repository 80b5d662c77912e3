"""Rate limits of an endpoint: requests and tokens a minute, and pauses that it asks for."""

import asyncio
import time

_BURST_SECONDS = 1.0  # of the rate that may go out at once after a pause


class Bucket:
    """A token bucket: what is taken beyond the rate waits, in the order of asking."""

    def __init__(self, per_minute: float | None) -> None:
        self._rate = per_minute / 60 if per_minute else None
        self._free_at = 0.0  # when all that was taken so far has been earned

    def take(self, amount: float) -> float:
        """Take an amount and return the seconds to wait before it may be used."""
        if self._rate is None:
            return 0.0
        now = time.monotonic()
        self._free_at = max(self._free_at, now - _BURST_SECONDS) + amount / self._rate
        return max(0.0, self._free_at - now)


class Pace:
    """What all requests of one job wait for together."""

    def __init__(self, requests_per_minute: float | None, tokens_per_minute: float | None) -> None:
        self._requests = Bucket(requests_per_minute)
        self._tokens = Bucket(tokens_per_minute)
        self._held_until = 0.0

    async def turn(self, tokens: int) -> None:
        """Wait until a request of so many tokens may be sent."""
        await asyncio.sleep(max(self._requests.take(1), self._tokens.take(tokens)))
        while (held := self._held_until - time.monotonic()) > 0:
            await asyncio.sleep(held)

    def hold(self, seconds: float) -> None:
        """Let nothing out for some time, since the endpoint asked for it."""
        self._held_until = max(self._held_until, time.monotonic() + seconds)
