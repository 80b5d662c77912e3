"""From a cell of a table back to the raw files: which evaluations, which files, which jobs.

What stands in a cell is told by the table's own columns (run, seed, checkpoint, dataset, metric)
and by the definitions of the tables; what was made from what is told by the jobs of the manifest.
"""

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from reset_tuning.errors import InputError
from reset_tuning.files import sha256_of
from reset_tuning.provenance.jobs import Job
from reset_tuning.provenance.manifest import MANIFEST, Manifest
from reset_tuning.stats.averages import COLUMNS, FAMILIES, Column, Headlines
from reset_tuning.tables import table_key

_POINT = ("run", "seed", "checkpoint")
_BESIDE = r"_(sd|low|high|n|failed)$"
_MOST_LISTED = 30
SCORES = "metrics/scores.csv"


@dataclass(frozen=True)
class Cell:
    """One cell of a table, or a whole row where `column` is None; values as in the file."""

    table: str
    row: dict[str, str]
    column: str | None

    @property
    def values(self) -> dict[str, str]:
        """Return the cell, and what stands beside it of the same number: its deviation, n, …."""
        if self.column is None:
            return self.row
        return {
            name: value
            for name, value in self.row.items()
            if name == self.column or re.sub(_BESIDE, "", name) == self.column
        }


@dataclass(frozen=True)
class Evaluation:
    """What one checkpoint scored on one test set by one metric, and the file that holds it."""

    run: str
    seed: int
    checkpoint: str
    dataset: str
    metric: str
    scorer: str
    mean: str
    n: str
    file: str


@dataclass(frozen=True)
class Trace:
    """A cell, the evaluations behind it, and every job and file from the table to the raw files.

    `jobs` go from the table backwards. `changed` are files that no longer are as in the manifest.
    """

    cell: Cell
    evaluations: list[Evaluation]
    jobs: list[Job]
    files: list[str]
    changed: list[str]


def trace(
    manifest: Manifest,
    folder: Path,
    root: Path,
    table: Path,
    row: Sequence[str],
    column: str | None,
) -> Trace:
    """Return where a cell comes from.

    `row` are values of the row, or "column=value", that only one row has together. `folder` is the
    experiment's results folder, `root` the one that Snakemake ran in. Raises InputError for a table
    that is not of this run, and for a row or column that does not exist, with those that do.
    """
    path = _path_in_manifest(manifest, folder, table)
    cell = find_cell(table, row, column)
    points = _points(manifest, cell)
    evaluations = _evaluations(manifest, folder, cell, points)
    starts = list(dict.fromkeys(evaluation.file for evaluation in evaluations))
    starts = starts or _outputs(manifest, points)
    datasets = {evaluation.dataset for evaluation in evaluations}
    jobs, files = _chain(manifest, path, starts, datasets)
    return Trace(cell, evaluations, jobs, files, _changed(manifest, folder, root, [path, *starts]))


def find_cell(table: Path, row: Sequence[str], column: str | None) -> Cell:
    """Return the cell of a CSV table; InputError unless exactly one row and the column exist."""
    try:
        with table.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    except OSError as error:
        raise InputError(
            f"{table} cannot be read ({error.strerror}); name a table of metrics/"
        ) from error
    columns = list(rows[0]) if rows else []
    if column is not None and column not in columns:
        raise InputError(f"{table} has no column {column!r}; it has {', '.join(columns)}")
    found = [values for values in rows if all(_has(values, item) for item in row)]
    if len(found) == 1:
        return Cell(table.stem, found[0], column)
    wanted = " ".join(row) or "given values (none)"
    listed = "\n".join(f"  {name}" for name in _names(found or rows, table.stem))
    what = "no row has" if not found else f"{len(found)} rows have"
    raise InputError(
        f"{table}: {what} {wanted}; --row takes values that one row alone has:\n{listed}"
    )


def averaged_columns(row: Mapping[str, str]) -> list[str | None]:
    """Return the averages among a row's columns; [None], the whole row, where there are none."""
    return [name for name in row if name in COLUMNS] or [None]


def _has(values: dict[str, str], item: str) -> bool:
    """Tell whether a row has a value in some column, or in the one that is named."""
    name, separator, value = item.partition("=")
    if separator and name in values:
        return values[name] == value
    return item in values.values()


def _names(rows: list[dict[str, str]], table: str) -> Iterator[str]:
    key = [name for name in table_key(table) if rows and name in rows[0]] or list(rows[0])[:3]
    for values in rows[:_MOST_LISTED]:
        yield " ".join(f'"{values[name]}"' if " " in values[name] else values[name] for name in key)
    if len(rows) > _MOST_LISTED:
        yield f"… and {len(rows) - _MOST_LISTED} more ({', '.join(key)})"


def _path_in_manifest(manifest: Manifest, folder: Path, table: Path) -> str:
    try:
        inside = table.resolve().relative_to(folder.resolve())
    except ValueError:
        raise InputError(f"{table} is not a file of the run in {folder}") from None
    path = f"{manifest.results}/{inside.as_posix()}"
    if path not in manifest.files:
        raise InputError(f"{table} is not in the manifest of {folder}; run snakemake again")
    return path


# ---------------------------------------------------------------- which evaluations


def _evaluations(
    manifest: Manifest, folder: Path, cell: Cell, points: set[tuple[str, int, str]]
) -> list[Evaluation]:
    """Return the rows of metrics/scores.csv behind a cell; none for a table that has no scores."""
    if not points or manifest.files.get(f"{manifest.results}/{SCORES}") is None:
        return []
    with (folder / SCORES).open(newline="", encoding="utf-8") as stream:
        rows = [
            values
            for values in csv.DictReader(stream)
            if (values["run"], int(values["seed"]), values["checkpoint"]) in points
            and _is_behind(values, cell, manifest)
        ]
    found = [_evaluation(values, manifest) for values in rows]
    return [evaluation for evaluation in found if evaluation.file in manifest.files]


def _evaluation(values: dict[str, str], manifest: Manifest) -> Evaluation:
    folder = f"{manifest.results}/scores/generations"
    place = f"{values['run']}/seed-{values['seed']}/{values['checkpoint']}"
    names = ("dataset", "metric", "scorer", "mean", "n")
    return Evaluation(
        run=values["run"],
        seed=int(values["seed"]),
        checkpoint=values["checkpoint"],
        **{name: values[name] for name in names},
        file=f"{folder}/{place}/{values['scorer']}.parquet",
    )


def _outputs(manifest: Manifest, points: set[tuple[str, int, str]]) -> list[str]:
    """Return the outputs of a row's systems: what a number that is no score is counted from."""
    folder = f"{manifest.results}/generations"
    paths = [f"{folder}/{run}/seed-{seed}/{at}.parquet" for run, seed, at in sorted(points)]
    return [path for path in paths if path in manifest.files]


def _points(manifest: Manifest, cell: Cell) -> set[tuple[str, int, str]]:
    """Return the evaluated weights of a row's systems: identical weights are evaluated once."""
    wanted = _systems(manifest, cell)
    return {
        (point["source_run"], point["source_seed"], point["source_checkpoint"])
        for point in manifest.evaluation.get("points", [])
        for system in wanted
        if all(str(point[name]) == value for name, value in system.items())
    } | {
        (system["run"], int(system["seed"]), system["checkpoint"])
        for system in wanted
        if len(system) == len(_POINT)
    }


def _systems(manifest: Manifest, cell: Cell) -> list[dict[str, str]]:
    """Return what a row says of run, seed and checkpoint, one item for each system it compares."""
    row = cell.row
    if row.get("run"):
        return [{name: row[name] for name in _POINT if row.get(name)}]
    compared = [row[side].split() for side in ("of", "minus") if row.get(side)]
    named = manifest.evaluation.get("tables", {}).get("main", [])
    labelled = [
        [entry["run"], entry["checkpoint"]] for entry in named if entry["label"] == row.get("label")
    ]
    return [{"run": run, "checkpoint": checkpoint} for run, checkpoint in compared or labelled]


@dataclass(frozen=True)
class _Quantity:
    """A macro-average, of one test set alone or by another judge where that is said."""

    average: Column
    dataset: str | None = None
    judge: str | None = None


def _is_behind(values: dict[str, str], cell: Cell, manifest: Manifest) -> bool:
    """Tell whether a row of scores is of the test sets and the metric of a cell."""
    named = ("dataset", "kind", "role", "scorer")
    if any(cell.row.get(name) and values[name] != cell.row[name] for name in named):
        return False
    quantities = _quantities(cell)
    if quantities is not None:
        return any(_is_averaged(values, quantity, manifest) for quantity in quantities)
    return not cell.row.get("metric") or values["metric"] == cell.row["metric"]


def _quantities(cell: Cell) -> list[_Quantity] | None:
    """Return the macro-averages that a cell shows; None for one that is told by its metric.

    A row names it (column metric, average or quantity), or else its columns are averages.
    """
    for name in ("metric", "average"):
        if cell.row.get(name) in COLUMNS:
            return [_Quantity(COLUMNS[cell.row[name]])]
    if "quantity" in cell.row:
        return _told_quantity(cell.row["quantity"])
    shown = [cell.column] if cell.column else list(cell.row)
    found = [quantity for name in shown if (quantity := _shown_quantity(name))]
    return found or None


def _told_quantity(text: str) -> list[_Quantity]:
    """Return the macro-average that a claim compares; none where it counts labels of failures.

    >>> [found.judge for found in _told_quantity("instruction_following by judge chatgpt")]
    ['chatgpt']
    """
    name, _, rest = text.partition(" ")
    judge = rest.removeprefix("by judge ").split()[0] if rest.startswith("by judge ") else None
    return [_Quantity(COLUMNS[name], judge=judge)] if name in COLUMNS else []


def _shown_quantity(column: str) -> _Quantity | None:
    """Return what a column of a wide table shows: an average, or a family on one test set.

    >>> _shown_quantity("faithfulness_unseen_low").average.role
    'unseen'
    >>> _shown_quantity("task_ms_marco_sd").dataset
    'ms_marco'
    """
    name = re.sub(_BESIDE, "", column)
    if name in COLUMNS:
        return _Quantity(COLUMNS[name])
    families = [family for family in FAMILIES if name.startswith(f"{family}_")]
    if not families:
        return None
    return _Quantity(COLUMNS[families[0]], dataset=name.removeprefix(f"{families[0]}_"))


def _is_averaged(values: dict[str, str], quantity: _Quantity, manifest: Manifest) -> bool:
    evaluation, average = manifest.evaluation, quantity.average
    judge = quantity.judge or evaluation["judge"]
    headlines = Headlines(judge, evaluation["faithfulness"], evaluation["task"])
    return (
        headlines.shows(average.family, values["kind"], values["metric"], values["scorer"])
        and values["kind"] in (average.kinds or [values["kind"]])
        and average.role in (None, values["role"])
        and quantity.dataset in (None, values["dataset"])
    )


# ---------------------------------------------------------------- which files and jobs


def _chain(
    manifest: Manifest, table: str, starts: Sequence[str], datasets: set[str]
) -> tuple[list[Job], list[str]]:
    """Return the jobs and files from a table back to what no job made, nearest first.

    With `starts`, the score files behind a cell, a table is followed to those and to other tables
    alone, and of the test sets only `datasets` are; without, to all that it was made from.
    """
    files: dict[str, None] = {}
    jobs: dict[int, Job] = {}
    waiting = deque([table, *starts])
    while waiting:
        path = waiting.popleft()
        if path in files:
            continue
        files[path] = None
        kept = manifest.files.get(path)
        if kept is None or kept.job is None:
            continue
        job = jobs.setdefault(kept.job, manifest.jobs[kept.job])
        waiting += _raw_files(manifest, kept.job) if _is_raw_manifest(path) else ()
        waiting += [name for name in job.inputs if _leads(path, name, starts, datasets, manifest)]
    return list(jobs.values()), list(files)


def _leads(
    path: str, source: str, starts: Sequence[str], datasets: set[str], manifest: Manifest
) -> bool:
    """Tell whether the way back from a file goes on to one of its job's inputs."""
    if not starts or not PurePosixPath(source).is_relative_to(manifest.results):
        return True
    inside = PurePosixPath(source).relative_to(manifest.results).parts
    if path.startswith(f"{manifest.results}/metrics/"):
        return inside[0] == "metrics" or source in starts
    return inside[0] != "data" or inside[-1] != "test.parquet" or inside[1] in datasets


def _is_raw_manifest(path: str) -> bool:
    return PurePosixPath(path).name == MANIFEST


def _raw_files(manifest: Manifest, job: int) -> list[str]:
    """Return the raw files beside a dataset's manifest, which the same job fetched."""
    return [name for name, kept in manifest.files.items() if kept.job == job]


def _changed(manifest: Manifest, folder: Path, root: Path, paths: Iterable[str]) -> list[str]:
    found = []
    for path in dict.fromkeys(paths):
        file = manifest.located(path, folder, root)
        if not file.is_file() or sha256_of(file) != manifest.files[path].sha256:
            found.append(path)
    return found
