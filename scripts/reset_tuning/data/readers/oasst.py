"""Reader of OpenAssistant conversations: messages, or trees of messages."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from reset_tuning.data.candidates import Candidate, clean, clean_all
from reset_tuning.data.readers.formats import Format, ReaderOptions, signatures
from reset_tuning.data.rows import BadRow, Record, Row

_PARENT = "parent_message"
_NOBODY = "message without an id"
_NEEDED = ("message_id", "text", "role")
_NAMES = ("message_id", "parent_id", "role", "lang")  # that messages are looked up and chosen by
_IDS = ("message_id", "parent_id")
_ROLES = ("prompter", "assistant")


def messages_of(record: Record) -> Iterator[tuple[str, Any]]:
    """Yield a message itself, or the messages of a tree with their parents' ids filled in."""
    if "prompt" not in record:
        yield "", record
        return
    waiting: list[tuple[Any, str | int | None]] = [(record["prompt"], None)]
    count = 0
    while waiting:
        message, parent = waiting.pop()
        count += 1
        if not isinstance(message, dict):
            yield str(count), message
            continue
        yield str(count), message | {"parent_id": parent}
        identifier, replies = message.get("message_id"), message.get("replies") or []
        # Null is the parent of prompts: what replies to a message without an id must not be one.
        has_id = isinstance(identifier, str | int) and identifier != ""
        parent = identifier if has_id else _NOBODY
        replies = replies if isinstance(replies, list) else [replies]
        waiting.extend((reply, parent) for reply in reversed(replies))


def _message(record: Record) -> Record:
    """Return a message; raise KeyError, TypeError or ValueError for one that cannot be joined."""
    message = {key: record[key] for key in _NEEDED} | record
    if _is_nothing(message.get("parent_id")):
        message["parent_id"] = None
    for key in _NAMES:
        if not isinstance(message.get(key), str | int if key in _NEEDED else str | int | None):
            raise TypeError(f"{key} must be a text, not {message[key]!r}")
    if message["role"] not in _ROLES:
        raise ValueError(f"role must be {' or '.join(_ROLES)}, not {message['role']!r}")
    if not isinstance(message.get("deleted"), bool | int | None):
        raise TypeError(f"deleted must be true or false, not {message['deleted']!r}")
    # Some files number messages in one column and name them by digits in another.
    names = {key: str(message[key]) for key in _IDS if message.get(key) is not None}
    return message | names


def _is_nothing(value: Any) -> bool:
    """Say whether a value stands for none: null, an empty text or not-a-number, as csv files do."""
    return value is None or value == "" or value != value


def join_parents(
    rows: Iterable[Row], of_split: Callable[[], Mapping[Any, Record]]
) -> Iterator[Row]:
    """Yield every message with the message that it replies to, or null, under `parent_message`.

    Of several messages with one id the first counts as parent; the others carry `repeated`. A
    parent that is not in the message's own file is looked for among those of the split.
    """
    messages = [
        (row, message if isinstance(message, BadRow) else _slim(message)) for row, message in rows
    ]
    own: dict[Any, Record] = {}
    for _, message in messages:
        if not isinstance(message, BadRow):
            own.setdefault(message["message_id"], message)
    wanted = {message["parent_id"] for message in own.values()} - own.keys() - {None}
    parents = {**of_split(), **own} if wanted else own
    for row, message in messages:
        if isinstance(message, BadRow):
            yield row, message
            continue
        is_first = own[message["message_id"]] is message
        parent = parents.get(message["parent_id"])
        yield row, {**message, _PARENT: parent, "repeated": not is_first}


def messages_by_id(rows: Iterable[Row]) -> dict[Any, Record]:
    """Return a split's messages by id; none where an id has two texts.

    Its files may each count their messages from 1 then, and 7 is another message in each.
    """
    found: dict[Any, Record] = {}
    for _, message in rows:
        if isinstance(message, BadRow):
            continue
        known = found.setdefault(message["message_id"], _slim(message))
        if known["text"] != message["text"]:
            return {}
    return found


def _slim(message: Record) -> Record:
    keys = ("message_id", "parent_id", "text", "role", "lang", "deleted", "rank", "labels")
    return {key: message.get(key) for key in keys}


def read_message(record: Record, options: ReaderOptions) -> Iterator[Candidate]:
    """Yield a reply to a root prompt as its candidate; any other message has a fault.

    The rating is the mean of the annotators' `quality` labels (0 to 1), as in the paper; `rank`
    orders the replies to one prompt (0 = best) and is no rating.
    """
    parent = record[_PARENT]
    rating, raters = _quality(record["labels"])
    is_pair = (
        record["role"] == "assistant"
        and parent is not None
        and parent["role"] == "prompter"
        and parent["parent_id"] is None
        and not record["deleted"]
        and not parent["deleted"]
    )
    prompt = clean(parent["text"]) if is_pair else ""
    yield Candidate(
        instruction=prompt,
        references=clean_all(record["text"]),
        language=record["lang"],
        rating=rating,
        raters=raters,
        # With the text, since another file may give the id to another prompt.
        group=f"{record['parent_id']} {prompt}" if is_pair else None,
        rank=_rank(record["rank"]) if is_pair else None,
        faults=frozenset(_faults(is_pair, record["repeated"])),
    )


def _rank(value: Any) -> int | None:
    try:
        return None if _is_nothing(value) else int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"rank must be a number, not {value!r}") from error


def _faults(is_pair: bool, is_repeated: bool) -> list[str]:
    marks = {"repeated_message": is_repeated, "not_assistant_pair": not is_pair}
    return [name for name, is_set in marks.items() if is_set]


def _quality(labels: Any) -> tuple[float | None, int]:
    """Return (mean quality, number of annotators) from either published form of the labels."""
    if not labels:
        return None, 0
    if "name" in labels:  # the hub's rows: parallel lists
        rows = zip(labels["name"], labels["value"], labels["count"], strict=True)
        values = {name: (value, count) for name, value, count in rows}
    else:  # the raw export: {"quality": {"value": …, "count": …}}
        values = {name: (label.get("value"), label.get("count")) for name, label in labels.items()}
    value, count = values.get("quality", (None, 0))
    return (None if value is None else float(value)), int(count or 0)


FORMATS = (
    Format(
        "oasst1",
        "instruction",
        signatures(
            "message_id parent_id text role", "message_id text role", "message_tree_id prompt"
        ),
        read_message,
        expand=messages_of,
        part=_message,
        index=messages_by_id,
        join=join_parents,
        rules=("repeated_message", "not_assistant_pair"),
        grouped=True,
    ),
)
