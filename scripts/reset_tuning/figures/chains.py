"""The page that traces cells of the tables: the same chains that scripts/trace_cell.py prints."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reset_tuning.figures.cells import read_rows
from reset_tuning.figures.pages import page, shown_value, template
from reset_tuning.provenance.jobs import Job
from reset_tuning.provenance.manifest import Manifest, read_manifest
from reset_tuning.provenance.telling import judges_of
from reset_tuning.provenance.trace import Trace, averaged_columns, trace
from reset_tuning.tables import table_key

_WHOLE = "(the whole row)"


def chains_page(folder: Path, tables: Sequence[str], root: Path = Path(".")) -> str:
    """Return the page for the cells of the named tables of a results folder.

    Jobs and files stand in it once; a chain is the list of their places.
    """
    manifest = read_manifest(folder)
    places = {path: place for place, path in enumerate(manifest.files)}
    data = {
        "tables": {name: _table(name, manifest, folder, root, places) for name in tables},
        "files": [[path, kept.sha256] for path, kept in manifest.files.items()],
        "made": [kept.job for kept in manifest.files.values()],
        "jobs": [_job(job) for job in manifest.jobs],
        "judges": {
            place: _judges(path, manifest, folder, root)
            for path, place in places.items()
            if path.endswith(".raw.parquet")
        },
        "environments": _environments(manifest),
    }
    title = "Where each number comes from"
    return page(title, template("chains.html"), "chains.css", "chains.js", data)


def _table(
    name: str, manifest: Manifest, folder: Path, root: Path, places: Mapping[str, int]
) -> dict[str, Any]:
    table = folder / "metrics" / f"{name}.csv"
    key = table_key(name)
    rows = []
    for row in read_rows(table):
        wanted = [f"{column}={row[column]}" for column in key]
        chains = {
            column or _WHOLE: _chain(
                trace(manifest, folder, root, table, wanted, column), manifest, places
            )
            for column in averaged_columns(row)
        }
        rows.append({"name": ", ".join(row[column] for column in key), "chains": chains})
    return {"path": f"{manifest.results}/metrics/{name}.csv", "rows": rows}


def _chain(found: Trace, manifest: Manifest, places: Mapping[str, int]) -> dict[str, Any]:
    jobs = {job.log: place for place, job in enumerate(manifest.jobs)}
    return {
        "values": {name: shown_value(value) for name, value in found.cell.values.items()},
        "evaluations": [
            [item.run, item.seed, item.checkpoint, item.dataset, item.metric, item.scorer]
            + [shown_value(item.mean), item.n]
            for item in found.evaluations
        ],
        "jobs": [jobs[job.log] for job in found.jobs],
        "files": [places[path] for path in found.files if path in places],
    }


def _job(job: Job) -> dict[str, Any]:
    names = ("rule", "log", "benchmark", "ended", "commit", "environment")
    told = {name: getattr(job, name) for name in names if getattr(job, name) is not None}
    return told | {"params": {name: _short(value) for name, value in (job.params or {}).items()}}


def _short(value: Any, longest: int = 300) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= longest else f"{text[:longest]} … (whole in manifest.json)"


def _judges(path: str, manifest: Manifest, folder: Path, root: Path) -> str:
    return "; ".join(
        f"{item['judge']}: model {item['model']}, fingerprint {item['fingerprint'] or 'none'}, "
        f"{item['replies']} rows"
        for item in judges_of([path], manifest, folder, root)
    )


def _environments(manifest: Manifest) -> dict[str, str]:
    return {
        job.environment: f"Python {job.python}: "
        + ", ".join(f"{name} {version}" for name, version in (job.packages or {}).items())
        for job in manifest.jobs
        if job.environment is not None
    }
