from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reset_tuning.errors import InputError
from reset_tuning.scoring.table import SCORED_STATUSES
from reset_tuning.stats.accounting import (
    EXCLUDED,
    account,
    classify,
    collect,
    join_outputs,
    read_datasets,
    read_outputs,
)
from reset_tuning.tables import read_table, write_table

quickly = settings(max_examples=40)

ORDER = ["wikisum", "nq", "koala_eval", "bioasq", "ms_marco"]
POINT = {"run": "mtl", "seed": 1, "checkpoint": "best", "decoding": "greedy", "sample_id": 0}


def make_outputs(n: int, dataset: str = "nq", kind: str = "extractive_qa") -> pd.DataFrame:
    ids = [f"{dataset}-{index}" for index in range(n)]
    rows = [POINT | {"example_id": name} for name in ids]
    return pd.DataFrame(rows).assign(dataset=dataset, kind=kind, role="seen")


def make_scores(statuses: list[tuple[str, float | None]], dataset: str = "nq") -> pd.DataFrame:
    return pd.DataFrame(
        [
            POINT
            | {"example_id": f"{dataset}-{index}", "metric": "exact_match", "scorer": "lexical"}
            | {"status": status, "value": value}
            for index, (status, value) in enumerate(statuses)
        ]
    )


def accounted(scores: pd.DataFrame, outputs: pd.DataFrame) -> pd.DataFrame:
    return account(join_outputs(scores, outputs, "a file"), outputs, "a file")


def test_counts_mean_and_deviation_by_hand() -> None:
    statuses = [
        ("ok", 1.0),
        ("ok", 0.5),
        ("empty_output", 0.0),
        ("undefined", None),
        ("unparsed", None),
        ("refused", None),
        ("error: timeout", None),
        ("error: 500", None),
    ]
    row = accounted(make_scores(statuses), make_outputs(8)).iloc[0]
    assert row["n_outputs"] == 8
    assert row["n"] == 3
    assert row["n_empty_output"] == 1
    assert [row[f"n_{name}"] for name in EXCLUDED] == [1, 1, 1, 2]
    assert row["mean"] == pytest.approx(0.5)
    assert row["std"] == pytest.approx(0.5)  # sqrt((.25 + 0 + .25) / 2)


def test_no_row_that_counts_gives_an_empty_mean() -> None:
    row = accounted(make_scores([("unparsed", None)]), make_outputs(1)).iloc[0]
    assert row["n"] == 0
    assert pd.isna(row["mean"])
    assert pd.isna(row["std"])


status_and_value = st.one_of(
    st.tuples(st.just("ok"), st.floats(0, 1)),
    st.tuples(st.just("empty_output"), st.just(0.0)),
    st.tuples(st.sampled_from(["undefined", "unparsed", "refused", "error:x"]), st.none()),
)


@quickly
@given(st.lists(status_and_value, min_size=1, max_size=30))
def test_every_output_is_counted_or_excluded_once(statuses: list) -> None:
    row = accounted(make_scores(statuses), make_outputs(len(statuses))).iloc[0]
    counted = [value for status, value in statuses if status in SCORED_STATUSES]
    assert row["n"] + sum(row[f"n_{name}"] for name in EXCLUDED) == len(statuses)
    assert row["n"] == len(counted)
    if counted:
        assert row["mean"] == pytest.approx(sum(counted) / len(counted))


@quickly
@given(st.integers(2, 12), st.data())
def test_a_missing_row_is_never_silent(n: int, data: st.DataObject) -> None:
    scores = make_scores([("ok", 1.0)] * n)
    kept = data.draw(
        st.lists(st.booleans(), min_size=n, max_size=n).filter(lambda k: 0 < sum(k) < n)
    )
    with pytest.raises(InputError, match=f"has {sum(kept)} exact_match scores for the {n}"):
        accounted(scores[kept], make_outputs(n))


def test_a_dataset_without_any_score_is_missing() -> None:
    outputs = pd.concat([make_outputs(2), make_outputs(2, "bioasq")])
    with pytest.raises(
        InputError, match="has 0 exact_match scores for the 2 generations of bioasq"
    ):
        accounted(make_scores([("ok", 1.0)] * 2), outputs)


def test_a_score_without_generation_is_refused() -> None:
    with pytest.raises(InputError, match="nq-2, of which there is no generation"):
        accounted(make_scores([("ok", 1.0)] * 3), make_outputs(2))


@pytest.mark.parametrize(
    ("status", "value", "message"),
    [
        ("fine", 1.0, "unknown status 'fine'"),
        ("ok", None, "status 'ok' and value nan"),
        ("refused", 0.0, "status 'refused' and value 0.0"),
    ],
)
def test_a_status_that_contradicts_its_value_is_refused(status, value, message) -> None:
    with pytest.raises(InputError, match=message):
        classify(make_scores([(status, value), ("ok", 1.0)]))


def test_files_are_collected_with_their_roles(experiment, seen) -> None:
    experiment.evaluate("mtl", 1, "best", lambda dataset, metric, index: float(index))
    outputs = read_outputs(experiment.generations, read_datasets(experiment.examples, seen))
    table, _ = collect(experiment.scores, outputs, ORDER)
    table = table.set_index(["dataset", "metric"])
    assert len(table) == 1 + 4 * 2
    assert set(table["mean"]) == {0.5}
    assert table.loc[("nq", "exact_match"), "role"] == "seen"
    assert table.loc[("wikisum", "rouge_l"), "role"] == "unseen"
    assert table.loc[("koala_eval", "instruction_following"), "kind"] == "instruction"


def test_the_order_of_files_does_not_change_a_byte(experiment, seen) -> None:
    for seed in (1, 2):
        experiment.evaluate("mtl", seed, "best", lambda dataset, metric, index: index / 3)
    written = []
    for turn in (1, -1):
        outputs = read_outputs(
            experiment.generations[::turn], read_datasets(experiment.examples[::turn], seen)
        )
        table, rows = collect(experiment.scores[::turn], outputs, ORDER)
        paths = [experiment.root / f"scores{turn}.csv", experiment.root / f"rows{turn}.parquet"]
        write_table(table, paths[0], "scores")
        write_table(rows, paths[1], "example_score")
        written.append([path.read_bytes() for path in paths])
    assert written[0] == written[1]


def test_a_checkpoint_without_scores_is_a_warning(experiment, seen, caplog) -> None:
    experiment.evaluate("mtl", 1, "best", lambda dataset, metric, index: 1.0)
    scored = list(experiment.scores)
    experiment.evaluate("mtl", 2, "best", lambda dataset, metric, index: 1.0)
    outputs = read_outputs(experiment.generations, read_datasets(experiment.examples, seen))
    table, _ = collect(scored, outputs, ORDER)
    assert set(table["seed"]) == {1}
    assert "mtl (seed 2, best) have no scores" in caplog.text


def test_example_rows_hold_every_score_and_the_lengths_in_the_order_asked(experiment, seen) -> None:
    experiment.evaluate("mtl", 1, "best", lambda dataset, metric, index: float(index))
    outputs = read_outputs(experiment.generations, read_datasets(experiment.examples, seen))
    _, rows = collect(experiment.scores, outputs, ORDER)
    assert list(dict.fromkeys(rows["dataset"])) == ORDER
    lengths = rows[rows["metric"] == "n_tokens"]
    assert sorted(lengths["value"].unique()) == [10, 20]
    assert len(rows) - len(lengths) == 2 * (1 + 4 * 2)


def test_a_generation_of_an_unknown_example_is_refused(experiment, seen) -> None:
    larger = replace(experiment, per_set=3, examples=[])
    larger.evaluate("mtl", 1, "best", lambda dataset, metric, index: 1.0)
    with pytest.raises(InputError, match="which is not in that test set"):
        read_outputs(larger.generations, read_datasets(experiment.examples, seen))


def test_two_decodings_of_a_checkpoint_are_refused(experiment, seen) -> None:
    experiment.evaluate("mtl", 1, "best", lambda dataset, metric, index: 1.0)
    other = experiment.root / "other.parquet"
    frame = read_table(experiment.generations[0], "generation").assign(decoding="sampled")
    write_table(frame, other, "generation")
    with pytest.raises(InputError, match="two decodings"):
        read_outputs([*experiment.generations, other], read_datasets(experiment.examples, seen))


def test_an_example_in_two_test_sets_is_refused(experiment, seen) -> None:
    with pytest.raises(InputError, match="in the test sets twice"):
        read_datasets([*experiment.examples, experiment.examples[0]], seen)
