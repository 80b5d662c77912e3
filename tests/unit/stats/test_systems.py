import math

import pandas as pd
import pytest

from reset_tuning.errors import InputError
from reset_tuning.stats.accounting import collect, read_datasets, read_outputs
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
    experiment = shared_experiment
    experiment.evaluate("vicuna-7b", 0, "start", known_value(0.0))
    for seed in (1, 2):
        experiment.evaluate("mtl", seed, "best", known_value(seed / 100))
        experiment.evaluate("vicuna-cd", seed, "best", known_value(seed / 50))
        experiment.evaluate("vicuna-cd", seed, "last", known_value(-seed / 50))
    outputs = read_outputs(experiment.generations, read_datasets(experiment.examples, seen))
    return collect(experiment.scores, outputs)


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


SYSTEMS = [
    {"label": "zero-shot", "run": "vicuna-7b", "checkpoint": "start"},
    {"label": "w/ MTL", "run": "mtl", "checkpoint": "best"},
]


def test_macro_averages_by_hand(scores, points, headlines) -> None:
    table = main_table(scores, SYSTEMS, points, headlines).set_index("label")
    zero = table.loc["zero-shot"]
    assert zero["instruction_following"] == pytest.approx(0.5)
    assert zero["faithfulness_seen"] == pytest.approx(0.6)  # nq .8, ms_marco .4
    assert zero["faithfulness_unseen"] == pytest.approx(0.35)  # bioasq .6, wikisum .1
    assert zero["faithfulness"] == pytest.approx(0.475)
    assert zero["task_seen"] == pytest.approx(0.35)
    assert zero["task_unseen"] == pytest.approx(0.15)
    assert zero["task"] == pytest.approx(0.25)
    assert zero["overall"] == pytest.approx(0.48)  # (.5 + .8 + .6 + .4 + .1) / 5
    mtl = table.loc["w/ MTL"]
    assert mtl["overall"] == pytest.approx(0.495)
    assert mtl["overall_sd"] == pytest.approx(math.sqrt(0.00005))  # .01 and .02 around .015
    assert mtl["n_seeds"] == 2
    assert (mtl["overall_n"], mtl["overall_failed"]) == (10, 0)
    assert mtl["faithfulness_seen_n"] == 4


def test_one_evaluation_has_no_deviation(scores, points, headlines) -> None:
    zero = main_table(scores, SYSTEMS, points, headlines).iloc[0]
    assert zero["n_seeds"] == 1
    assert zero[[name for name in zero.index if name.endswith("_sd")]].isna().all()


def test_the_order_is_that_of_the_config(scores, points, headlines, tmp_path) -> None:
    path = tmp_path / "main_table.csv"
    write_table(main_table(scores, SYSTEMS[::-1], points, headlines), path, "main_table")
    assert list(read_table(path, "main_table")["label"]) == ["w/ MTL", "zero-shot"]
    again = tmp_path / "again.csv"
    write_table(main_table(scores, SYSTEMS[::-1], points, headlines), again, "main_table")
    assert path.read_bytes() == again.read_bytes()


def test_excluded_rows_are_counted_beside_the_average(scores, points, headlines) -> None:
    row = (scores["run"] == "mtl") & (scores["seed"] == 1) & (scores["dataset"] == "koala_eval")
    scores.loc[row, ["n", "n_unparsed"]] = [1, 1]
    mtl = main_table(scores, SYSTEMS, points, headlines).iloc[1]
    assert (mtl["instruction_following_n"], mtl["instruction_following_failed"]) == (1.5, 0.5)
    assert (mtl["faithfulness_n"], mtl["faithfulness_failed"]) == (8, 0)


def test_a_test_set_without_a_value_empties_the_average(scores, points, headlines) -> None:
    row = (scores["run"] == "mtl") & (scores["dataset"] == "nq") & (scores["seed"] == 2)
    scores.loc[row, ["mean", "n", "n_undefined"]] = [None, 0, 2]
    mtl = main_table(scores, SYSTEMS, points, headlines).iloc[1]
    assert pd.isna(mtl["faithfulness_seen"])
    assert pd.isna(mtl["overall"])
    assert mtl["faithfulness_unseen"] == pytest.approx(0.365)
    assert mtl["faithfulness_seen_failed"] == 1  # two rows of one of two seeds


def test_an_experiment_without_unseen_sets_leaves_the_column_empty(
    scores, points, headlines
) -> None:
    table = main_table(scores[scores["role"] == "seen"], SYSTEMS, points, headlines)
    assert table["faithfulness_unseen"].isna().all()
    assert table["instruction_following"].isna().all()
    assert (table["faithfulness_unseen_n"] == 0).all()
    assert table["overall"].iloc[0] == pytest.approx(0.6)


@pytest.mark.parametrize("dataset", ["koala_eval", "nq", "wikisum"])
def test_missing_scores_of_a_test_set_are_refused(scores, points, headlines, dataset) -> None:
    lost = (scores["run"] == "mtl") & (scores["seed"] == 2) & (scores["dataset"] == dataset)
    with pytest.raises(InputError, match=rf"mtl \(seed 2, best\) lacks the scores of {dataset}"):
        main_table(scores[~lost], SYSTEMS, points, headlines)


def test_another_judge_does_not_stand_in(scores, points, headlines) -> None:
    scores["scorer"] = scores["scorer"].replace("gpt-4", "chatgpt")
    with pytest.raises(InputError, match="lacks the scores of koala_eval"):
        main_table(scores, SYSTEMS, points, headlines)


def test_a_second_judge_changes_nothing(scores, points, headlines) -> None:
    judged = scores[scores["scorer"] == "gpt-4"]
    both = pd.concat([scores, judged.assign(scorer="chatgpt", mean=0.0)])
    pd.testing.assert_frame_equal(
        main_table(both, SYSTEMS, points, headlines),
        main_table(scores, SYSTEMS, points, headlines),
    )


def test_two_scorers_of_one_metric_are_refused(scores, points, headlines) -> None:
    both = pd.concat([scores, scores[scores["scorer"] == "summac-zs"].assign(scorer="other")])
    with pytest.raises(InputError, match="two scorers"):
        main_table(both, SYSTEMS, points, headlines)


def test_a_missing_seed_is_refused(scores, points, headlines, point) -> None:
    more = pd.concat([points, point_frame([point("mtl", 3, "last")])])
    with pytest.raises(InputError, match="mtl is not evaluated at checkpoint best for seed 3"):
        main_table(scores, SYSTEMS, more, headlines)


def test_a_run_without_points_is_refused(scores, points, headlines) -> None:
    systems = [{"label": "w/ ReSet", "run": "reset-direct", "checkpoint": "best"}]
    with pytest.raises(InputError, match="reset-direct is not evaluated at checkpoint best"):
        main_table(scores, systems, points, headlines)


def test_a_point_without_its_source_is_refused(scores, points, headlines) -> None:
    lost = scores[scores["run"] != "vicuna-7b"]
    with pytest.raises(InputError, match="needs the rows of .*vicuna-7b, seed 0, start"):
        main_table(lost, SYSTEMS, points, headlines)


def test_one_seed_is_tabulated_without_deviation(scores, points, headlines) -> None:
    mtl = main_table(scores, SYSTEMS, points[points["seed"] != 1], headlines).iloc[1]
    assert mtl["n_seeds"] == 1
    assert mtl["overall"] == pytest.approx(0.50)
    assert pd.isna(mtl["overall_sd"])


def test_the_tradeoff_by_hand(scores, points, headlines, tmp_path) -> None:
    tradeoffs = {"if-to-cd": {"label": "IF→CD", "run": "vicuna-cd"}}
    path = tmp_path / "tradeoff.csv"
    write_table(tradeoff_table(scores, tradeoffs, points, headlines), path, "tradeoff")
    table = read_table(path, "tradeoff").set_index(["metric", "checkpoint"])
    assert list(table.index.get_level_values("checkpoint")[:3]) == ["start", "best", "last"]
    assert set(table["pipeline"]) == {"if-to-cd"}
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
    tradeoffs = {"cd-to-if": {"label": "CD→IF", "run": "llama-cd-if"}}
    scores = collect(experiment.scores, outputs)
    table = tradeoff_table(scores, tradeoffs, point_frame(rows), headlines)
    table = table.set_index(["metric", "checkpoint"])
    assert table.loc[("overall", "start"), "n_seeds"] == 2
    assert table.loc[("overall", "start"), "sd"] == pytest.approx(math.sqrt(0.02))
    assert table.loc[("overall", "best"), "change_vs_start"] == pytest.approx(0.2)
    assert table.loc[("overall", "best"), "change_sd"] == pytest.approx(0.0, abs=1e-12)


def test_a_point_with_two_sources_is_refused(point) -> None:
    rows = [point("mtl", 1, "best"), point("mtl", 1, "best", ("mtl", 2, "best"))]
    with pytest.raises(InputError, match="two sources"):
        point_frame(rows)
