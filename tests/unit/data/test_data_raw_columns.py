"""MS MARCO's raw form, an object of columns: streamed, and the same rows as when read whole."""

import gzip
import io
import json
import logging
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reset_tuning.data import raw, raw_columns, raw_forms, raw_json
from reset_tuning.data.candidates import BAD_ROW, Candidate
from reset_tuning.data.raw import read_records
from reset_tuning.data.readers.contexts import ms_marco_rows
from reset_tuning.data.readers.formats import ReaderOptions
from reset_tuning.data.readers.registry import read_candidates
from reset_tuning.data.rows import BadRow
from reset_tuning.errors import InputError

PASSAGES = [{"is_selected": 1, "passage_text": "the cod", "url": "u"}, {"passage_text": "é\n"}]
TABLE = {
    "answers": {"7": ["cod"], "0": []},
    "passages": {"7": PASSAGES, "0": []},
    "query": {"7": "which fish?", "0": "none?"},
    "query_id": {"7": 1234567, "0": -1.5e-3},
    "wellFormedAnswers": {"7": ["It is the cod."], "0": "[]"},
}
TEXT = json.dumps(TABLE)
ROWS = [
    (f"raw.json:1.{key}", {name: column[key] for name, column in TABLE.items()})
    for key in ("7", "0")
]


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "raw.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def zipped(content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a", content)
    return packed.getvalue()


@pytest.fixture
def _streamed() -> Iterator[None]:
    """Reading the columns whole is an error."""
    with mock.patch.object(raw, "form_of_objects", side_effect=AssertionError):
        yield


def candidates(path: Path, on_bad_row: str) -> list[Candidate] | str:
    """The candidates of a file, or what is wrong with it."""
    asked = (path, "raw", "abstractive_qa", "ms_marco", ReaderOptions(), on_bad_row)
    try:
        return list(read_candidates(*asked))
    except InputError as error:
        return str(error)


# --- equal to the whole ---------------------------------------------------------------------------

odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.dictionaries(st.text(max_size=2), st.text(), max_size=2),
    st.recursive(st.lists(st.text(), max_size=2), lambda inner: st.lists(inner, max_size=2)),
)
passages = st.lists(
    st.fixed_dictionaries(
        {"passage_text": st.text(min_size=1)}, optional={"is_selected": st.sampled_from([0, 1])}
    ),
    max_size=3,
)
VALUES = {
    "query": st.text(),
    "passages": passages,
    "wellFormedAnswers": st.just("[]") | st.lists(st.text(), max_size=2),
    "answers": st.lists(st.text(), max_size=2),
    "query_id": st.integers() | st.floats(allow_nan=False),
}


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    """Columns in any order, each with rows in its own order, without some, or no object at all."""
    keys = draw(st.lists(st.integers(0, 1200).map(str), unique=True, max_size=5))
    names = draw(st.permutations(list(VALUES)))
    if draw(st.integers(0, 4)) == 0:
        names = names[:3]
    table = {}
    for name in names:
        known = draw(st.permutations(keys)) if draw(st.booleans()) else keys
        missing = draw(st.sets(st.sampled_from(keys), max_size=1)) if keys else ()
        likely = st.one_of(*[VALUES[name]] * 6, odd)
        table[name] = {key: draw(likely) for key in known if key not in missing}
    if draw(st.integers(0, 9)) == 0:
        table[draw(st.sampled_from(["query", "version", "é"]))] = draw(odd)
    return table


@settings(max_examples=200)
@given(tables(), st.sampled_from([None, 1]), st.booleans(), st.integers(1, 60))
@example({"answers": {"0": []}, "passages": {"0": []}, "query": {}}, None, False, 1)
def test_columns_are_read_as_when_held_whole(
    tmp_path_factory: pytest.TempPathFactory,
    table: dict[str, Any],
    indent: int | None,
    ascii_only: bool,
    window: int,
) -> None:
    text = json.dumps(table, indent=indent, ensure_ascii=ascii_only)
    path = written(tmp_path_factory.mktemp("raw"), text)
    logging.disable()
    for on_bad_row in ("fail", "drop-and-count"):
        with mock.patch.object(raw_json, "_CHUNK", window):
            streamed = candidates(path, on_bad_row)
        with mock.patch.object(raw_forms, "_may_be_columns", lambda text: False):
            assert streamed == candidates(path, on_bad_row)
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("_streamed")
@pytest.mark.parametrize(
    "content",
    [
        TEXT,
        "\ufeff" + TEXT + "\n \n",
        json.dumps(TABLE, indent=2).replace("\n", "\r\n"),
        gzip.compress(TEXT.encode()),
        zipped(gzip.compress(TEXT.encode())),
    ],
    ids=["line", "bom", "indented", "gzip", "gzip-in-zip"],
)
def test_columns_are_streamed(tmp_path: Path, content: str | bytes) -> None:
    rows = list(read_records(written(tmp_path, content)))
    assert [record for _, record in rows] == [record for _, record in ROWS]
    assert [row.rpartition(":")[2] for row, _ in rows] == ["1.7", "1.0"]


@pytest.mark.usefixtures("_streamed")
def test_rows_come_in_the_order_of_the_queries(tmp_path: Path) -> None:
    table = TABLE | {"query_id": {"0": -1.5e-3, "7": 1234567}, "url": {}}
    rows = list(read_records(written(tmp_path, json.dumps(table))))
    assert rows == [(row, record | {"url": None}) for row, record in ROWS]


BESIDE = TABLE | {
    "answers": {"3": ["x"], "0": [], "7": ["cod"], "5": []},
    "passages": {"4": [], "5": [], "7": PASSAGES, "0": []},
}


@pytest.mark.usefixtures("_streamed")
def test_rows_without_a_query_come_last(tmp_path: Path) -> None:
    rows = list(read_records(written(tmp_path, json.dumps(BESIDE))))
    assert rows[:2] == ROWS
    assert [row for row, _ in rows[2:]] == ["raw.json:1.3", "raw.json:1.5", "raw.json:1.4"]
    empty = {"query_id": None, "wellFormedAnswers": None}
    assert rows[3][1] == empty | {"answers": [], "passages": []}


@pytest.mark.parametrize("records", [[BESIDE], [BESIDE, BESIDE]], ids=["streamed", "whole"])
def test_rows_without_a_query_are_bad(tmp_path: Path, records: list[dict[str, Any]]) -> None:
    path = written(tmp_path, "".join(json.dumps(record) + "\n" for record in records))
    assert "raw:1.3 is not a ms_marco record" in candidates(path, "fail")
    found = candidates(path, "drop-and-count")
    bad = [candidate.source_row for candidate in found if BAD_ROW in candidate.faults]
    assert bad == [f"raw:{n}.{key}" for n in range(1, len(records) + 1) for key in (3, 5, 4)]


@pytest.mark.usefixtures("_streamed")
@pytest.mark.parametrize("window", range(1, 24))
def test_numbers_may_cross_the_windows_end(tmp_path: Path, window: int) -> None:
    with mock.patch.object(raw_json, "_CHUNK", window):
        assert list(read_records(written(tmp_path, TEXT))) == ROWS


@pytest.mark.usefixtures("_streamed")
def test_of_equal_keys_the_last_one_counts(tmp_path: Path) -> None:
    text = (
        '{"query": {"0": "x", "1": "b"}, "passages": {"0": 1}, "passages": {"1": 2},'
        ' "query": {"0": "y", "1": "c", "0": "a"}}'
    )
    rows = list(read_records(written(tmp_path, text)))
    whole = list(ms_marco_rows(json.loads(text)))
    assert [(row.rpartition(".")[2], record) for row, record in rows] == whole


@pytest.mark.parametrize("first", ['{"labels": {"0": 1}, "t": {"0": NOPE}}', '{"t": {"0": 1}, "x'])
def test_json_lines_whose_first_line_looks_like_columns_stay_lines(
    tmp_path: Path, first: str
) -> None:
    path = written(tmp_path, f'{first}\n{{"t": "b"}}\n{{"t": "c"}}\n')
    bad, *rest = (record for _, record in read_records(path, tolerant=True))
    assert isinstance(bad, BadRow) and rest == [{"t": "b"}, {"t": "c"}]


@pytest.mark.usefixtures("_streamed")
def test_the_file_is_read_once(tmp_path: Path) -> None:
    with mock.patch.object(raw, "read_columns", side_effect=raw.read_columns) as reader:
        found = candidates(written(tmp_path, TEXT), "fail")
    assert reader.call_count == 1
    assert [candidate.source_row for candidate in found] == ["raw:1.7", "raw:1.0"]


# --- other objects --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, lambda content: zipped(gzip.compress(content))]
)
@pytest.mark.parametrize(
    "records",
    [
        [{"labels": {"0": 1}, "text": "a"}, {"labels": {"0": 2}, "text": "b"}],
        [TABLE, TABLE],
        [{"labels": {"0": 1}}],
        [{"labels": {"0": 1, "x": 2}, "query": {"0": "a"}}],
        [TABLE | {"version": 2.1}],
    ],
    ids=["text", "several", "no-query", "other-keys", "version"],
)
def test_other_objects_are_read_as_they_are(tmp_path: Path, records: list, pack: Any) -> None:
    text = "".join(json.dumps(record) + "\n" for record in records)
    found = [record for _, record in read_records(written(tmp_path, pack(text.encode())))]
    assert found == records


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_streamed")
@pytest.mark.parametrize("cut", range(20, len(TEXT), 3))
def test_a_truncated_file_is_named(tmp_path: Path, cut: int) -> None:
    with pytest.raises(InputError, match=r"^raw\.json .*; is the file whole\?$"):
        list(read_records(written(tmp_path, TEXT[:cut]), tolerant=True))


@pytest.mark.usefixtures("_streamed")
def test_a_truncated_gzip_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^raw\.json is truncated or damaged .*fetch"):
        list(read_records(written(tmp_path, gzip.compress(TEXT.encode())[:-12])))


@pytest.mark.usefixtures("_streamed")
@pytest.mark.parametrize(
    ("right", "wrong", "where"),
    [
        ("-0.0015", "-0.00.15", r"\(column query_id, row 0\) .*expected ',', found '\.'"),
        ('"none?"', "none?", r"\(column query, row 0\) .*Expecting value"),
        ('"cod"]', '"cod"', r"\(column answers, row 7\) .*Expecting ',' delimiter"),
        ('"none?"', "[" * 9000, r"\(column query, row 0\): .* cannot be read: .*recursion"),
        ('"none?"', "1" * 9000, r"\(column query, row 0\): .* cannot be read: .*4300 digits"),
        ('"none?"}', '"none?",}', r"\(column query, row 0\) .*expected '\"', found '}'"),
        ('"query_id": {', '"query_id" {', r"raw\.json line 1 .*expected ':', found '{'"),
    ],
)
def test_a_broken_value_is_named(tmp_path: Path, right: str, wrong: str, where: str) -> None:
    assert TEXT.count(right) == 1
    path = written(tmp_path, TEXT.replace(right, wrong))
    for tolerant in (False, True):
        with pytest.raises(InputError, match=f"^raw\\.json.*{where}|^{where}"):
            list(read_records(path, tolerant=tolerant))


@pytest.mark.usefixtures("_streamed")
def test_a_row_of_other_bytes_is_bad(tmp_path: Path) -> None:
    path = written(tmp_path, TEXT.encode().replace(b"the cod", b"the c\xf6d"))
    first, second = read_records(path, tolerant=True)
    assert first == (
        ROWS[0][0],
        BadRow(f"{ROWS[0][0]} is not UTF-8 text; convert the file to UTF-8"),
    )
    assert second == ROWS[1]


@pytest.mark.usefixtures("_streamed")
def test_an_odd_row_is_bad_and_the_others_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps(TABLE | {"query": {"7": {"a": "b"}, "0": "none?"}}))
    bad, good = candidates(path, "drop-and-count")
    assert bad.source_row == "raw:1.7" and BAD_ROW in bad.faults
    assert good.source_row == "raw:1.0" and BAD_ROW not in good.faults


@pytest.mark.usefixtures("_streamed")
def test_no_room_for_the_columns_is_said(tmp_path: Path) -> None:
    small = raw_columns._SETTINGS + "PRAGMA max_page_count=3;"
    with (
        mock.patch.object(raw_columns, "_SETTINGS", small),
        pytest.raises(InputError, match=r"^raw\.json: its columns .* full\); is there room"),
    ):
        list(read_records(written(tmp_path, TEXT)))
