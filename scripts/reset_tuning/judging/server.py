"""Where a judge is reached: a public endpoint, one of one's own, or a server the job starts."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from reset_tuning.errors import InputError

_NO_KEY = "none"  # the client insists on a key where the server wants none


class Endpoint(NamedTuple):
    """An OpenAI-compatible endpoint; `base_url` None is the client's own default."""

    base_url: str | None
    api_key: str


@contextmanager
def judge_endpoint(spec: Mapping[str, Any], judge: str) -> Iterator[Endpoint]:
    """Yield the endpoint of a judge, started for the time of the block when it names a `server`.

    Raises InputError when the environment lacks the judge's key or address. The key is read from
    the environment only and is never logged.
    """
    server = spec.get("server")
    if server is None:
        yield Endpoint(_base_url(spec, judge), _api_key(spec, judge))
    elif server == "mini":
        from reset_tuning.mini.judge_server import running_judge_server

        with running_judge_server() as base_url:
            yield Endpoint(base_url, _NO_KEY)
    else:
        raise InputError(f"judges.{judge}.server is {server!r}, but must be mini")


def _base_url(spec: Mapping[str, Any], judge: str) -> str | None:
    variable = spec.get("base_url_variable")
    if variable:
        return _from_environment(variable, judge, "address")
    return spec.get("base_url")


def _api_key(spec: Mapping[str, Any], judge: str) -> str:
    variable = spec.get("api_key_variable")
    return _from_environment(variable, judge, "key") if variable else _NO_KEY


def _from_environment(variable: str, judge: str, what: str) -> str:
    value = os.environ.get(variable, "").strip()
    if not value:
        raise InputError(
            f"the judge {judge} takes its {what} from the environment variable {variable}, which "
            "is not set: export it and start again (replies that were paid for are kept)"
        )
    return value
