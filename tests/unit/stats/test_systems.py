import math

import pandas as pd
import pytest

from reset_tuning.errors import InputError
from reset_tuning.stats.accounting import collect, read_datasets, read_outputs
from reset_tuning.stats.bootstrap import Bootstrap
from reset_tuning.stats.cells import averages_table, cells_table, refuse_holes
from reset_tuning.stats.length_splits import length_split_table
from reset_tuning.stats.panels import Panels
from reset_tuning.stats.points import point_frame
from reset_tuning.stats.systems import main_table, tradeoff_table
from reset_tuning.tables import read_table, write_table

# Per dataset: (faithfulness or instruction following, task); each seed s adds s/100 to all.
VALUES = {
    "koala_eval": (0.5, None),
    "nq": (0.8, 0.4),
    "bioasq": (0.6, 0.2),
    "ms_marco": (0.4, 0.3),
    "wikisum": (0.1, 0.1),
}
TASK = ("exact_match", "rouge_l")


def known_value(shift: float):
    return lambda dataset, metric, index: VALUES[dataset][metric in TASK] + shift


@pytest.fixture(scope="module")
def collected(shared_experiment, seen) -> pd.DataFrame:
    """Rows of example_scores."""
    experiment = shared_experiment
    experiment.evaluate("vicuna-7b", 0, "start", known_value(0.0))
    for seed in (1, 2):
        experiment.evaluate("mtl", seed, "best", known_value(seed / 100))
        experiment.evaluate("vicuna-cd", seed, "best", known_value(seed / 50))
        experiment.evaluate("vicuna-cd", seed, "last", known_value(-seed / 50))
    outputs = read_outputs(experiment.generations, read_datasets(experiment.examples, seen))
    return collect(experiment.scores, outputs, list(VALUES))[1]


@pytest.fixture
def scores(collected) -> pd.DataFrame:
    return collected.copy()


@pytest.fixture
def points(point) -> pd.DataFrame:
    rows = [point("vicuna-7b", 0, "start")]
    for seed in (1, 2):
        rows.append(point("mtl", seed, "best"))
        rows.append(point("vicuna-cd", seed, "start", ("vicuna-7b", 0, "start")))
        rows += [point("vicuna-cd", seed, name) for name in ("best", "last")]
    return point_frame(rows)


@pytest.fixture
def tabulate(points, headlines):
    """Make the main table of example scores, by label."""

    def make(scores, systems=SYSTEMS, points=points) -> pd.DataFrame:
        panels = Panels(scores, points)
        cells = cells_table(panels, QUICK)
        averages = averages_table(panels, headlines, QUICK)
        return main_table(averages, cells, systems, headlines)

    return make


QUICK = Bootstrap(draws=200)
SYSTEMS = [
    {"label": "zero-shot", "run": "vicuna-7b", "checkpoint": "start"},
    {"label": "w/ MTL", "run": "mtl", "checkpoint": "best"},
]


def test_macro_averages_by_hand(scores, tabulate) -> None:
    table = tabulate(scores).set_index("label")
    zero = table.loc["zero-shot"]
    assert zero["instruction_following"] == pytest.approx(0.5)
    assert zero["faithfulness_seen"] == pytest.approx(0.6)  # nq .8, ms_marco .4
    assert zero["faithfulness_unseen"] == pytest.approx(0.35)  # bioasq .6, wikisum .1
    assert zero["faithfulness"] == pytest.approx(0.475)
    assert zero["task_seen"] == pytest.approx(0.35)
    assert zero["task_unseen"] == pytest.approx(0.15)
    assert zero["task"] == pytest.approx(0.25)
    assert zero["overall_seen"] == pytest.approx(0.6)
    assert zero["overall_unseen"] == pytest.approx(0.4)  # koala .5, bioasq .6, wikisum .1
    assert zero["overall"] == pytest.approx(0.48)  # (.5 + .8 + .6 + .4 + .1) / 5
    assert zero["faithfulness_bioasq"] == pytest.approx(0.6)
    assert zero["task_wikisum"] == pytest.approx(0.1)
    assert zero["instruction_following_koala_eval"] == pytest.approx(0.5)
    mtl = table.loc["w/ MTL"]
    assert mtl["overall"] == pytest.approx(0.495)
    assert mtl["overall_sd"] == pytest.approx(math.sqrt(0.00005))  # .01 and .02 around .015
    assert mtl["n_seeds"] == 2
    assert (mtl["overall_n"], mtl["overall_failed"]) == (10, 0)
    assert mtl["faithfulness_seen_n"] == 4
    assert mtl["overall_low"] < mtl["overall"] < mtl["overall_high"]


def test_one_evaluation_has_no_deviation(scores, tabulate) -> None:
    zero = tabulate(scores).iloc[0]
    assert zero["n_seeds"] == 1
    assert zero[[name for name in zero.index if name.endswith("_sd")]].isna().all()


def test_the_order_is_that_of_the_config(scores, tabulate, tmp_path) -> None:
    paths = [tmp_path / name for name in ("main_table.csv", "again.csv")]
    for path in paths:
        write_table(tabulate(scores, SYSTEMS[::-1]), path, "main_table")
    table = read_table(paths[0], "main_table")
    assert list(table["label"]) == ["w/ MTL", "zero-shot"]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    names = [name for name in table.columns if f"{name}_sd" in table.columns]
    assert names[names.index("overall") + 1 :][:2] == [
        "instruction_following_koala_eval",
        "faithfulness_nq",
    ]


def lose(scores, status, **where) -> None:
    """Take the scores of some rows away, with a reason."""
    rows = pd.Series(True, index=scores.index)
    for name, value in where.items():
        rows &= scores[name] == value
    scores.loc[rows, "value"] = None
    scores.loc[rows, "status"] = status


def test_excluded_rows_are_counted_beside_the_average(scores, tabulate) -> None:
    lose(scores, "unparsed", run="mtl", seed=1, example_id="koala_eval-0", scorer="gpt-4")
    mtl = tabulate(scores).iloc[1]
    assert (mtl["instruction_following_n"], mtl["instruction_following_failed"]) == (1.5, 0.5)
    assert (mtl["faithfulness_n"], mtl["faithfulness_failed"]) == (8, 0)


def test_a_metric_with_all_failures_is_a_hole_with_its_reason(scores, tabulate, points) -> None:
    lose(scores, "undefined", run="mtl", seed=2, dataset="nq", metric="span_coverage")
    cells = cells_table(Panels(scores, points), QUICK).set_index(["run", "dataset", "metric"])
    cell = cells.loc[("mtl", "nq", "span_coverage")]
    assert (cell["n"], cell["n_failed"]) == (0, 1)  # both outputs of one seed of two
    mtl = tabulate(scores).iloc[1]
    assert pd.isna(mtl["faithfulness_seen"])
    assert pd.isna(mtl["overall"])
    assert mtl["faithfulness_unseen"] == pytest.approx(0.365)
    assert mtl["note"].startswith("no output of nq has a span_coverage under 1 of 2 seeds")
    assert "undefined 2" in mtl["note"]


def test_an_experiment_without_unseen_sets_leaves_the_column_empty(scores, tabulate) -> None:
    table = tabulate(scores[scores["role"] == "seen"])
    assert table["faithfulness_unseen"].isna().all()
    assert table["instruction_following"].isna().all()
    assert (table["faithfulness_unseen_n"] == 0).all()
    assert table["overall"].iloc[0] == pytest.approx(0.6)


@pytest.mark.parametrize("dataset", ["koala_eval", "nq", "wikisum"])
def test_a_seed_without_scores_of_a_test_set_is_left_out_with_a_note(
    scores, tabulate, dataset
) -> None:
    lost = (scores["run"] == "mtl") & (scores["seed"] == 2) & (scores["dataset"] == dataset)
    mtl = tabulate(scores[~lost]).iloc[1]
    assert mtl["overall"] == pytest.approx(0.49)  # seed 1 alone
    assert pd.isna(mtl["overall_sd"])
    assert mtl["note"].startswith("no scores of seed 2")


def test_another_judge_does_not_stand_in(scores, tabulate) -> None:
    scores["scorer"] = scores["scorer"].replace("gpt-4", "chatgpt")
    table = tabulate(scores)
    assert table["instruction_following"].isna().all()
    assert "no system has scores of instruction_following by gpt-4" in table["note"].iloc[0]


def test_a_second_judge_changes_nothing(scores, tabulate) -> None:
    judged = scores[scores["scorer"] == "gpt-4"]
    both = pd.concat([scores, judged.assign(scorer="chatgpt", value=0.0)], ignore_index=True)
    pd.testing.assert_frame_equal(tabulate(both), tabulate(scores))


def test_two_scorers_of_one_metric_are_refused(scores, tabulate) -> None:
    other = scores[scores["scorer"] == "summac-zs"].assign(scorer="other")
    with pytest.raises(InputError, match="two scorers"):
        tabulate(pd.concat([scores, other], ignore_index=True))


def test_a_missing_seed_is_said(scores, tabulate, points, point) -> None:
    more = pd.concat([points, point_frame([point("mtl", 3, "best")])])
    mtl = tabulate(scores, points=more).iloc[1]
    assert mtl["n_seeds"] == 2
    assert mtl["note"] == "no scores of seed 3"


def test_a_system_without_scores_is_a_row_of_holes(scores, tabulate, tmp_path) -> None:
    systems = [*SYSTEMS, {"label": "w/ ReSet", "run": "reset-direct", "checkpoint": "best"}]
    table = tabulate(scores, systems)
    reset = table.iloc[2]
    assert reset["n_seeds"] == 0
    assert pd.isna(reset["overall"])
    assert reset["note"] == "reset-direct is not evaluated at best"
    write_table(table, tmp_path / "main_table.csv", "main_table")
    with pytest.raises(InputError, match="reset-direct is not evaluated at best"):
        refuse_holes(table, "main_table", strict=True)
    refuse_holes(table, "main_table", strict=False)


def test_a_system_whose_source_is_lost_is_a_hole(scores, tabulate) -> None:
    zero = tabulate(scores[scores["run"] != "vicuna-7b"]).iloc[0]
    assert pd.isna(zero["overall"])
    assert zero["note"].startswith("vicuna-7b at start has no scores")


def test_one_seed_is_tabulated_without_deviation(scores, tabulate, points) -> None:
    mtl = tabulate(scores, points=points[points["seed"] != 1]).iloc[1]
    assert mtl["n_seeds"] == 1
    assert mtl["overall"] == pytest.approx(0.50)
    assert pd.isna(mtl["overall_sd"])


def tradeoff(scores, points, headlines, run) -> pd.DataFrame:
    tradeoffs = {"pipeline": {"label": "a pipeline", "run": run}}
    table = tradeoff_table(Panels(scores, points), tradeoffs, headlines, QUICK)
    return table.set_index(["metric", "checkpoint"])


def test_a_configuration_without_pipelines_has_empty_tables(scores, points, headlines, tmp_path):
    arguments = (Panels(scores, points), {}, headlines, QUICK)
    for name, make in (("tradeoff", tradeoff_table), ("length_split", length_split_table)):
        write_table(make(*arguments), tmp_path / f"{name}.csv", name)
        assert read_table(tmp_path / f"{name}.csv", name).empty


def test_the_tradeoff_by_hand(scores, points, headlines, tmp_path) -> None:
    table = tradeoff(scores, points, headlines, "vicuna-cd")
    write_table(table.reset_index(), tmp_path / "tradeoff.csv", "tradeoff")
    assert list(table.index.get_level_values("checkpoint")[:3]) == ["start", "best", "last"]
    before = table.loc[("faithfulness_abstractive", "start")]
    assert before["mean"] == pytest.approx(0.25)  # ms_marco .4, wikisum .1
    assert before["n_seeds"] == 1  # both seeds start from one zero-shot evaluation
    assert pd.isna(before["sd"])
    assert pd.isna(before["change_vs_start"])
    best = table.loc[("faithfulness_abstractive", "best")]
    assert best["mean"] == pytest.approx(0.28)  # shifts .02 and .04
    assert best["change_vs_start"] == pytest.approx(0.03)
    assert best["change_sd"] == pytest.approx(math.sqrt(0.0002), rel=1e-4)
    assert best["seed_values"] == "0.27 0.29"
    assert table.loc[("faithfulness_extractive", "last"), "mean"] == pytest.approx(0.67)
    assert table.loc[("instruction_following", "last"), "change_vs_start"] == pytest.approx(-0.03)


def test_a_change_is_paired_by_seed(experiment, seen, point, headlines) -> None:
    """The start of a second stage is another model for each seed: its noise cancels in pairs."""
    rows = []
    for seed, start in ((1, 0.1), (2, 0.3)):
        experiment.evaluate("llama-cd", seed, "best", lambda d, m, i, start=start: start)
        rows.append(point("llama-cd-if", seed, "start", ("llama-cd", seed, "best")))
        for name in ("best", "last"):
            experiment.evaluate("llama-cd-if", seed, name, lambda d, m, i, s=start: s + 0.2)
            rows.append(point("llama-cd-if", seed, name))
    outputs = read_outputs(experiment.generations, read_datasets(experiment.examples, seen))
    _, scores = collect(experiment.scores, outputs, list(VALUES))
    table = tradeoff(scores, point_frame(rows), headlines, "llama-cd-if")
    assert table.loc[("overall", "start"), "n_seeds"] == 2
    assert table.loc[("overall", "start"), "sd"] == pytest.approx(math.sqrt(0.02))
    best = table.loc[("overall", "best")]
    assert best["change_vs_start"] == pytest.approx(0.2)
    assert best["change_sd"] == pytest.approx(0.0, abs=1e-12)
    assert best["change_low"] == pytest.approx(0.2)
    assert best["change_high"] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("metric", "lowest", "values"),
    [
        ("instruction_following", 0, (0.99, 0.9, 0.6)),
        ("instruction_following_rating_over_ten", 0, (0.99, 0.9, 0.6)),
        ("supported_by_a_classifier", 0, (0.99, 0.9, 0.6)),
        ("summac_zs", -1, (0.99, 0.5, 0.2)),
        ("summac_zs", -1, (-0.99, -0.5, -0.2)),
    ],
)
def test_an_interval_ends_where_the_metric_does(point, metric, lowest, values) -> None:
    seeds = range(1, len(values) + 1)
    identity = {"run": "mtl", "checkpoint": "best", "dataset": "d", "kind": "instruction"}
    identity |= {"role": "seen", "metric": metric, "scorer": "s", "status": "ok"}
    rows = [
        identity | {"seed": seed, "example_id": f"e{index}", "value": value}
        for seed, value in zip(seeds, values, strict=True)
        for index in range(20)
    ]
    points = point_frame([point("mtl", seed, "best") for seed in seeds])
    cell = cells_table(Panels(pd.DataFrame(rows), points), QUICK).iloc[0]
    wide = 3 * cell["sd"] / 3**0.5  # an interval of three seeds is wider than this
    assert cell["low"] <= max(lowest, cell["mean"] - wide)
    assert cell["low"] >= lowest
    assert cell["high"] >= min(1, cell["mean"] + wide)
    assert cell["high"] <= 1


def test_a_point_with_two_sources_is_refused(point) -> None:
    rows = [point("mtl", 1, "best"), point("mtl", 1, "best", ("mtl", 2, "best"))]
    with pytest.raises(InputError, match="two sources"):
        point_frame(rows)
