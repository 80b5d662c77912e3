"""Accounting of scores: every generation is counted or excluded under a name, none is lost."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from reset_tuning.errors import InputError
from reset_tuning.scoring.table import SCORED_STATUSES
from reset_tuning.stats.panels import LENGTH_METRIC, LENGTH_SCORER
from reset_tuning.stats.points import POINT
from reset_tuning.tables import read_table

EXCLUDED = ("undefined", "unparsed", "refused", "error")
OUTPUT_ID = [*POINT, "decoding", "example_id", "sample_id"]

_EXAMPLE_COLUMNS = [
    *POINT, "dataset", "kind", "role", "example_id", "metric", "scorer", "value", "status"
]  # fmt: skip
_GROUP = [*POINT, "dataset", "kind", "role", "metric", "scorer"]
_LOGGER = logging.getLogger(__name__)


def read_datasets(examples: Iterable[Path], seen: Sequence[str]) -> pd.DataFrame:
    """Return example_id → dataset, kind and role (seen | unseen) of all test sets.

    `seen` names the datasets that a mixture trains on. Raises InputError when two
    test sets share an example_id, because joins are on ids only.
    """
    columns = ["example_id", "dataset", "kind"]
    frames = [read_table(path, "example")[columns] for path in examples]
    frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)
    twice = frame[frame.duplicated("example_id", keep=False)]
    if len(twice):
        datasets = " and ".join(sorted(set(twice["dataset"])))
        raise InputError(
            f"example {twice['example_id'].iloc[0]} is in the test sets twice: {datasets}"
        )
    return frame.assign(role=frame["dataset"].isin(set(seen)).map({True: "seen", False: "unseen"}))


def read_outputs(generations: Iterable[Path], datasets: pd.DataFrame) -> pd.DataFrame:
    """Return the identities of all generations with dataset, kind and role of their examples.

    Raises InputError for a generation of an unknown example or of another dataset than its
    example's, and for a checkpoint that was evaluated under two decodings.
    """
    columns = [*OUTPUT_ID, "dataset", "n_tokens"]
    frames = [read_table(path, "generation")[columns] for path in generations]
    if not frames:
        raise InputError("there are no generations to account for; name at least one file")
    outputs = pd.concat(frames, ignore_index=True).rename(columns={"dataset": "stated"})
    joined = outputs.merge(datasets, on="example_id", how="left", validate="many_to_one")
    wrong = joined[joined["stated"] != joined["dataset"]]
    if len(wrong):
        row = wrong.iloc[0]
        raise InputError(
            f"a generation of {row['run']} (seed {row['seed']}, {row['checkpoint']}) answers "
            f"example {row['example_id']} of {row['stated']}, which is not in that test set; "
            "generate again"
        )
    if joined.groupby(POINT)["decoding"].nunique().gt(1).any():
        raise InputError("a checkpoint was generated from with two decodings; evaluate with one")
    return joined.drop(columns="stated")


def classify(scores: pd.DataFrame) -> pd.Series:
    """Return the status class of each score row: one of SCORED_STATUSES or EXCLUDED.

    Raises InputError for an unknown status, for a counted row without a value and for an excluded
    row with one.
    """
    status = scores["status"].where(~scores["status"].str.startswith("error"), "error")
    unknown = sorted(set(status) - {*SCORED_STATUSES, *EXCLUDED})
    if unknown:
        raise InputError(f"scores hold the unknown status {unknown[0]!r}")
    wrong = scores["value"].isna() == status.isin(SCORED_STATUSES)
    if wrong.any():
        row = scores[wrong].iloc[0]
        raise InputError(
            f"score {row['metric']} of example {row['example_id']} has status {row['status']!r} "
            f"and value {row['value']}"
        )
    return status


def join_outputs(scores: pd.DataFrame, outputs: pd.DataFrame, origin: str) -> pd.DataFrame:
    """Return the score rows of one file, told as `origin`, with what is known of their outputs.

    Raises InputError for a score of no output and as `classify` does.
    """
    scores = scores.assign(status=classify(scores))
    joined = scores.merge(outputs, on=OUTPUT_ID, how="left", validate="many_to_one")
    if joined["dataset"].isna().any():
        example = joined.loc[joined["dataset"].isna(), "example_id"].iloc[0]
        raise InputError(f"{origin} scores example {example}, of which there is no generation")
    return joined


def account(joined: pd.DataFrame, outputs: pd.DataFrame, origin: str) -> pd.DataFrame:
    """Return one row per point, dataset, metric and scorer with counts, mean and deviation.

    A metric covers every output of each kind that it scores: InputError when one has no row.
    """
    table = _summarise(joined)
    _check_complete(table, outputs, origin)
    return table


def collect(
    scores: Iterable[Path], outputs: pd.DataFrame, order: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of metrics/scores.csv and those of metrics/example_scores.parquet.

    `order` is the order of the test sets in the latter, and so in all tables made from it.
    Raises InputError when rows in differ from rows counted plus rows excluded. An evaluated
    checkpoint without any scores is a hole in the tables, and a warning here.
    """
    of_point = dict(tuple(outputs.groupby(POINT)))
    nothing = outputs.iloc[:0]
    tables, rows = [], []
    for path in sorted(scores):
        frame = read_table(path, "score")
        points = frame[POINT].drop_duplicates().itertuples(index=False, name=None)
        here = pd.concat([nothing, *(of_point[point] for point in points if point in of_point)])
        joined = join_outputs(frame, here, str(path))
        tables.append(account(joined, here, str(path)))
        rows.append(joined[_EXAMPLE_COLUMNS])
    if not tables:
        raise InputError("there are no scores to collect; name at least one file")
    table = pd.concat(tables, ignore_index=True)
    for run, seed, checkpoint in sorted(of_point.keys() - set(table.groupby(POINT).groups)):
        _LOGGER.warning("the generations of %s (seed %s, %s) have no scores", run, seed, checkpoint)
    excluded = int((table["n_outputs"] - table["n"]).sum())
    _LOGGER.info(
        "%d score files, %d rows in, %d excluded", len(tables), table["n_outputs"].sum(), excluded
    )
    examples = pd.concat([*rows, _lengths(outputs)], ignore_index=True)
    return table, _in_order(examples, order)


def _lengths(outputs: pd.DataFrame) -> pd.DataFrame:
    """Return the tokens of every output as scores, so that lengths are averaged as scores are."""
    rows = outputs.assign(
        metric=LENGTH_METRIC,
        scorer=LENGTH_SCORER,
        value=outputs["n_tokens"].astype(float),
        status="ok",
    )
    return rows[_EXAMPLE_COLUMNS]


def _in_order(rows: pd.DataFrame, datasets: Sequence[str]) -> pd.DataFrame:
    """Sort rows by test set in the given order, then by their key."""
    place = rows["dataset"].map({name: place for place, name in enumerate(datasets)})
    order = ["place", "metric", "scorer", *POINT, "example_id"]
    return rows.assign(place=place).sort_values(order, kind="stable").drop(columns="place")


def _summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Count the statuses of each group; excluded rows are null and so not in the mean."""
    status = rows["status"]
    counts = {
        "n_outputs": 1,
        "n": status.isin(SCORED_STATUSES).astype(int),
        **{f"n_{name}": (status == name).astype(int) for name in ("empty_output", *EXCLUDED)},
    }
    groups = rows.assign(**counts).groupby(_GROUP, as_index=False)
    return groups.agg(
        **{name: (name, "sum") for name in counts}, mean=("value", "mean"), std=("value", "std")
    )


def _check_complete(table: pd.DataFrame, outputs: pd.DataFrame, origin: str) -> None:
    """Raise InputError unless each metric has one row for every output of the kinds it scores."""
    expected = outputs.groupby([*POINT, "dataset", "kind"], as_index=False).size()
    scored = table[[*POINT, "kind", "metric", "scorer"]].drop_duplicates()
    wanted = scored.merge(expected, on=[*POINT, "kind"])
    found = wanted.merge(table, on=[*POINT, "dataset", "kind", "metric", "scorer"], how="left")
    found["n_outputs"] = found["n_outputs"].fillna(0)
    wrong = found[found["n_outputs"] != found["size"]]
    if len(wrong):
        row = wrong.iloc[0]
        raise InputError(
            f"{origin} has {row['n_outputs']:.0f} {row['metric']} scores for the {row['size']} "
            f"generations of {row['dataset']}; score that file again"
        )
