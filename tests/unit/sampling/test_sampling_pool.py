"""Which examples are sampled."""

import pandas as pd
import pytest

from reset_tuning.errors import InputError
from reset_tuning.sampling.pool import pool_examples


@pytest.fixture
def mixture() -> pd.DataFrame:
    rows = [("instruction", f"i{n}", 0) for n in range(50)]
    rows += [("nq", f"q{n}", copy) for n in range(10) for copy in range(5)]
    return pd.DataFrame(rows, columns=["set", "example_id", "copy"])


def test_every_set_gives_as_many_originals(mixture: pd.DataFrame):
    pool = pool_examples(mixture, 8, 1)
    assert pool["set"].value_counts().to_dict() == {"instruction": 8, "nq": 8}
    assert (pool["copy"] == 0).all()
    assert pool["example_id"].is_unique


def test_a_smaller_pool_is_part_of_a_larger_one(mixture: pd.DataFrame):
    large, small = pool_examples(mixture, 8, 1), pool_examples(mixture, 2, 1)
    for name in ("instruction", "nq"):
        expected = large[large["set"] == name]["example_id"].head(2).to_list()
        assert small[small["set"] == name]["example_id"].to_list() == expected


def test_the_order_of_the_table_does_not_matter_but_the_seed_does(mixture: pd.DataFrame):
    pool = pool_examples(mixture, 8, 1)
    shuffled = pool_examples(mixture.sample(frac=1, random_state=0), 8, 1)
    assert shuffled.equals(pool)
    assert not pool_examples(mixture, 8, 2)["example_id"].equals(pool["example_id"])


def test_a_small_set_gives_what_it_has_and_says_so(
    mixture: pd.DataFrame, caplog: pytest.LogCaptureFixture
):
    pool = pool_examples(mixture, 20, 1)
    assert pool["set"].value_counts().to_dict() == {"instruction": 20, "nq": 10}
    assert "nq has only 10 of 20" in caplog.text


def test_a_mixture_without_originals_is_refused(mixture: pd.DataFrame):
    with pytest.raises(InputError, match="nothing to sample"):
        pool_examples(mixture[mixture["copy"] > 0], 8, 1)
