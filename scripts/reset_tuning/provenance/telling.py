"""A trace as text: what a cell shows, what it was computed from, by which jobs, code and judge."""

import json
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reset_tuning.provenance.jobs import Job
from reset_tuning.provenance.manifest import Manifest
from reset_tuning.provenance.trace import Trace

_LONGEST = 400  # characters of one param; the manifest holds it whole
_JOINED = "\N{NO-BREAK SPACE}"  # at which textwrap breaks no line


def trace_text(found: Trace, manifest: Manifest, folder: Path, root: Path) -> str:
    """Return the chain of a cell as text, from the number down to the raw files."""
    parts = [
        _cell(found, manifest),
        _evaluations(found),
        _judges(found, manifest, folder, root),
        _scorers(found, manifest, folder, root),
        _seeds(found),
        *_jobs(found, manifest),
        _sources(found, manifest),
        *_environments(found.jobs),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def trace_record(found: Trace, manifest: Manifest, folder: Path, root: Path) -> dict[str, Any]:
    """Return the chain of a cell as JSON holds it, with every param whole."""
    return {
        "table": found.cell.table,
        "row": found.cell.row,
        "column": found.cell.column,
        "values": found.cell.values,
        "changed": found.changed,
        "evaluations": [vars(evaluation) for evaluation in found.evaluations],
        "judges": judges_of(found.files, manifest, folder, root),
        "scorers": scorers_of(found.files, manifest, folder, root),
        "jobs": [job.as_dict() for job in found.jobs],
        "files": {
            path: vars(manifest.files[path]) if path in manifest.files else None
            for path in found.files
        },
    }


def judges_of(
    files: Sequence[str], manifest: Manifest, folder: Path, root: Path
) -> list[dict[str, Any]]:
    """Return judge, model and fingerprint of every reply in the judgment tables among the files."""
    paths = [
        manifest.located(path, folder, root) for path in files if path.endswith(".raw.parquet")
    ]
    if not paths:
        return []
    import pandas as pd

    from reset_tuning.tables import read_table

    rows = pd.concat([read_table(path, "judgment") for path in paths], ignore_index=True)
    counts = rows.groupby(["judge", "model", "fingerprint"], dropna=False).size()
    return [
        {"judge": judge, "model": model, "fingerprint": _text(fingerprint), "replies": int(count)}
        for (judge, model, fingerprint), count in counts.items()
    ]


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _cell(found: Trace, manifest: Manifest) -> str:
    cell = found.cell
    name = f"{manifest.results}/metrics/{cell.table}.csv"
    where = f", column {cell.column}" if cell.column else ""
    row = ", ".join(f"{column}={value}" for column, value in cell.row.items() if value)
    lines = [f"{name}{where}", *_wrapped(f"  row: {row}")]
    if cell.column:
        lines += [f"  {column} = {value or '(empty)'}" for column, value in cell.values.items()]
    if found.changed:
        lines.append("CHANGED since the manifest was made (scripts/verify_run.py tells more):")
        lines += [f"  {path}" for path in found.changed]
    else:
        lines.append("The table and the scores behind it are as in the manifest.")
    return "\n".join(lines)


def _evaluations(found: Trace) -> str:
    if not found.evaluations:
        return "This table is traced by its files: everything that it was made from is listed."
    lines = [f"EVALUATIONS behind it ({len(found.evaluations)})"]
    lines += [
        f"  {item.run} seed {item.seed} {item.checkpoint}, {item.dataset}: {item.metric} by "
        f"{item.scorer} = {item.mean or '(empty)'} (n {item.n})"
        for item in found.evaluations
    ]
    return "\n".join(lines)


def _judges(found: Trace, manifest: Manifest, folder: Path, root: Path) -> str:
    judges = judges_of(found.files, manifest, folder, root)
    if not judges:
        return ""
    lines = ["JUDGES of the outputs and pools on the way"]
    lines += [
        f"  {item['judge']}: model {item['model']}, fingerprint {item['fingerprint'] or 'none'}, "
        f"{item['replies']} rows"
        for item in judges
    ]
    return "\n".join(lines)


def scorers_of(
    files: Sequence[str], manifest: Manifest, folder: Path, root: Path
) -> list[dict[str, Any]]:
    """Return the distinct settings that the score tables among the files were made with."""
    import pyarrow.parquet as pq

    found: dict[str, None] = {}
    for path in files:
        if path.startswith(f"{manifest.results}/scores/"):
            table = manifest.located(path, folder, root)
            if table.exists():  # a missing one is told among the files
                metadata = pq.read_schema(table).metadata or {}
                found.setdefault(metadata.get(b"scorer", b"").decode())
    return [json.loads(text) for text in found if text]


def _scorers(found: Trace, manifest: Manifest, folder: Path, root: Path) -> str:
    settings = scorers_of(found.files, manifest, folder, root)
    lines = [line for item in settings for line in _wrapped(f"  {_shown(item)}")]
    return "\n".join(["SCORERS, as the score tables tell their settings", *lines]) if lines else ""


def _seeds(found: Trace) -> str:
    seeds: dict[str, set[str]] = defaultdict(set)
    for job in found.jobs:
        if job.rule == "train" and job.wildcards:
            seeds[job.wildcards["run"]].add(job.wildcards["seed"])
    runs = "; ".join(f"{run}: {', '.join(sorted(numbers))}" for run, numbers in seeds.items())
    return f"SEEDS of the trainings: {runs}" if runs else ""


def _jobs(found: Trace, manifest: Manifest) -> Iterator[str]:
    """Yield one paragraph for each rule: what its jobs share, and what each of them made."""
    of_rule: dict[str, list[Job]] = defaultdict(list)
    for job in found.jobs:
        of_rule[job.rule].append(job)
    on_the_way = set(found.files)
    for rule, jobs in of_rule.items():
        lines = [f"RULE {rule} ({len(jobs)} {'job' if len(jobs) == 1 else 'jobs'})"]
        lines += [f"  {facts}" for facts in dict.fromkeys(map(_code, jobs))]
        shared = _shared_params(jobs)
        lines += [line for name in shared for line in _wrapped(f"  {name}: {_shown(shared[name])}")]
        for job in jobs:
            lines += _job(job, shared, on_the_way, manifest)
        yield "\n".join(lines)


def _code(job: Job) -> str:
    code, environment = (value or "not recorded" for value in (job.commit, job.environment))
    return f"code {code}, environment {environment}"


def _job(
    job: Job, shared: Mapping[str, Any], on_the_way: set[str], manifest: Manifest
) -> Iterator[str]:
    where = f" (SLURM job {job.slurm_job})" if job.slurm_job else ""
    yield f"  job ended {job.ended}{where}"
    yield f"    log {job.log}, benchmark {job.benchmark or 'none'}"
    own = {name: value for name, value in (job.params or {}).items() if name not in shared}
    for name, value in own.items():
        yield from _wrapped(f"    {name}: {_shown(value)}")
    for path in job.outputs:
        if path in on_the_way:
            yield f"    {manifest.files[path].sha256}  {path}"


def _shared_params(jobs: Sequence[Job]) -> dict[str, Any]:
    """Return the params that all jobs of a rule have alike: what the config says of that rule."""
    first = jobs[0].params or {}
    return {
        name: value
        for name, value in first.items()
        if all((job.params or {}).get(name) == value for job in jobs)
    }


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} … ({len(text)} characters)"


def _sources(found: Trace, manifest: Manifest) -> str:
    """Tell the files that no job on the way made: the repository's and the raw ones."""
    made = {path for job in found.jobs for path in job.outputs}
    lines = ["FILES that no rule declares: raw files and files of the repository"]
    for path in found.files:
        if path not in made:
            kept = manifest.files.get(path)
            lines.append(f"  {kept.sha256 if kept else 'outside of the run' + ' ' * 46}  {path}")
    return "\n".join(lines) if len(lines) > 1 else ""


def _environments(jobs: Sequence[Job]) -> Iterator[str]:
    """Yield the packages of every distinct environment once."""
    for name, job in {job.environment: job for job in jobs if job.packages is not None}.items():
        # A package and its version stay on one line, where a search finds them.
        pairs = [f"{package}{_JOINED}{version}" for package, version in job.packages.items()]
        python = f"ENVIRONMENT {name}: Python {job.python} on {job.machine}"
        lines = _wrapped(f"  {', '.join(pairs)}")
        yield "\n".join([python, *(line.replace(_JOINED, " ") for line in lines)])


def _wrapped(text: str) -> list[str]:
    indent = " " * (len(text) - len(text.lstrip()))
    return textwrap.wrap(
        text, 120, subsequent_indent=f"{indent}  ", break_long_words=False, break_on_hyphens=False
    )
