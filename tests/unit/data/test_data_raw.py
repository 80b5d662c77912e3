"""Containers of raw files: told apart by content, and clear about what is wrong with them."""

import csv
import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reset_tuning.data import raw_csv, raw_json, raw_parquet
from reset_tuning.data.raw import read_records
from reset_tuning.data.rows import BadRow
from reset_tuning.errors import InputError

RECORDS = [{"a": "x", "b": 1}, {"a": 'é\u2028 "}{[', "b": 2}, {"a": "", "b": 3}]
LINES = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in RECORDS)


def written(folder: Path, content: str | bytes, name: str = "raw.bin") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path) -> list[tuple[str, dict]]:
    return list(read_records(path))


@pytest.mark.parametrize(
    "text",
    [
        LINES,
        LINES.rstrip("\n"),
        LINES.replace("\n", "\r\n"),
        json.dumps(RECORDS),
        json.dumps(RECORDS, indent=1),
        "  \n" + json.dumps(RECORDS, indent=4),
        "\n".join(json.dumps(record, indent=2) for record in RECORDS),
        "\ufeff" + json.dumps(RECORDS),
        "\ufeff" + LINES,
        " " * 5000 + json.dumps(RECORDS) + " " * 5000,
        "\n" * 5000 + LINES,
        "\ufeff" + "\n" * 5000 + LINES,
    ],
    ids=[
        "lines",
        "no-end",
        "crlf",
        "list",
        "indented",
        "spaced",
        "objects",
        "bom-list",
        "bom-lines",
        "late-list",
        "late-lines",
        "bom-late-lines",
    ],
)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_json_is_read_whatever_its_layout(tmp_path: Path, text: str, packed: bool) -> None:
    content = gzip.compress(text.encode()) if packed else text.encode()
    # The name says the opposite of the content.
    rows = read(written(tmp_path, content, "raw.json" if packed else "raw.json.gz"))
    assert [record for _, record in rows] == RECORDS


WHOLE_OBJECTS = [
    *('{"a": [\n{"b": 1}\n]}\n', '{\n"a":\n\n1}\n', '{"a":\n{"b": 1}}'),
    *('\n{"a": [\n\n{"b": 1}\n\n,{"c": 2}]}', '{"a":\n{"b": 1}\n,"c": [\n{}\n]\n}'),
]


@pytest.mark.parametrize("text", WHOLE_OBJECTS)
def test_an_object_whose_second_line_is_one_is_read_whole(tmp_path: Path, text: str) -> None:
    assert [record for _, record in read(written(tmp_path, text))] == [json.loads(text)]


@pytest.mark.parametrize(
    "first",
    [
        "Loaded 1000 rows, done",
        'in the middle", "b": 1}',
        "\ufeffa,b",
        "# one\n\n# two, or more",
        "a,b\n" + '{"a": 1',
    ],
)
def test_a_first_line_of_something_else_is_a_bad_row_of_json_lines(
    tmp_path: Path, first: str
) -> None:
    path = written(tmp_path, f"{first}\n{LINES}", "x.jsonl")
    with pytest.raises(InputError, match=r"x\.jsonl line 1 is not valid JSON"):
        read(path)
    rows = list(read_records(path, tolerant=True))
    bad = [row for row, record in rows if isinstance(record, BadRow)]
    assert bad == [f"x.jsonl:{n}" for n, line in enumerate(first.split("\n"), start=1) if line]
    assert [record for _, record in rows if not isinstance(record, BadRow)] == RECORDS


def test_a_first_line_of_something_else_before_a_line_longer_than_the_look(tmp_path: Path) -> None:
    long = {"a": "x" * (2 << 20)}
    path = written(tmp_path, f"Loaded 1 row, done\n{json.dumps(long)}\n")
    (_, bad), (_, good) = read_records(path, tolerant=True)
    assert isinstance(bad, BadRow) and good == long


def test_a_csv_record_may_begin_like_an_object(tmp_path: Path) -> None:
    path = written(tmp_path, 'a,b\n{"x": 1},2\n"{""x"": 1\n}",3\n')
    assert [record["b"] for _, record in read(path)] == ["2", "3"]
    path = written(tmp_path, 'a,b\n{"x": 1},2')  # also without a line break at the end
    assert [record["b"] for _, record in read(path)] == ["2"]


@pytest.mark.parametrize("between", ["", " ", "\r", "\r\r"])
@pytest.mark.parametrize("end", ["", "\n", "\n" + LINES])
def test_objects_one_after_another_on_a_line_are_each_read(
    tmp_path: Path, between: str, end: str
) -> None:
    path = written(tmp_path, LINES.replace("\n", between) + end, "x.jsonl")
    rows = list(read_records(path, tolerant=True))
    expected = RECORDS * 2 if LINES in end else RECORDS
    assert rows == [(f"x.jsonl:{n}", record) for n, record in enumerate(expected, start=1)]


def test_source_rows_are_line_numbers(tmp_path: Path) -> None:
    path = written(tmp_path, '{"a": 1}\n\n{"a": 2}\n', "x.jsonl")
    assert [row for row, _ in read(path)] == ["x.jsonl:1", "x.jsonl:3"]


def test_csv_fields_may_hold_line_breaks(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    with path.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerows([["article", "id"], ['He said "no",\nthen left', "1"], ["b", "2"]])
    assert read(path) == [
        ("x.csv:2", {"article": 'He said "no",\nthen left', "id": "1"}),
        ("x.csv:4", {"article": "b", "id": "2"}),
    ]
    written(tmp_path, "\n\na,b\n1,2\n", "y.csv")
    assert read(tmp_path / "y.csv") == [("y.csv:4", {"a": "1", "b": "2"})]


def test_a_broken_quote_stops_a_csv_file_though_bad_rows_are_tolerated(tmp_path: Path) -> None:
    rows = read_records(written(tmp_path, 'a,b\n1,2\n"1"x,2\n3,4\n'), tolerant=True)
    assert next(rows) == ("raw.bin:2", {"a": "1", "b": "2"})
    with pytest.raises(InputError, match="not valid csv in the record that begins in line 3"):
        next(rows)


def test_blanks_around_the_names_of_a_csv_header_are_no_part_of_them(tmp_path: Path) -> None:
    path = written(tmp_path, "id, article ,\thighlights\n1, a,b \n")
    assert read(path) == [("raw.bin:2", {"id": "1", "article": " a", "highlights": "b "})]


@pytest.mark.parametrize("limit", [100, 1 << 20])
def test_an_open_quote_is_told_where_its_record_begins(
    tmp_path: Path, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_csv, "_LONGEST_FIELD", limit)
    path = written(tmp_path, 'a,b\n\n"1\n",2\n"open,2\n' + "3,4\n" * 1000, "x.csv")
    rows = read_records(path, tolerant=True)
    assert next(rows) == ("x.csv:3", {"a": "1\n", "b": "2"})
    fault = "field larger than field limit" if limit == 100 else "unexpected end of data"
    with pytest.raises(InputError, match=f"in the record that begins in line 5: {fault}"):
        next(rows)


def test_a_bad_csv_record_is_named_by_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, 'a,b\n"1\n2",2\n\nonly\n', "x.csv")
    _, (row, bad) = read_records(path, tolerant=True)
    assert row == "x.csv:5"
    assert bad == BadRow("x.csv line 5 has 1 fields where the header has 2")


def test_parquet_structs_come_as_lists(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    frame = pd.DataFrame({"q": ["a"], "passages": [{"text": ["u", "v"], "selected": [0, 1]}]})
    frame.to_parquet(path)
    assert read(path) == [
        ("x.parquet:1", {"q": "a", "passages": {"text": ["u", "v"], "selected": [0, 1]}})
    ]


@pytest.mark.parametrize("rows_held", [999, 1000])
def test_parquet_rows_come_as_arrow_gives_them(
    rows_held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nested columns with and without nulls, against pyarrow's own conversion; read by either."""
    monkeypatch.setattr(raw_parquet, "_ROWS_HELD", rows_held)
    passages = {"text": ["u", "v"], "selected": [0, 1]}
    rows = [
        {"q": f"q{n}", "n": n, "passages": passages, "answers": ["a"] if n % 3 else []}
        for n in range(2500)
    ]
    rows[7]["passages"] = None
    rows[8]["passages"] = {"text": None, "selected": [1]}
    rows[9]["answers"] = None
    table = pa.Table.from_pylist(rows)
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=1000)
    whole = [record for _, record in read_records(tmp_path / "x.parquet")]
    assert whole == table.to_pylist()
    passed_over: list[int] = []
    found = read_records(
        tmp_path / "x.parquet",
        columns=["q", "passages", "answers", "absent"],
        unless_empty=("answers", passed_over.append),
    )
    assert list(found) == [
        (f"x.parquet:{place}", {key: row[key] for key in ("q", "passages", "answers")})
        for place, row in enumerate(rows, start=1)
        if row["answers"] != []
    ]
    assert sum(passed_over) == sum(row["answers"] == [] for row in rows)


def test_zip_members_in_order_without_the_systems_own(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("test/", "")
        archive.writestr("test/2.json", '{"a": 2}')
        archive.writestr("test/1.json", json.dumps({"a": 1}, indent=1))
        archive.writestr("__MACOSX/test/._1.json", "junk")
        archive.writestr("lines.gz", gzip.compress(b'{"a": 3}\n{"a": 4}\n'))
    rows = read(path)
    assert [row for row, _ in rows] == [
        "x.zip/lines.gz:1", "x.zip/lines.gz:2", "x.zip/test/1.json:1", "x.zip/test/2.json:1",
    ]  # fmt: skip
    assert [record["a"] for _, record in rows] == [3, 4, 1, 2]


def test_hidden_members_of_a_zip_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    hidden = [".data/2.json", ".data/1.json", "a/.b"]
    for number, names in enumerate(([], hidden)):
        with zipfile.ZipFile(tmp_path / f"{number}.zip", "w") as archive:
            for name in ("1.json", "__MACOSX/._1.json", "a/.DS_Store", "._1.json", *names):
                archive.writestr(name, LINES if name == "1.json" else "\0")
        assert [record for _, record in read(tmp_path / f"{number}.zip")] == RECORDS
    (said,) = caplog.messages
    assert said.startswith("1.zip: 3 members behind a dot are not read, .data/1.json first;")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zip_members_of_one_name_are_each_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("x.json", '{"a": 1}')
        archive.writestr("x.json", '{"a": 2}')
    assert [record["a"] for _, record in read(tmp_path / "x.zip")] == [1, 2]


def spoilt_zip(place: int, value: int, method: int = zipfile.ZIP_STORED) -> bytes:
    """Return a zip file of one member with another byte at this place of its entry in the index.

    A negative place counts from the entry, back into the member's content.
    """
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("é.json", LINES, method)
    content = bytearray(out.getvalue())
    content[content.rindex(b"PK\x01\x02") + place] = value
    return bytes(content)


LIST = json.dumps(RECORDS)
GZIPPED_LIST = gzip.compress((LIST + " " * (3 << 20)).encode(), mtime=0)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b" " * 5000, "is empty"),
        (b"\n" * (1 << 21) + b"[]", "begins with 1 MiB of white space"),
        (gzip.compress(LINES.encode() * 200, mtime=0)[:-30], "truncated or damaged"),
        (b"\x1f\x8b" + b"\x00" * 30, "truncated or damaged"),
        (b"PK\x03\x04 not a zip", "truncated or damaged"),
        (b"PAR1 not parquet", "not a readable parquet"),
        ('{"a": 1}\n{"a": 2\n{"a": 3}\n', "line 2 is not valid JSON"),
        ('{"a": 1,}\n{"a": 2}\n', "line 1 is not valid JSON"),
        ('{"a": 1}\n[2]\n', "line 2 is a JSON list, not an object"),
        ('[{"a": 1},\n {"a": }]', "line 2 is not valid JSON"),
        ('[{"a": 1},\n {"a": 2}', "line 2 is not valid JSON"),
        ('[{"a": 1},\n {"a": "2', "is not valid JSON"),
        ('[{"a": 1}\n{"a": 2}]', "line 2 is not valid JSON"),
        ('{"a": "1\n{"a": 2}\n', "line 1 is not valid JSON: Invalid control"),
        ('{"a": 1,\n{"a": 2}\n', "line 1 is not valid JSON: Expecting property name"),
        ('{"a": 1' + "0" * 5000 + '}\n{"a": 2}\n', "line 1 .*: a number of .* digits$"),
        ('{"a": 1}\n{"a": ' + "[" * 200_000 + "]" * 200_000 + "}", "line 2 .*recursion"),
        ('{"a": ' + "[" * 200_000 + "]" * 200_000 + '}\n{"a": 1}', "line 1 .*recursion"),
        ('[{"a": 1},\n{"a": 1' + "0" * 5000 + "}]", "record at line 2 .*: a number of .* digits; "),
        ('[{"a": 1},\n{"a": ' + "[" * 200_000 + "]}]", "record at line 2 cannot be .*recursion"),
        (LIST + LIST, "line 1: more follows the end of the JSON list"),
        (f"{LIST}\n{LIST}\n", "line 2: more follows the end of the JSON list"),
        (f"{LIST}\n\ngarbage", "line 3: more follows"),
        (LIST + "\n" * (1 << 20) + "]", "line 1048577: more follows"),
        (gzip.compress(LIST.encode(), mtime=0) * 2, "line 1: more follows"),
        (GZIPPED_LIST[:-8], "truncated or damaged"),
        (GZIPPED_LIST[:-8] + bytes(8), "truncated or damaged .*CRC"),
        (spoilt_zip(8, 1), "/é.json cannot be unpacked .*password.*; zip it anew"),
        (spoilt_zip(10, 9), "/é.json cannot be unpacked .*compression.*; zip it anew"),
        (spoilt_zip(6, 200), "truncated or damaged .*version"),
        (spoilt_zip(-30, 255, zipfile.ZIP_LZMA), "truncated or damaged"),
        (spoilt_zip(46, 255), "truncated or damaged"),
        ("[1, 2]", "record 1 is a JSON int, not an object"),
        ("[]", "holds no records"),
        ('{"a": "é"}\n'.encode("latin-1"), "line 1 is not UTF-8"),
        ('[{"a": "é"}]'.encode("latin-1"), "is not UTF-8"),
        ('a,b\n"é",1\n'.encode("latin-1"), "is not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "is UTF-16"),
        ('{"a": 1}'.encode("utf-32"), "is UTF-32"),
        (b"\x00\x00\xfe\xff" + '{"a": 1}'.encode("utf-32-be"), "is UTF-32"),
        (b"\x89PNG\x00\x01", "none of the known contents"),
        (b"BM,x\n\x00,\x01\n", "none of the known contents"),
        ('{"a": 1}\n'.encode("utf-16-le"), "none of the known contents"),
        ('[\n{"a": 1}]'.encode("utf-16-le"), "none of the known contents"),
        ("Just a sentence.\nAnd one more.\n", "none of the known contents"),
        ("prompt\nhello\n", "csv with a header of at least two columns"),
        ("a;b\n1;2\n", "looks like csv without commas; separate"),
        ("a\tb\n1\t2\n", "looks like csv without commas; separate"),
        ("a,b,a\n1,2,3\n", "names the csv column 'a' twice; rename"),
        ("a,b\n1,2\n3\n", "line 3 has 1 fields where the header has 2"),
        ('a,b\n"1"x,2\n', "not valid csv in the record that begins in line 2: .*; mend"),
        ("<!DOCTYPE html><html>", "is a web page"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_a_sentence(
    tmp_path: Path, content: str | bytes, sentence: str
) -> None:
    path = written(tmp_path, content, "raw.data")
    with pytest.raises(InputError, match=sentence) as caught:
        read(path)
    assert "raw.data" in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be opened"):
        read(tmp_path / "absent.json")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60)
@given(
    st.lists(st.dictionaries(st.text(), json_values, max_size=4), min_size=1, max_size=6),
    st.sampled_from([None, 1]),
    st.integers(1, 40),
    st.booleans(),
)
def test_a_list_is_streamed_through_any_window(
    tmp_path_factory: pytest.TempPathFactory,
    records: list[dict],
    indent: int | None,
    window: int,
    ascii_only: bool,
) -> None:
    path = tmp_path_factory.mktemp("raw") / "list.json"
    path.write_text(json.dumps(records, indent=indent, ensure_ascii=ascii_only), "utf-8")
    whole = raw_json._CHUNK
    raw_json._CHUNK = window
    try:
        assert [record for _, record in read_records(path)] == records
    finally:
        raw_json._CHUNK = whole


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_form_does_not_depend_on_the_packing(tmp_path: Path, pack: Any) -> None:
    """JSON lines are told from csv by the first MiB, of what is packed too."""
    lines = "a, b\n" + f'"{"x" * 100_000}", 1\n' + LINES
    found = read_records(written(tmp_path, pack(lines.encode())), tolerant=True)
    assert [record for _, record in found if not isinstance(record, BadRow)] == RECORDS


def test_members_of_a_packed_zip_are_read_in_passing(tmp_path: Path) -> None:
    """Going back in a gzip stream starts it anew: for each member that takes the square of time."""
    counts = []
    for n_members in (3, 30):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for member in range(n_members):
                archive.writestr(f"{member:02}.json", LINES * (1 + 3000 * (member % 3)))
        path = written(tmp_path, gzip.compress(packed.getvalue(), 1))
        rewind = gzip._GzipReader._rewind
        with mock.patch.object(
            gzip._GzipReader, "_rewind", autospec=True, side_effect=rewind
        ) as rewound:
            assert len(read(path)) == 3 * (n_members + 3000 * n_members)
        counts.append(rewound.call_count)
    assert counts[0] == counts[1]


@pytest.mark.parametrize("cut", ['{"a": {"0": 1', '{"a": {"0": 1}, "b', '{"a": {"0": 1},'])
def test_a_first_line_that_is_cut_and_looks_like_columns_is_one_bad_row(
    tmp_path: Path, cut: str
) -> None:
    found = list(read_records(written(tmp_path, f'{cut}\n{{"a": {{"0": 2}}}}\n'), tolerant=True))
    assert isinstance(found[0][1], BadRow) and found[1:] == [("raw.bin:2", {"a": {"0": 2}})]


def test_columns_may_begin_behind_blank_lines(tmp_path: Path) -> None:
    found = read(written(tmp_path, '\n \n{"query": {"4": "x"}, "answers": {"4": ["y"]}}'))
    assert found == [("raw.bin:1.4", {"query": "x", "answers": ["y"]})]
