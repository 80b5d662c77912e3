import json
from dataclasses import replace
from pathlib import Path

import pytest
from scripted import completion

from reset_tuning.judging.prices import Price
from reset_tuning.judging.records import Records
from reset_tuning.judging.replies import JudgeReply, read_response
from reset_tuning.judging.requests import JudgeRequest

REQUEST = JudgeRequest("judge", "Judge.", "héllo", 0.0, 512, "here")
REPLY = read_response(completion("Très bien. Rating: [[9]]"), "judge")


def store(directory: Path, *requests: JudgeRequest) -> None:
    with Records(directory, "gpt-4") as records:
        for request in requests:
            records.store(request, REPLY)


def load(directory: Path, *requests: JudgeRequest) -> list[bool]:
    with Records(directory, "gpt-4", [request.key for request in requests]) as records:
        records.refresh()
    assert all(reply == REPLY for reply in records.replies.values())
    return [request.key in records.replies for request in requests]


def test_a_reply_comes_back_as_it_went_in(tmp_path: Path) -> None:
    store(tmp_path, REQUEST)
    assert load(tmp_path, REQUEST) == [True]
    (line,) = next((tmp_path / "gpt-4").glob("*.jsonl")).read_text().splitlines()
    assert json.loads(line)["request"] == REQUEST.body()
    assert json.loads(line)["endpoint"] == "here"
    assert json.loads(line)["response"] == REPLY.response


def test_the_address_holds_everything_that_could_change_the_reply() -> None:
    changes = [
        {"model": "x"},
        {"system": "x"},
        {"user": "x"},
        {"temperature": 1},
        {"max_tokens": 5},
        {"endpoint": "there"},
    ]
    keys = {REQUEST.key, *(replace(REQUEST, **change).key for change in changes)}
    assert len(keys) == 7
    assert replace(REQUEST).key == REQUEST.key


def test_every_process_has_a_file_and_all_are_read(tmp_path: Path) -> None:
    other = replace(REQUEST, user="other")
    with Records(tmp_path, "gpt-4") as first, Records(tmp_path, "gpt-4") as second:
        first.store(REQUEST, REPLY)
        second.store(other, REPLY)
        assert load(tmp_path, REQUEST, other) == [True, True]
    assert len(list((tmp_path / "gpt-4").glob("*.jsonl"))) == 2


def test_a_torn_line_is_skipped_wherever_it_is_cut(tmp_path: Path) -> None:
    other = replace(REQUEST, user="other")
    store(tmp_path, REQUEST, other)
    path = next((tmp_path / "gpt-4").glob("*.jsonl"))
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in (first, first + 5, first + 40, first + 200, len(whole) - 2):
        path.write_bytes(whole[:cut])
        assert load(tmp_path, REQUEST, other) == [True, False]
    path.write_bytes(whole[:-1])
    assert load(tmp_path, REQUEST, other) == [True, True]


def test_torn_lines_are_counted_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = replace(REQUEST, user="other")
    for _ in range(2):
        store(tmp_path, REQUEST, other)
    for path in (tmp_path / "gpt-4").glob("*.jsonl"):
        path.write_bytes(path.read_bytes()[:-20])
    records = Records(tmp_path, "gpt-4", [REQUEST.key, other.key])
    records.refresh()
    records.refresh(is_contended=True)
    assert set(records.replies) == {REQUEST.key}
    assert [record.message for record in caplog.records] == [
        f"skipped 2 torn lines under {tmp_path / 'gpt-4'}"
    ]


def test_lines_written_by_other_tools_are_read(tmp_path: Path) -> None:
    store(tmp_path, REQUEST)
    path = next((tmp_path / "gpt-4").glob("*.jsonl"))
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record, sort_keys=False, separators=(",", ":")) + "\n")
    assert load(tmp_path, REQUEST) == [True]


def test_no_file_appears_when_nothing_is_stored(tmp_path: Path) -> None:
    assert load(tmp_path, REQUEST) == [False]
    assert list(tmp_path.iterdir()) == []


def test_what_others_add_is_read_by_the_next_refresh(tmp_path: Path) -> None:
    other = replace(REQUEST, user="other")
    with (
        Records(tmp_path, "gpt-4", [REQUEST.key, other.key]) as mine,
        Records(tmp_path, "gpt-4") as theirs,
    ):
        mine.store(REQUEST, REPLY)
        theirs.store(other, REPLY)
        assert set(mine.replies) == {REQUEST.key}
        for _ in range(2):
            mine.refresh()
            assert set(mine.replies) == {REQUEST.key, other.key}
            assert (mine.usage.replies, mine.usage.prompt_tokens["live"]) == (2, 22)


def test_how_a_reply_was_bought_is_on_record(tmp_path: Path) -> None:
    other = replace(REQUEST, user="other")
    with Records(tmp_path, "gpt-4") as records:
        records.store(REQUEST, replace(REPLY, via="batch"))
        records.store(other, REPLY)
    records = Records(tmp_path, "gpt-4", [REQUEST.key])
    records.refresh()
    assert records.replies[REQUEST.key].via == "batch"
    usage = Records(tmp_path, "gpt-4")
    usage.refresh()  # of other jobs' replies only the tokens count
    for found in (records.usage, usage.usage):
        assert found.replies == 2
        assert found.prompt_tokens == {"live": 11, "batch": 11}
        assert found.dollars(Price(1e6, 1e6, batch_discount=0.5)) == 16 + 8


def test_a_line_that_is_being_written_is_read_when_it_is_whole(tmp_path: Path) -> None:
    store(tmp_path, REQUEST)
    path = next((tmp_path / "gpt-4").glob("*.jsonl"))
    whole = path.read_bytes()
    path.write_bytes(whole[:50])
    records = Records(tmp_path, "gpt-4", [REQUEST.key])
    records.refresh()
    assert records.replies == {}
    path.write_bytes(whole)
    records.refresh()
    assert set(records.replies) == {REQUEST.key}


def test_the_latest_failure_is_kept_and_a_reply_outweighs_it(tmp_path: Path) -> None:
    for detail in ("timeout: first", "server_error: second"):
        with Records(tmp_path, "gpt-4") as records:
            records.store(REQUEST, JudgeReply("judge", error=detail))
    records = Records(tmp_path, "gpt-4", [REQUEST.key])
    records.refresh()
    assert records.failures[REQUEST.key].error == "server_error: second"
    assert records.replies == {} and records.usage.replies == 0
