"""The manifest of a real small run: what it holds, and what a check of it finds later."""

import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from snakemake.persistence.file import FilePersistence

from helpers import ROOT
from reset_tuning.errors import InputError
from reset_tuning.files import sha256_of
from reset_tuning.provenance import manifest as manifests
from reset_tuning.provenance.jobs import find_jobs, metadata_path
from reset_tuning.provenance.manifest import build_manifest, read_manifest, verify

RESULTS = Path("results") / "toy"
MTL = "results/toy/checkpoints/mtl/seed-1/best/model.safetensors"


def verify_run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "scripts" / "verify_run.py"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8")


@pytest.mark.parametrize("length", [10, 200, 400, 900])
def test_records_are_looked_for_where_snakemake_keeps_them(length: int, tmp_path: Path) -> None:
    output = "results/" + "x" * length
    persistence = object.__new__(FilePersistence)
    persistence._max_len = 255
    assert str(metadata_path(tmp_path, output)) == persistence._record_path(str(tmp_path), output)


def test_a_job_has_what_snakemake_and_what_the_job_itself_recorded(toy: Path) -> None:
    (job,), unknown = find_jobs([MTL], toy)
    assert not unknown
    assert (job.rule, job.outputs) == ("train", (MTL,))
    assert set(job.inputs) == {"results/toy/data/nq/train.parquet", "resources/base.safetensors"}
    assert job.wildcards == {"run": "mtl", "seed": "1"}
    assert job.params == {"learning_rate": 0.001, "seed": 1}
    assert job.packages is not None and job.packages["snakemake"].startswith("9.")
    assert job.benchmark == "results/toy/benchmarks/train/mtl/seed-1.jsonl"
    assert job.started and job.ended and job.started <= job.ended


def test_a_job_without_a_record_of_its_own_keeps_what_snakemake_knows(toy: Path) -> None:
    (toy / RESULTS / "logs" / "train" / "mtl" / "seed-1.job.json").unlink()
    (job,), _ = find_jobs([MTL], toy)
    assert job.rule == "train" and job.params is None and job.packages is None


def test_files_that_snakemake_does_not_know_are_told(toy: Path, caplog) -> None:
    (toy / "extra.txt").write_text("mine")
    with caplog.at_level(logging.WARNING):
        built = build_manifest(["extra.txt"], "toy", "results/toy", toy / "digests", {}, root=toy)
    assert "no record of 1 files, extra.txt first" in caplog.text
    assert built.files["extra.txt"].job is None


def test_the_manifest_holds_outputs_raw_files_and_the_repositorys_own(toy: Path) -> None:
    manifest = read_manifest(toy / RESULTS)
    for path, kept in manifest.files.items():
        assert kept.sha256 == sha256_of(toy / path), path
        assert kept.bytes == (toy / path).stat().st_size
    raw = "results/toy/raw/nq/raw.jsonl"
    assert manifest.jobs[manifest.files[raw].job].rule == "fetch_raw"
    assert manifest.files["resources/base.safetensors"].job is None
    rules = {
        manifest.jobs[kept.job].rule for kept in manifest.files.values() if kept.job is not None
    }
    assert rules >= {"train", "generate_outputs", "query_judge", "tabulate_main"}


def test_a_file_is_not_read_twice(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ([MTL], "toy", "results/toy", toy / "digests", {})
    first = build_manifest(*arguments, root=toy)
    monkeypatch.setattr(manifests, "sha256_of", lambda path: pytest.fail(f"{path} is read again"))
    assert build_manifest(*arguments, root=toy).files == first.files


def test_a_changed_file_is_read_again(toy: Path) -> None:
    arguments = ([MTL], "toy", "results/toy", toy / "digests", {})
    first = build_manifest(*arguments, root=toy)
    (toy / MTL).write_text("other weights")
    assert build_manifest(*arguments, root=toy).files[MTL] != first.files[MTL]


def test_a_missing_file_is_one_sentence(toy: Path) -> None:
    with pytest.raises(InputError, match="gone.csv cannot be read: No such file or directory"):
        build_manifest(["gone.csv"], "toy", "results/toy", toy / "digests", {}, root=toy)


# ---------------------------------------------------------------- checked later


def test_an_untouched_run_is_as_it_was(toy: Path) -> None:
    done = verify_run(toy, "results/toy")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("0 changed, 0 missing, 0 new\n")


def test_changed_missing_and_new_files_are_told_apart(toy: Path) -> None:
    weights = (toy / MTL).read_text()
    (toy / MTL).write_text(weights[::-1])  # as long as before
    (toy / RESULTS / "metrics" / "main_table.csv").unlink()
    (toy / RESULTS / "metrics" / "better_table.csv").write_text("label\n")
    done = verify_run(toy, "results/toy")
    assert done.returncode == 1
    assert done.stdout.splitlines()[:3] == [
        f"changed {MTL}",
        "missing results/toy/metrics/main_table.csv",
        "new     results/toy/metrics/better_table.csv",
    ]


def test_raw_files_and_the_repositorys_models_are_compared_too(toy: Path) -> None:
    (toy / RESULTS / "raw" / "nq" / "raw.jsonl").write_text("other rows\n")
    (toy / "resources" / "base.safetensors").unlink()
    found = verify(read_manifest(toy / RESULTS), toy / RESULTS, toy)
    assert found.changed == ["results/toy/raw/nq/raw.jsonl"]
    assert found.missing == ["resources/base.safetensors"]


def test_logs_resume_states_the_report_and_later_pages_are_not_new_files(toy: Path) -> None:
    for name in (
        "report.html",
        "figures/provenance.html",
        "logs/extra.log",
        "sidecars/outputs/a.jsonl",
        "checkpoints/mtl/seed-1/trainer/state.json",
    ):
        path = toy / RESULTS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("later")
    assert not verify(read_manifest(toy / RESULTS), toy / RESULTS, toy)


def test_the_folder_alone_is_enough_for_who_got_it(toy: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    shutil.move(toy / RESULTS, theirs)
    done = verify_run(tmp_path, "theirs")
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == "missing resources/base.safetensors"
    assert verify_run(tmp_path, "theirs", "--only-results").returncode == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file or directory.*results/<experiment>"),
        ("{}", "not the manifest of a run"),
    ],
)
def test_no_manifest_is_one_sentence(toy: Path, content: str | None, message: str) -> None:
    path = toy / RESULTS / "manifest.json"
    path.unlink()
    if content:
        path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_manifest(toy / RESULTS)
    done = verify_run(toy, "results/toy")
    assert done.returncode == 1 and "Traceback" not in done.stderr


def test_the_manifest_names_each_environment_once(toy: Path) -> None:
    content = json.loads((toy / RESULTS / "manifest.json").read_text())
    assert len(content["environments"]) == 1
    assert {job["environment"] for job in content["jobs"]} == set(content["environments"])
