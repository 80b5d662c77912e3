"""What is shown of scores beside the main table: falls, lengths against ratings, other metrics."""

import pandas as pd
import pytest

from reset_tuning.stats.length_bias import length_bias_table
from reset_tuning.stats.qualitative import largest_drop
from reset_tuning.stats.views import coverage
from reset_tuning.tables import write_table


def scores_of(checkpoint: str, values: dict[str, float | None], metric: str = "rouge_l") -> list:
    identity = {"run": "mtl", "seed": 1, "checkpoint": checkpoint, "metric": metric, "scorer": "s"}
    return [identity | {"example_id": name, "value": value} for name, value in values.items()]


def fall(before: dict[str, float | None], after: dict[str, float | None]) -> pd.Series | None:
    scores = pd.DataFrame(scores_of("start", before) + scores_of("best", after))
    sides = [
        pd.DataFrame([{"run": "mtl", "seed": 1, "checkpoint": at}]) for at in ("start", "best")
    ]
    return largest_drop(scores, *sides, ["rouge_l"])


def test_the_largest_fall_is_shown() -> None:
    before = {"small": 0.5, "large": 0.9, "alike": 0.9, "rise": 0.1, "undefined": 1.0}
    after = {"small": 0.4, "large": 0.1, "alike": 0.1, "rise": 1.0, "undefined": None}
    found = fall(before, after)
    assert found["example_id"] == "alike"  # of two equal falls the first
    assert (found["value_before"], found["value_after"]) == (0.9, 0.1)
    assert fall({"rise": 0.1}, {"rise": 0.2}) is None


def test_the_slope_is_per_doubling_of_answers_that_have_tokens(tmp_path) -> None:
    tokens = {"a": 1.0, "b": 2.0, "c": 4.0, "d": 8.0, "empty": 0.0}
    ratings = {"a": 0.2, "b": 0.3, "c": 0.4, "d": 0.5, "empty": 0.9}
    rows = scores_of("best", ratings, "instruction_following")
    rows += scores_of("best", tokens, "n_tokens")
    table = length_bias_table(pd.DataFrame(rows), ["s"])
    write_table(table, tmp_path / "length_bias.csv", "length_bias")
    everything = table[table["bin"] == 0].iloc[0]
    assert everything["slope"] == pytest.approx(0.1)
    assert everything["n"] == 5
    assert everything["mean_tokens"] == 3
    # Ranks of lengths 2 3 4 5 1 and of ratings 1 2 3 4 5: 1 - 6 * 20 / (5 * 24).
    assert everything["spearman"] == pytest.approx(0.0)
    assert table.loc[table["bin"] > 0, "n"].sum() == 5


def test_metrics_beside_the_headlines_are_those_that_the_main_table_lacks(headlines) -> None:
    shown = [
        ("instruction", "instruction_following", "gpt-4"),
        ("extractive_qa", "span_coverage", "lexical"),
        ("extractive_qa", "exact_match", "lexical"),
        ("summarization", "n_tokens", "generation"),
    ]
    beside = [
        ("instruction", "instruction_following", "other"),
        ("instruction", "instruction_following_rating_over_ten", "gpt-4"),
        ("extractive_qa", "rouge_l", "rouge-l"),
        ("summarization", "summac_zs", "summac-zs"),
    ]
    names = ["kind", "metric", "scorer"]
    cells = pd.DataFrame(shown + beside, columns=names).assign(run="mtl", checkpoint="best")
    system = {"run": "mtl", "checkpoint": "best"}
    found = coverage(cells, [system], headlines)
    assert list(found[names].itertuples(index=False, name=None)) == beside
    assert coverage(cells, [system | {"run": "other"}], headlines).empty
