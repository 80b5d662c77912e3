"""Raw records that hold several rows: one that is bad costs none of the others."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_samples import write_json_lines

from reset_tuning.data.candidates import BAD_ROW, Candidate
from reset_tuning.data.readers import FORMATS, read_candidates
from reset_tuning.data.readers.formats import ReaderOptions
from reset_tuning.errors import InputError


class Composite(NamedTuple):
    """A form of several rows a record: a good row of this text, bad ones, the record of some."""

    good: Callable[[str], Any]
    bad: tuple[Any, ...]
    record: Callable[[list[Any]], dict[str, Any]]


def message(text: str, /, **values: Any) -> dict[str, Any]:
    known = {"message_id": text, "text": text, "role": "assistant", "lang": "en", "labels": None}
    return known | {"deleted": False, "rank": 0} | values


def tree(messages: list[Any]) -> dict[str, Any]:
    """Return a tree in which every other message replies to the one two before it."""
    root = holder = message("root", role="prompter")
    for place, reply in enumerate(messages):
        reply = dict(reply) if isinstance(reply, dict) else reply
        holder.setdefault("replies", []).append(reply)
        if isinstance(reply, dict) and place % 2:
            holder = reply
    return {"message_tree_id": "root", "prompt": root}


def columns(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return rows in the raw form of MS MARCO v2.1."""
    names = ("query", "passages", "wellFormedAnswers")
    found = {
        name: {str(n): row[name] for n, row in enumerate(rows, start=1) if name in row}
        for name in names
    }
    return found


SPAN = {"open-ended": {"answer_candidates": [{"extractive": {"single_answer": {"answer": "Al"}}}]}}
DOCUMENTS = {"documents": [{"text": "It was Al."}]}

COMPOSITES = {
    "bioasq": Composite(
        lambda text: {"body": text, "type": "factoid", "exact_answer": "Al"},
        (None, 5, "abc", {"type": "factoid"}, {"body": "x", "type": "list", "snippets": "abc"}),
        lambda parts: {"questions": parts},
    ),
    "passages": Composite(
        lambda text: {"question": text, "answers": SPAN},
        (None, 5, "abc", {"answers": SPAN}, {"question": "x", "answers": None}),
        lambda parts: {"context": DOCUMENTS, "qas": parts},
    ),
    "ms_marco": Composite(
        lambda text: {"query": text, "passages": [], "wellFormedAnswers": "[]"},
        ({"query": "x"}, {"query": "x", "passages": "abc"}, {"query": ["x"], "passages": []}),
        columns,
    ),
    "self_instruct": Composite(
        lambda text: {"input": "", "output": text},
        (None, 5, "abc", {}, {"output": "x"}, {"input": "", "output": {}}, {"input": []}),
        lambda parts: {"instruction": "Say it.", "instances": parts},
    ),
    "oasst1": Composite(
        message,
        (
            *(None, 5, "abc", {}, {"message_id": "x", "role": "assistant"}),
            *(message("x", message_id=["x"]), message("x", role=None), message("x", text={})),
        ),
        lambda parts: tree(parts),
    ),
}
NAMES = st.sampled_from(sorted(COMPOSITES))


def read(path: Path, format: str, on_bad_row: str) -> list[Candidate]:
    kind = FORMATS[format].kind
    return list(read_candidates(path, "raw", kind, format, ReaderOptions(), on_bad_row))


def text_of(candidate: Candidate) -> str:
    return candidate.question or candidate.references[0]


@settings(max_examples=150)
@given(st.data(), NAMES, st.lists(st.booleans(), min_size=1, max_size=8))
def test_every_good_part_comes_and_every_bad_one_is_counted(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, format: str, marks: list[bool]
) -> None:
    composite = COMPOSITES[format]
    parts = [
        composite.good(f"good {place}") if is_good else data.draw(st.sampled_from(composite.bad))
        for place, is_good in enumerate(marks)
    ]
    records = [composite.record(parts), composite.record([composite.good("last")])]
    path = write_json_lines(tmp_path_factory.mktemp("parts") / "raw", records)
    found = read(path, format, "drop-and-count")
    good = [text_of(row) for row in found if BAD_ROW not in row.faults and text_of(row) != "root"]
    assert good == [f"good {place}" for place, is_good in enumerate(marks) if is_good] + ["last"]
    assert sum(BAD_ROW in row.faults for row in found) == marks.count(False)
    first = 2 if format == "oasst1" else 1  # behind the root of a tree
    assert [row.source_row for row in found if row.faults >= {BAD_ROW}] == [
        f"raw:1.{place}" for place, is_good in enumerate(marks, first) if not is_good
    ]


@pytest.mark.parametrize("format", COMPOSITES)
def test_a_bad_part_is_named(tmp_path: Path, format: str) -> None:
    composite = COMPOSITES[format]
    for bad in composite.bad:
        parts = [composite.good("a"), bad, composite.good("b")]
        path = write_json_lines(tmp_path / "raw", [composite.record(parts)])
        place = 3 if format == "oasst1" else 2
        with pytest.raises(InputError, match=rf"^raw:1\.{place} is not a {format} record: "):
            read(path, format, "fail")


@pytest.mark.parametrize(
    ("format", "record"),
    [
        ("bioasq", {"questions": None}),
        ("bioasq", {"questions": "abc"}),
        ("passages", {"context": DOCUMENTS, "qas": None}),
        ("self_instruct", {"instruction": "Say it.", "instances": "abc"}),
        ("ms_marco", columns([COMPOSITES["ms_marco"].good("a")]) | {"passages": None}),
    ],
)
def test_a_record_that_cannot_be_taken_apart_is_one_bad_row(
    tmp_path: Path, format: str, record: dict[str, Any]
) -> None:
    composite = COMPOSITES[format]
    whole = composite.record([composite.good("whole")])
    path = write_json_lines(tmp_path / "raw", [record, whole])
    bad, good = read(path, format, "drop-and-count")
    assert (bad.source_row, bad.faults) == ("raw:1", {BAD_ROW}) and text_of(good) == "whole"


def test_replies_to_a_message_that_is_no_message_are_no_prompts(tmp_path: Path) -> None:
    lost = message("lost", message_id=None, replies=[message("reply", role="prompter")])
    lost["replies"][0]["replies"] = [message("answer")]
    path = write_json_lines(tmp_path / "raw", [tree([lost])])
    found = read(path, "oasst1", "drop-and-count")
    assert [sorted(row.faults) for row in found[1:]] == [
        [BAD_ROW], ["not_assistant_pair"], ["not_assistant_pair"],
    ]  # fmt: skip


@pytest.mark.parametrize("replies", [5, "abc"])
def test_replies_that_are_no_list_are_one_bad_row(tmp_path: Path, replies: Any) -> None:
    path = write_json_lines(tmp_path / "raw", [tree([message("a", replies=replies)])])
    found = read(path, "oasst1", "drop-and-count")
    assert [BAD_ROW in row.faults for row in found] == [False, False, True]


def test_rows_whose_names_utf8_cannot_hold(tmp_path: Path) -> None:
    row = COMPOSITES["ms_marco"].good("q")
    path = tmp_path / "raw"
    path.write_text(json.dumps({name: {"\ud800": value} for name, value in row.items()}))
    (found,) = read(path, "ms_marco", "fail")
    assert found.source_row == "raw:1.\ufffd"
    path.write_text(json.dumps({"query": "q", "passages": "abc", "\ud800": 1}))
    with pytest.raises(InputError) as caught:
        read(path, "ms_marco", "fail")
    assert "\ufffd" in str(caught.value) and str(caught.value).isprintable()
