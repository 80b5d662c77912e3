"""Where a judge is reached: a public endpoint, one of one's own, or a server the job starts."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from reset_tuning.errors import InputError
from reset_tuning.judging.local_server import running_server

_DEFAULT_URL = "https://api.openai.com/v1"  # of the client, which also reads OPENAI_BASE_URL
_HEADER_TEXT = re.compile(r"[!-~]+")  # printable ASCII without spaces
NO_KEY = "none"  # the client insists on a key where the server wants none


class Endpoint(NamedTuple):
    """An OpenAI-compatible endpoint; `base_url` None is the client's own default."""

    base_url: str | None
    api_key: str

    def hide_key(self, text: str) -> str:
        """Return a text from the endpoint without the key, should it be in there, also escaped."""
        if self.api_key == NO_KEY:
            return text
        for form in (self.api_key, repr(self.api_key)[1:-1], json.dumps(self.api_key)[1:-1]):
            text = text.replace(form, "***")
        return text


@contextmanager
def judge_endpoint(spec: Mapping[str, Any], judge: str) -> Iterator[Endpoint]:
    """Yield the endpoint of a judge, started for the time of the block when it names a `server`.

    Raises InputError when the environment lacks the judge's key, or holds one that cannot be sent;
    it is read from there only and is never logged.
    """
    server = spec.get("server")
    if server is None:
        variable = spec.get("api_key_variable")
        key = read_key(variable, f"the judge {judge}") if variable else NO_KEY
        yield Endpoint(spec.get("base_url"), key)
    elif server == "mini":
        from reset_tuning.mini.judge_server import running_judge_server

        with running_judge_server() as base_url:
            yield Endpoint(base_url, NO_KEY)
    elif isinstance(server, Mapping):
        with running_server(server, spec["model"], f"judges.{judge}") as base_url:
            yield Endpoint(base_url, NO_KEY)
    else:
        raise InputError(f"judges.{judge}.server is {server!r}, but must be mini or a command")


def endpoint_name(spec: Mapping[str, Any]) -> str:
    """Return whose replies a judge's are: its address, or the server that the job starts.

    Such a server has another port every time and is the same all the same.
    """
    server = spec.get("server")
    if server is not None:
        return f"server:{server['command'] if isinstance(server, Mapping) else server}"
    url = spec.get("base_url") or os.environ.get("OPENAI_BASE_URL") or _DEFAULT_URL
    return url.rstrip("/")


def read_key(variable: str, owner: str, environment: Mapping[str, str] | None = None) -> str:
    """Return the key that an environment variable holds; `owner` is who needs it, for the message.

    Raises InputError when there is none, or one that no HTTP header can carry: the error of an HTTP
    client would repeat it.
    """
    key = (os.environ if environment is None else environment).get(variable, "").strip()
    if not key:
        raise InputError(
            f"{owner} takes its key from the environment variable {variable}, which is "
            "not set: export it and start again (replies that were paid for are kept)"
        )
    if not _HEADER_TEXT.fullmatch(key):
        raise InputError(
            f"{owner} takes its key from the environment variable {variable}, which holds white "
            "space, a line break or another character that no key has: export the key alone"
        )
    return key
