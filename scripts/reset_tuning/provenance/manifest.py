"""The manifest of a run: every kept file with its digest and its job; a check of it later.

One file, results/<experiment>/manifest.json, made at the end of a run from what Snakemake and the
jobs recorded. It travels with the results: who gets the folder can verify it and trace its numbers
without the machine that made it.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from reset_tuning.environment import git_commit
from reset_tuning.errors import InputError
from reset_tuning.files import atomic_path, sha256_of
from reset_tuning.journal import Sidecar
from reset_tuning.provenance.jobs import Job, find_jobs

MANIFEST = "manifest.json"

# Below the results, but not of them: how they were made, and what is made of them afterwards.
_LEFT_OUT = ("logs", "benchmarks", "sidecars", "records", MANIFEST, "report.html", "report.zip")
_UNDECLARED = frozenset({"trainer", "tensorboard"})  # folders within checkpoints/


@dataclass(frozen=True)
class KeptFile:
    """A file of the run: its digest, its size and the place of its job in `Manifest.jobs`.

    `job` is None for a file of the repository, and for one of which Snakemake has no record.
    """

    sha256: str
    bytes: int
    job: int | None = None


@dataclass(frozen=True)
class Manifest:
    """Files by path (from the folder that Snakemake ran in), and the jobs that made them.

    `evaluation` is what the tables are made by: the evaluation points, the judge, the headline
    metrics and the declared tables. `later` are files of the results made from this one.
    """

    experiment: str
    results: str
    commit: str | None
    made: str
    files: dict[str, KeptFile]
    jobs: list[Job]
    evaluation: dict[str, Any] = field(default_factory=dict)
    later: list[str] = field(default_factory=list)

    def job_of(self, path: str) -> Job | None:
        """Return the job that made a file, or None."""
        kept = self.files.get(path)
        return None if kept is None or kept.job is None else self.jobs[kept.job]

    def located(self, path: str, folder: Path, root: Path) -> Path:
        """Return where a file stands when the results are at `folder` and the workflow at `root`.

        >>> run = Manifest("mini", "results/mini", None, "", {}, [])
        >>> run.located("results/mini/metrics/scores.csv", Path("/theirs"), Path(".")).as_posix()
        '/theirs/metrics/scores.csv'
        """
        inside = PurePosixPath(path)
        if inside.is_relative_to(self.results):
            return folder / inside.relative_to(self.results)
        return root / path


def build_manifest(
    files: Iterable[str],
    experiment: str,
    results: str,
    digests: Path,
    evaluation: Mapping[str, Any],
    later: Iterable[str] = (),
    root: Path = Path("."),
) -> Manifest:
    """Return the manifest of the kept files, of the raw files they name and of the jobs' sources.

    `digests` is a sidecar: a file whose size and age are known is not read again, since the weights
    of a full run are hundreds of gigabytes. Raises InputError when a file cannot be read.
    """
    kept = list(dict.fromkeys(files))
    jobs, unknown = find_jobs(kept, root)
    if unknown:
        logging.warning("Snakemake has no record of %d files, %s first", len(unknown), unknown[0])
    job_of = {output: place for place, job in enumerate(jobs) for output in job.outputs}
    sources = dict.fromkeys(
        path for job in jobs for path in job.inputs if path not in job_of and _is_source(path)
    )
    raw = {path: owner for owner in kept for path in _raw_files(owner, root)}
    found = _digests([*kept, *sources, *raw], digests, root)
    return Manifest(
        experiment=experiment,
        results=results,
        commit=git_commit(Path(__file__).parent),
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        files={
            path: KeptFile(digest, size, job_of.get(raw.get(path, path)))
            for path, (digest, size) in sorted(found.items())
        },
        jobs=jobs,
        evaluation=dict(evaluation),
        later=sorted(later),
    )


def _is_source(path: str) -> bool:
    """Tell files of the repository from absolute paths, such as raw files on another disk."""
    return not Path(path).is_absolute()


def _raw_files(path: str, root: Path) -> Iterator[str]:
    """Yield the raw files that a dataset's manifest names; no rule declares them."""
    if PurePosixPath(path).name == MANIFEST:
        for entry in json.loads((root / path).read_text(encoding="utf-8"))["files"]:
            yield str(PurePosixPath(path).parent / entry["path"])


def _digests(paths: list[str], sidecar: Path, root: Path) -> dict[str, tuple[str, int]]:
    with Sidecar(sidecar) as known, ThreadPoolExecutor() as pool:
        wanted = {path: _state(root / path, path) for path in paths}
        new = [path for path, (key, _) in wanted.items() if known.get(key) is None]
        read = zip(new, pool.map(sha256_of, [root / path for path in new]), strict=True)
        known.add((wanted[path][0], digest) for path, digest in read)
        return {path: (str(known.get(key)), size) for path, (key, size) in wanted.items()}


def _state(file: Path, path: str) -> tuple[str, int]:
    """Return a key of a file's place, size and age, and its size."""
    try:
        state = file.stat()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; build it first") from error
    text = f"{path} {state.st_size} {state.st_mtime_ns}"
    return hashlib.sha256(text.encode()).hexdigest(), state.st_size


# ---------------------------------------------------------------- as a file


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Write the manifest as JSON; equal environments of jobs are written once."""
    environments: dict[str, dict[str, str]] = {}
    jobs = []
    for job in manifest.jobs:
        values = job.as_dict()
        packages = values.pop("packages")
        if job.environment is not None:
            environments[job.environment] = packages
        jobs.append(values | {"environment": job.environment})
    content = {
        "experiment": manifest.experiment,
        "results": manifest.results,
        "commit": manifest.commit,
        "made": manifest.made,
        "later": manifest.later,
        "evaluation": manifest.evaluation,
        "environments": environments,
        "jobs": jobs,
        "files": {
            name: {"sha256": kept.sha256, "bytes": kept.bytes, "job": kept.job}
            for name, kept in manifest.files.items()
        },
    }
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a results folder; InputError when there is none that can be read."""
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        environments = content["environments"]
        jobs = []
        for values in content["jobs"]:
            name = values.pop("environment")
            jobs.append(Job.from_dict(values | {"packages": environments.get(name)}))
        files = {name: KeptFile(**kept) for name, kept in content["files"].items()}
        names = ("experiment", "results", "commit", "made", "later", "evaluation")
        return Manifest(**{name: content[name] for name in names}, files=files, jobs=jobs)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}): a run writes it at its end; name the "
            "folder of an experiment, results/<experiment>"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not the manifest of a run ({error!r}); build it again"
        ) from error


# ---------------------------------------------------------------- checked later


@dataclass(frozen=True)
class Differences:
    """What no longer agrees with a manifest; paths as the manifest writes them."""

    changed: list[str]
    missing: list[str]
    new: list[str]

    def __bool__(self) -> bool:
        return bool(self.changed or self.missing or self.new)


def verify(manifest: Manifest, folder: Path, root: Path, only_results: bool = False) -> Differences:
    """Compare the files with the manifest: other content, missing, or not in it.

    Every file is read. `only_results` leaves out what stands outside the results folder (raw files,
    the repository's models), for those who got the folder alone.
    """
    wanted = {
        path: manifest.located(path, folder, root)
        for path in manifest.files
        if not only_results or PurePosixPath(path).is_relative_to(manifest.results)
    }
    missing = [path for path, file in wanted.items() if not file.is_file()]
    present = {path: file for path, file in wanted.items() if file.is_file()}
    with ThreadPoolExecutor() as pool:
        digests = zip(present, pool.map(sha256_of, present.values()), strict=True)
        changed = [path for path, digest in digests if digest != manifest.files[path].sha256]
    return Differences(sorted(changed), sorted(missing), sorted(_new(manifest, folder)))


def _new(manifest: Manifest, folder: Path) -> Iterator[str]:
    for file in folder.rglob("*"):
        inside = file.relative_to(folder)
        path = f"{manifest.results}/{inside.as_posix()}"
        if file.is_file() and path not in manifest.files and not _is_left_out(manifest, inside):
            yield path


def _is_left_out(manifest: Manifest, inside: Path) -> bool:
    return (
        inside.parts[0] in _LEFT_OUT
        or not _UNDECLARED.isdisjoint(inside.parts)
        or inside.as_posix() in manifest.later
    )
