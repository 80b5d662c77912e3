"""Fetching: local folders, addresses, the hub (replaced), and the manifest."""

import hashlib
import json
import os
import sys
import types
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from fetch_raw import main as fetch_raw
from helpers import ROOT
from reset_tuning.config import normalise
from reset_tuning.data.fetch import fetch
from reset_tuning.data.manifests import read_manifest
from reset_tuning.data.sources.local import local_files
from reset_tuning.errors import InputError
from reset_tuning.experiment import Experiment
from reset_tuning.files import sha256_of

DIGEST = hashlib.sha256(b"{}\n").hexdigest()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of raw files as $RESET_RAW_DIR."""
    for name in ("nq/a/train.jsonl", "nq/test.jsonl", "nq/notes.txt", "nq/user_oriented.jsonl"):
        path = tmp_path / "local" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}\n")
    monkeypatch.setenv("RESET_RAW_DIR", str(tmp_path / "local"))
    return tmp_path / "local"


def local(**files: list[str]) -> dict[str, Any]:
    return {"type": "local", "directory": "nq", "files": files}


def test_local_files_are_linked_and_listed(root: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "raw/nq/manifest.json"
    source = local(train=["**/train*"], test=["test*"])
    fetch_raw(
        manifest=manifest,
        dataset="nq",
        source=source,
        licence="CC0",
        access="",
        found={"test": "1 files"},
    )
    content = json.loads(manifest.read_text())
    written = datetime.fromtimestamp((root / "nq/test.jsonl").stat().st_mtime, UTC)
    assert content["files"][1].pop("fetched") == written.isoformat(timespec="seconds")
    assert content["files"][0].pop("fetched").endswith("+00:00")
    assert content["files"] == [
        {"path": "a/train.jsonl", "split": "train", "sha256": DIGEST, "bytes": 3},
        {"path": "test.jsonl", "split": "test", "sha256": DIGEST, "bytes": 3},
    ]
    named = {key: content[key] for key in ("dataset", "source", "revision", "licence")}
    assert named == {"dataset": "nq", "source": "local:nq", "revision": None, "licence": "CC0"}
    assert (manifest.parent / "a/train.jsonl").resolve() == root / "nq/a/train.jsonl"
    fetch(manifest, "nq", source)  # again, over its own links
    assert [file.split for file in read_manifest(manifest)] == ["train", "test"]


def test_patterns_leave_files_out(root: Path) -> None:
    found = local_files("nq", local(all=["**/*.jsonl", "!**/user_oriented*"]))
    assert [path.name for path in found["all"]] == ["train.jsonl", "test.jsonl"]


@pytest.mark.parametrize("written", ["raw", "./raw/../raw", "link_to_raw", "ABSOLUTE"])
def test_the_raw_folder_itself_as_the_local_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    """Files that lie where their links would go stay as they are, and are listed."""
    monkeypatch.chdir(tmp_path)
    for name in ("test.jsonl", "a/train.jsonl", ".cache/huggingface/download/a.jsonl.metadata"):
        path = tmp_path / "raw/nq" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}\n")
    (tmp_path / "raw/nq/commit.json").write_text("{}\n")  # of an earlier download from the hub
    (tmp_path / "elsewhere.jsonl").write_text("{}\n")
    (tmp_path / "raw/nq/own_link.jsonl").symlink_to(tmp_path / "elsewhere.jsonl")
    (tmp_path / "link_to_raw").symlink_to("raw")
    monkeypatch.setenv("RESET_RAW_DIR", str(tmp_path / "raw") if written == "ABSOLUTE" else written)
    for manifest in (tmp_path / "raw/nq/manifest.json", Path("raw/nq/manifest.json")) * 2:
        fetch(manifest, "nq", local(all=["**/*.json*"]))
        listed = [(file.path, file.sha256) for file in read_manifest(manifest)]
        names = ["a/train.jsonl", "own_link.jsonl", "test.jsonl"]
        assert listed == [(name, DIGEST) for name in names]
    links = [path.name for path in (tmp_path / "raw/nq").rglob("*") if path.is_symlink()]
    assert links == ["own_link.jsonl"]


def test_a_local_folder_around_the_raw_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The links of the first fetch match the patterns of the second, and are no further files."""
    (tmp_path / "raw/nq").mkdir(parents=True)
    (tmp_path / "raw/nq/test.jsonl").write_text("{}\n")
    monkeypatch.setenv("RESET_RAW_DIR", str(tmp_path))
    manifest = tmp_path / "raw/nq/manifest.json"
    source = local(test=["**/*.jsonl"]) | {"directory": "raw"}
    for _ in range(3):
        fetch(manifest, "nq", source)
        assert [file.path for file in read_manifest(manifest)] == ["nq/test.jsonl"]
    assert (manifest.parent / "test.jsonl").read_text() == "{}\n"


def test_a_link_follows_its_file_and_no_other_file_is_replaced(root: Path, tmp_path: Path) -> None:
    manifest, source = tmp_path / "raw/nq/manifest.json", local(test=["test*"])
    manifest.parent.mkdir(parents=True)
    link = manifest.parent / "test.jsonl"
    link.write_text("{}\n")  # as another kind of source left it
    fetch(manifest, "nq", source)
    assert not link.is_symlink() and read_manifest(manifest)[0].sha256 == DIGEST, "a copy stays"
    link.write_text('{"downloaded": 1}\n')
    with pytest.raises(
        InputError, match=r"raw/nq/test.jsonl is in the way of .*/nq/test.jsonl .*; move it away"
    ):
        fetch(manifest, "nq", source)
    assert link.read_text() == '{"downloaded": 1}\n'
    for target in ("gone.jsonl", root / "nq/user_oriented.jsonl"):
        link.unlink()
        link.symlink_to(target)
        fetch(manifest, "nq", source)
        assert link.resolve() == root / "nq/test.jsonl"


@pytest.mark.parametrize("name", ["manifest.json", "commit.json", "digests.json"])
def test_names_of_the_raw_folder_are_no_local_data(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    (root / "nq/a" / name).write_text("{}\n")  # further down it is a name like any other
    (root / "nq" / name).write_text("the user's")
    manifest = tmp_path / "raw/nq/manifest.json"
    fetch(manifest, "nq", local(all=["**/*.json", "test*"]))
    assert [file.path for file in read_manifest(manifest)] == [f"a/{name}", "test.jsonl"]
    assert (root / "nq" / name).read_text() == "the user's"
    assert f"{name} in {root / 'nq'} is not read" in caplog.text and "rename it" in caplog.text
    with pytest.raises(InputError, match=rf"matches \*\.json \(.*{name}.* do not count\)"):
        local_files("nq", local(all=["*.json"]))


def test_a_link_to_a_matching_file_is_not_read_beside_it(root: Path) -> None:
    (root / "nq/latest.jsonl").symlink_to("test.jsonl")
    found = local_files("nq", local(test=["*t.jsonl"]))
    assert [path.name for path in found["test"]] == ["test.jsonl"]
    with pytest.raises(InputError, match="patterns of both train and test, itself or through a"):
        local_files("nq", local(train=["latest*"], test=["test*"]))


def test_linked_folders_are_read_like_others(root: Path, tmp_path: Path) -> None:
    for name in ("shards/0/a.jsonl", "shards/b.jsonl", "other/a/c/train.jsonl"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("{}\n")
    (root / "nq/part").symlink_to(root / "shards")
    (root / "shards/0/more").symlink_to(root / "other")
    source = local(all=["**/*.jsonl", "!user*"])
    fetch(tmp_path / "raw/manifest.json", "nq", source)
    names = ["a/train.jsonl", "part/0/a.jsonl", "part/0/more/a/c/train.jsonl", "part/b.jsonl"]
    listed = [file.path for file in read_manifest(tmp_path / "raw/manifest.json")]
    assert listed == [*names, "test.jsonl"]
    (found,) = local_files("nq", local(all=["**/0/**/a/**/train*"]))["all"]
    assert found == root / "nq/part/0/more/a/c/train.jsonl"
    left = local_files("nq", local(all=["**/*.jsonl", "!part/**/*"]))["all"]
    assert not [path for path in left if "part" in path.parts]


def test_folders_that_are_linked_in_a_circle_are_read_once(root: Path) -> None:
    for link, target in {"up": ".", "a/up": "..", "a/b": "../b", "b/a": "../a", "o": "o"}.items():
        (root / "nq" / link).parent.mkdir(exist_ok=True)
        (root / "nq" / link).symlink_to(target)
    (root / "nq/a/top").symlink_to(root)
    (root / "nq/b/late.jsonl").write_text("{}\n")
    found = local_files("nq", local(all=["**/*.jsonl"]))["all"]
    names = ["a/train.jsonl", "b/late.jsonl", "test.jsonl", "user_oriented.jsonl"]
    assert [path.relative_to(root / "nq").as_posix() for path in found] == names


def test_folders_that_all_link_to_each_other_are_searched_once(root: Path) -> None:
    folders = [root / "nq" / f"f{number}" for number in range(9)]
    for folder in folders:
        folder.mkdir()
        (folder / "own.jsonl").write_text("{}\n")
    for folder in folders:
        for other in folders:
            (folder / f"to-{other.name}").symlink_to(other)
    found = local_files("nq", local(all=["**/own.jsonl"]))["all"]
    assert found == [folder / "own.jsonl" for folder in folders]


@pytest.mark.parametrize("pattern", ["*.jsonl", "**/*.jsonl", "late.jsonl", "**/late.jsonl"])
def test_a_link_to_nothing_is_an_error(root: Path, pattern: str) -> None:
    (root / "nq/late.jsonl").symlink_to("../gone/late.jsonl")
    says = r"files.test: .*/late.jsonl is a link to ../gone/late.jsonl, where .*pattern !late.jsonl"
    with pytest.raises(InputError, match=says):
        local_files("nq", local(test=["test*", pattern]))
    found = local_files("nq", local(test=["test*", pattern, "!late.jsonl"]))["test"]
    assert "late.jsonl" not in [path.name for path in found]


@pytest.mark.parametrize(
    "pattern",
    ["/data/*.json", "", "!", ".", "**.json", "!**.json", "../nq/*.jsonl", "a/../*.jsonl"],
)
def test_what_is_no_pattern_is_refused(root: Path, pattern: str) -> None:
    with pytest.raises(InputError, match=r"^datasets.nq.source.files.test: .* no pattern .*; wri"):
        local_files("nq", local(test=["test*", pattern]))


@pytest.mark.parametrize("kind", ["local", "hub"])
def test_addresses_where_patterns_belong(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    hub(monkeypatch, [])
    source = HUB | {"type": kind, "files": {"test": [{"url": "http://127.0.0.1:9/a.json"}]}}
    with pytest.raises(
        InputError, match=rf"source.files.test: \{{'url.* no pattern .* type {kind}"
    ):
        fetch(tmp_path / "manifest.json", "nq", source)


def test_a_name_that_is_not_utf8_is_refused(root: Path) -> None:
    try:
        Path(os.fsdecode(bytes(root / "nq") + b"/caf\xe9.csv")).write_text("{}\n")
    except OSError:
        pytest.skip("the file system has UTF-8 names only")
    with pytest.raises(InputError) as error:
        local_files("nq", local(test=["*.csv"]))
    assert "datasets.nq.source.files.test" in str(error.value)
    assert r"not UTF-8, 'caf\udce9.csv'; rename it" in str(error.value)
    assert str(error.value).encode()
    assert local_files("nq", local(test=["*", "!*.csv", "!*.txt"]))


def test_what_is_missing_is_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        InputError,
        match=r"no file for split test in .*/nq matches \*\.csv, \*\.gz.*nq.enabled: false",
    ):
        local_files("nq", local(test=["*.csv", "*.gz"]))
    with pytest.raises(
        InputError, match=r"/local/gone does not exist; .* match a\*, b\*: create it"
    ):
        local_files("nq", local(train=["a*"], test=["a*", "b*"]) | {"directory": "gone"})
    with pytest.raises(InputError, match="test.jsonl matches the patterns of both train and test"):
        local_files("nq", local(train=["*.jsonl"], test=["test*"]))
    with pytest.raises(InputError, match="source.files names no files"):
        local_files("nq", local())
    monkeypatch.delenv("RESET_RAW_DIR")
    with pytest.raises(InputError, match=r"set RESET_RAW_DIR .* nq/ \(.* match \*\.csv\)"):
        local_files("nq", local(test=["*.csv"]))


def test_an_address_is_downloaded_and_checked(root: Path, tmp_path: Path) -> None:
    url = (root / "nq/test.jsonl").as_uri()
    manifest = tmp_path / "raw/nq/manifest.json"
    source = {"type": "url", "files": {"test": [{"url": url, "sha256": DIGEST}]}}
    fetch(manifest, "nq", source)
    (file,) = read_manifest(manifest)
    assert (file.path, file.split, file.sha256) == ("test/test.jsonl", "test", DIGEST)
    assert json.loads(manifest.read_text())["source"] == url


def test_a_manifest_made_again_is_the_same(root: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "raw/nq/manifest.json"
    fetch(manifest, "nq", local(train=["**/train*"], test=["test*"]))
    first = manifest.read_bytes()
    manifest.unlink()
    fetch(manifest, "nq", local(train=["**/train*"], test=["test*"]))
    assert manifest.read_bytes() == first


def test_a_download_with_the_right_digest_is_not_repeated(root: Path, tmp_path: Path) -> None:
    source = {"type": "url", "files": {"test": [{"url": "http://127.0.0.1:9/test.jsonl"}]}}
    source["files"]["test"][0]["sha256"] = DIGEST
    (tmp_path / "test").mkdir()
    (tmp_path / "test/test.jsonl").write_text("{}\n")
    fetch(tmp_path / "manifest.json", "nq", source)
    assert read_manifest(tmp_path / "manifest.json")[0].sha256 == DIGEST


def test_the_first_content_of_an_address_is_kept_to(root: Path, tmp_path: Path) -> None:
    """An address without a sha256 whose content changes between two fetches."""
    manifest, file = tmp_path / "raw/nq/manifest.json", root / "nq/test.jsonl"
    entry = {"url": file.as_uri()}
    source = {"type": "url", "files": {"test": [entry]}}

    def fetched() -> str:
        manifest.unlink(missing_ok=True)
        fetch(manifest, "nq", source)
        return read_manifest(manifest)[0].sha256

    assert fetched() == fetched() == DIGEST
    file.write_text('{"other": 1}\n')
    other = sha256_of(file)
    assert fetched() == DIGEST, "what was fetched is still there"
    (manifest.parent / "test/test.jsonl").unlink()
    accept = "to accept it, set its sha256 in datasets.nq.source.files or delete .*digests.json"
    with pytest.raises(InputError, match=f"has changed since it was first fetched .*{accept}"):
        fetched()
    entry["sha256"] = other.upper()
    assert fetched() == other
    del entry["sha256"]
    assert fetched() == other, "the newly accepted content is the pin"
    file.write_text("{}\n")
    (manifest.parent / "test/test.jsonl").write_text("edited")
    with pytest.raises(InputError, match="has changed since"):
        fetched()
    (manifest.parent / "digests.json").write_text("[]")
    with pytest.raises(InputError, match="digests.json, .* is not readable .*delete it to accept"):
        fetched()
    (manifest.parent / "digests.json").unlink()
    with pytest.raises(InputError, match="test/test.jsonl is in the way of file:.*move it away"):
        fetched()
    (manifest.parent / "test/test.jsonl").unlink()
    assert fetched() == DIGEST


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("", "nothing"),
        ("\ufeff\n", "nothing"),
        ("<!DOCTYPE html><title>Sign in</title>", "a web page"),
        ("\ufeff\n <html>", "a web page"),
    ],
)
@pytest.mark.parametrize("sha256", [None, DIGEST])
def test_no_web_page_and_no_empty_body_is_pinned(
    root: Path, tmp_path: Path, body: str, fault: str, sha256: str | None
) -> None:
    manifest, file = tmp_path / "raw/nq/manifest.json", root / "nq/test.jsonl"
    entry = {"url": file.as_uri(), "sha256": sha256}
    source = {"type": "url", "files": {"test": [entry]}}
    file.write_text(body)
    with pytest.raises(InputError, match=f"test.jsonl gave {fault} instead of a data file; open"):
        fetch(manifest, "nq", source)
    assert not [path for path in manifest.parent.rglob("*") if path.is_file()]
    file.write_text("{}\n")
    fetch(manifest, "nq", source)
    assert read_manifest(manifest)[0].sha256 == DIGEST


@pytest.mark.parametrize("written", ["9" * 64, "0", "123", "abc", f"' {DIGEST}'"])
def test_a_digest_that_is_no_text_of_64_digits_is_refused_with_the_configuration(
    written: str,
) -> None:
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    files = yaml.safe_load(f"test: [{{url: http://127.0.0.1:9/a.json, sha256: {written}}}]")
    config["datasets"]["alpaca"]["source"] |= {"type": "url", "files": files}
    normalise(config)
    says = "config: datasets.alpaca.source.files has the sha256 .*; write 64 hex.* in quotes"
    with pytest.raises(InputError, match=says):
        Experiment(config)
    (entry,) = config["datasets"]["alpaca"]["source"]["files"]["test"]
    entry["sha256"] = DIGEST.upper()
    Experiment(config)


def test_two_addresses_with_one_name_are_refused(root: Path, tmp_path: Path) -> None:
    (root / "nq/b").mkdir()
    (root / "nq/b/test.jsonl").write_text('{"b": 2}\n')
    entries = [{"url": (root / name).as_uri()} for name in ("nq/test.jsonl", "nq/b/test.jsonl")]
    source = {"type": "url", "files": {"test": entries}}
    with pytest.raises(InputError, match="nq/test.jsonl and .*/b/test.jsonl would both be saved"):
        fetch(tmp_path / "raw/manifest.json", "nq", source)
    apart = {"type": "url", "files": {"train": entries[:1], "test": entries[1:]}}
    fetch(tmp_path / "raw/manifest.json", "nq", apart)
    found = {file.path for file in read_manifest(tmp_path / "raw/manifest.json")}
    assert found == {"train/test.jsonl", "test/test.jsonl"}


@pytest.mark.parametrize("sha256", [None, DIGEST])
def test_a_download_replaces_no_file_that_was_put_there_by_hand(
    root: Path, tmp_path: Path, sha256: str | None
) -> None:
    manifest, file = tmp_path / "raw/nq/manifest.json", tmp_path / "raw/nq/test/test.jsonl"
    source = {"type": "url", "files": {"test": [{"url": (root / "nq/test.jsonl").as_uri()}]}}
    source["files"]["test"][0]["sha256"] = sha256
    file.parent.mkdir(parents=True)
    file.write_text("by hand")
    with pytest.raises(InputError, match="raw/nq/test/test.jsonl is in the way of file:"):
        fetch(manifest, "nq", source)
    assert file.read_text() == "by hand" and not list(file.parent.glob(".*"))
    file.unlink()
    (root / "other.txt").write_text("other")
    file.symlink_to(root / "other.txt")  # as a local source may leave it
    fetch(manifest, "nq", source)
    assert not file.is_symlink() and (root / "other.txt").read_text() == "other"
    (root / "nq/b").mkdir()
    (root / "nq/b/test.jsonl").write_text('{"newer": 1}\n')
    source["files"]["test"] = [{"url": (root / "nq/b/test.jsonl").as_uri()}]
    fetch(manifest, "nq", source)
    assert file.read_text() == '{"newer": 1}\n', "the file of an address that is no longer listed"


def test_names_that_the_file_system_takes_for_one_are_refused(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "raw/test"
    folder.mkdir(parents=True)
    (folder / "test.jsonl").write_text("{}\n")
    os.link(folder / "test.jsonl", folder / "TEST.jsonl")  # as on a case-insensitive one
    names = ("test.jsonl", "TEST.jsonl")
    entries = [{"url": f"http://127.0.0.1:9/{name}", "sha256": DIGEST} for name in names]
    with pytest.raises(InputError, match="/test.jsonl and .*/TEST.jsonl would both be saved as"):
        fetch(tmp_path / "raw/manifest.json", "nq", {"type": "url", "files": {"test": entries}})


@pytest.mark.parametrize(
    "entry",
    [
        {"url": "http://127.0.0.1:9/a/.."},
        {"url": "http://127.0.0.1:9/"},
        {"url": "http://127.0.0.1:9"},
        {"url": "http://127.0.0.1:9/?file=a.json"},
        {"url": "http://[half/a.json"},
        {"url": "http://127.0.0.1:9/caf\udce9.json"},
        {"url": "http://127.0.0.1:9/a\0.json"},
        {"url": 9},
        {"sha256": DIGEST},
        "http://127.0.0.1:9/a.json",
    ],
)
def test_an_address_without_a_file_name_is_refused(tmp_path: Path, entry: Any) -> None:
    source = {"type": "url", "files": {"test": [entry]}}
    with pytest.raises(InputError, match=r"datasets.nq.source.files.test: .* no address .*; write"):
        fetch(tmp_path / "raw/manifest.json", "nq", source)


def test_what_to_accept_is_part_of_the_error(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("RESET_RAW_DIR", str(tmp_path))
    source, access = local(test=["*.json"]), "register at example.org"
    with pytest.raises(InputError, match="does not exist.* To get it: register at example.org"):
        fetch(tmp_path / "raw/manifest.json", "nq", source, access=access)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        (
            "GatedRepoError",
            "accept the terms on https://huggingface.co/datasets/org/set and set HF",
        ),
        ("RepositoryNotFoundError", "for a private or gated one set HF_TOKEN"),
        ("RevisionNotFoundError", "correct datasets.x.source.revision"),
    ],
)
def test_gated_and_missing_repositories_say_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, advice: str
) -> None:
    import huggingface_hub.errors as known

    assert hasattr(known, name)
    hub(monkeypatch, [], fails=type(name, (Exception,), {}))
    with pytest.raises(InputError, match=advice):
        fetch(tmp_path / "manifest.json", "x", HUB)


@pytest.mark.parametrize(
    ("name", "digest", "sentence"),
    [
        ("test.jsonl", "0" * 64, "does not have the sha256 of the config"),
        ("absent.jsonl", None, "could not be fetched"),
    ],
)
def test_a_wrong_or_missing_address(
    root: Path, tmp_path: Path, name: str, digest: str | None, sentence: str
) -> None:
    manifest = tmp_path / "raw/nq/manifest.json"
    url = (root / "nq").as_uri() + "/" + name
    with pytest.raises(InputError, match=sentence):
        fetch(manifest, "nq", {"type": "url", "files": {"test": [{"url": url, "sha256": digest}]}})
    assert not list(manifest.parent.rglob("*.jsonl")) and not manifest.exists()


@pytest.mark.parametrize(
    ("length", "sentence"),
    [("99", "broke off at 3 of 99 bytes"), ("many", "could not be fetched .*'many'")],
)
def test_a_body_that_is_not_as_long_as_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: str, sentence: str
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", length)
            self.end_headers()
            self.wfile.write(b"{}\n")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.handle_request).start()
        url = f"http://127.0.0.1:{server.server_port}/a.jsonl"
        with pytest.raises(InputError, match=sentence):
            fetch(tmp_path / "raw/m.json", "nq", {"type": "url", "files": {"test": [{"url": url}]}})
    assert not list((tmp_path / "raw").rglob("*.jsonl"))


def hub(
    monkeypatch: pytest.MonkeyPatch,
    files: list[str],
    fails: type[Exception] | None = None,
    newest: str = "c0ffee",
) -> list[dict]:
    """Put a stand-in for huggingface_hub in place; return the calls that it gets."""
    calls: list[dict] = []

    class HfApi:
        def dataset_info(self, name: str, revision: str | None) -> types.SimpleNamespace:
            if fails:
                raise fails("no route to host")
            return types.SimpleNamespace(sha=revision or newest)

    def snapshot_download(name: str, **values: Any) -> None:
        calls.append(values)
        for file in files:
            path = Path(values["local_dir"]) / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}\n")
            record = Path(values["local_dir"], *RECORDS, f"{file}.metadata")
            record.parent.mkdir(parents=True, exist_ok=True)
            record.write_text(values["revision"])

    module = types.SimpleNamespace(HfApi=HfApi, snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return calls


RECORDS = (".cache", "huggingface", "download")
HUB = {"type": "hub", "id": "org/set", "files": {"train": ["v2/train-*"], "test": ["v2/test-*"]}}


def test_the_hub_is_read_at_one_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = hub(
        monkeypatch, ["v2/train-0.parquet", "v2/train-1.parquet", "v2/test-0.parquet", ".cache/x"]
    )
    fetch(tmp_path / "manifest.json", "x", HUB)
    assert calls[0]["revision"] == "c0ffee" and calls[0]["allow_patterns"] == [
        "v2/train-*",
        "v2/test-*",
    ]
    content = json.loads((tmp_path / "manifest.json").read_text())
    assert (content["source"], content["revision"]) == ("hub:org/set", "c0ffee")
    assert [file["split"] for file in content["files"]] == ["train", "train", "test"]


def test_the_first_commit_that_was_read_is_kept_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A source without a revision, where what it holds has changed between two fetches."""
    manifest = tmp_path / "manifest.json"
    files = ["v2/train-0.parquet", "v2/test-0.parquet"]

    def fetched(newest: str, **source: str) -> tuple[str, str]:
        calls = hub(monkeypatch, files, newest=newest)
        manifest.unlink(missing_ok=True)  # a declared output is deleted before its job runs
        fetch(manifest, "x", HUB | source)
        return calls[0]["revision"], json.loads(manifest.read_text())["revision"]

    assert fetched("first") == ("first", "first")
    assert "to pin it for everyone" in caplog.text
    caplog.clear()
    assert fetched("second") == ("first", "first") and not caplog.text
    assert fetched("second", revision="second") == ("second", "second")
    assert fetched("third") == ("second", "second")
    assert fetched("third", id="org/other") == ("third", "third"), "another dataset's pin"
    (tmp_path / "commit.json").write_text("{")
    with pytest.raises(InputError, match="commit.json, .* is not readable .*to fetch the newest"):
        fetched("third")
    (tmp_path / "commit.json").unlink()
    assert fetched("fourth") == ("fourth", "fourth"), "asked for by deleting the pin"


def test_only_the_files_of_the_commit_are_listed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another revision or repository has other files; those of the one before must not stay."""
    manifest = tmp_path / "manifest.json"

    def listed(files: list[str], **source: str) -> list[str]:
        hub(monkeypatch, files, newest="newest")
        fetch(manifest, "x", HUB | source)
        return [file.path for file in read_manifest(manifest)]

    old = ["v2/test-0.parquet", "v2/train-0-of-3", "v2/train-1-of-3", "v2/train-2-of-3"]
    new = ["v2/test-0.parquet", "v2/train-0-of-2", "v2/train-1-of-2"]
    assert sorted(listed(old, revision="first")) == old
    assert sorted(listed(new, revision="second")) == new
    assert sorted(listed(old, revision="second", id="org/other")) == old
    (tmp_path / "commit.json").unlink()
    assert sorted(listed(new)) == new
    (tmp_path / "notes.txt").write_text("not fetched")
    assert sorted(listed(old, revision="first")) == old
    assert (tmp_path / "notes.txt").exists()


def test_the_hub_removes_and_replaces_no_file_of_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    manifest = tmp_path / "raw/manifest.json"
    files = ["v2/train-0", "v2/test-0"]
    for name, content in (("raw/v2/train-0", "by hand"), ("elsewhere", "linked")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)

    def listed(newest: str) -> list[str]:
        calls = hub(monkeypatch, files, newest=newest)
        fetch(manifest, "x", HUB)
        assert calls[0]["ignore_patterns"] == ["manifest.json", "commit.json", "digests.json"]
        return [file.path for file in read_manifest(manifest)]

    with pytest.raises(InputError, match="v2/train-0 is in the way of hub:org/set .*move it away"):
        listed("first")
    assert (tmp_path / "raw/v2/train-0").read_text() == "by hand"
    (tmp_path / "raw/v2/train-0").unlink()
    (tmp_path / "raw/v2/train-0").symlink_to(tmp_path / "elsewhere")
    assert listed("first") == files
    for name, target in (("test-0", "elsewhere"), ("train-1", "elsewhere"), ("train-2", "gone")):
        (tmp_path / "raw/v2" / name).unlink(missing_ok=True)
        (tmp_path / "raw/v2" / name).symlink_to(tmp_path / target)
    assert listed("second") == files, (
        "at the commit of the first fetch, without a local one's links"
    )
    assert (tmp_path / "elsewhere").read_text() == "linked"
    (tmp_path / "raw/v2/train-1").write_text("by hand")
    with pytest.raises(InputError, match="v2/train-1 is in the way"):
        listed("first")
    (tmp_path / "raw/commit.json").unlink()
    with pytest.raises(InputError, match="v2/train-1 is in the way"):
        listed("second")
    assert (tmp_path / "raw/v2/train-1").read_text() == "by hand"


def test_a_hub_download_that_was_stopped_before_its_record_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub(monkeypatch, ["v2/train-0", "v2/test-0"])
    fetch(tmp_path / "manifest.json", "x", HUB)
    tmp_path.joinpath(*RECORDS, "v2/test-0.metadata").unlink()
    fetch(tmp_path / "manifest.json", "x", HUB)
    assert tmp_path.joinpath(*RECORDS, "v2/test-0.metadata").exists()


def test_a_file_where_a_folder_of_links_belongs(root: Path, tmp_path: Path) -> None:
    (tmp_path / "raw/nq").mkdir(parents=True)
    (tmp_path / "raw/nq/a").write_text("mine")
    (root / "nq/a").mkdir(exist_ok=True)
    (root / "nq/a/test.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match="raw/nq/a is in the way of"):
        fetch(tmp_path / "raw/nq/manifest.json", "nq", local(test=["a/test*"]))
    assert (tmp_path / "raw/nq/a").read_text() == "mine"


def test_the_hubs_client_records_its_files_where_they_are_looked_for(tmp_path: Path) -> None:
    from huggingface_hub._local_folder import get_local_download_paths

    paths = get_local_download_paths(tmp_path, "v2/test-0.parquet")
    assert paths.metadata_path == tmp_path.joinpath(*RECORDS, "v2/test-0.parquet.metadata")


def test_a_raw_folder_below_a_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub(monkeypatch, ["v2/train-0", "v2/test-0"])
    manifest = tmp_path / ".cache/raw/x/manifest.json"
    fetch(manifest, "x", HUB)
    assert [file.path for file in read_manifest(manifest)] == ["v2/train-0", "v2/test-0"]


def test_a_hub_download_that_broke_off_is_resumed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub(monkeypatch, ["v2/train-0"])
    with pytest.raises(InputError, match="no file that matches"):
        fetch(tmp_path / "manifest.json", "x", HUB)
    hub(monkeypatch, ["v2/test-0"], newest="newer")
    fetch(tmp_path / "manifest.json", "x", HUB)
    assert json.loads((tmp_path / "manifest.json").read_text())["revision"] == "c0ffee"
    assert len(read_manifest(tmp_path / "manifest.json")) == 2


def test_the_hub_without_files_or_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub(monkeypatch, ["v2/train-0.parquet"])
    with pytest.raises(InputError, match=r"no file that matches v2/test-\*"):
        fetch(tmp_path / "manifest.json", "x", HUB)
    hub(monkeypatch, [], fails=RuntimeError)
    with pytest.raises(InputError, match="org/set could not be fetched .*no route to host"):
        fetch(tmp_path / "manifest.json", "x", HUB)


def test_an_unknown_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="source.type is 'ftp'; allowed are hub, url, local"):
        fetch(tmp_path / "manifest.json", "x", {"type": "ftp"})
