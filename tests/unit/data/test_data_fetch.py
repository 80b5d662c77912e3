"""Fetching: local folders, addresses, the hub (replaced), and the manifest."""

import hashlib
import json
import sys
import types
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fetch_raw import main as fetch_raw
from reset_tuning.data.fetch import fetch, local_files, read_manifest
from reset_tuning.errors import InputError
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
    return {"type": "local", "directory": "nq", "files": files, "licence": "CC0"}


def test_local_files_are_linked_and_listed(root: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "raw/nq/manifest.json"
    source = local(train=["**/train*"], test=["test*"])
    fetch_raw(manifest=manifest, dataset="nq", source=source, files=[root / "nq/test.jsonl"])
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
    source = {"type": "url", "files": {"test": [{"url": url, "sha256": DIGEST}]}, "licence": "CC0"}
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
    assert fetched() == DIGEST


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


def test_what_to_accept_is_part_of_the_error(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("RESET_RAW_DIR", str(tmp_path))
    source = local(test=["*.json"]) | {"access": "register at example.org"}
    with pytest.raises(InputError, match="does not exist.* To get it: register at example.org"):
        fetch(tmp_path / "raw/manifest.json", "nq", source)


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

    module = types.SimpleNamespace(HfApi=HfApi, snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return calls


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
