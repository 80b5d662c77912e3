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
    pool = pool_examples([mixture], 8, 1)
    assert {name: len(ids) for name, ids in pool.items()} == {"instruction": 8, "nq": 8}
    assert pool["nq"] <= {f"q{n}" for n in range(10)}


def test_a_smaller_pool_is_part_of_a_larger_one(mixture: pd.DataFrame):
    large, small = pool_examples([mixture], 8, 1), pool_examples([mixture], 2, 1)
    for name in ("instruction", "nq"):
        assert small[name] < large[name]


@pytest.mark.parametrize("rows", [1, 7, 100])
def test_neither_the_order_nor_the_parts_of_the_table_matter_but_the_seed_does(
    mixture: pd.DataFrame, rows: int
):
    pool = pool_examples([mixture], 8, 1)
    shuffled = mixture.sample(frac=1, random_state=0)
    parts = [shuffled.iloc[start : start + rows] for start in range(0, len(shuffled), rows)]
    assert pool_examples(parts, 8, 1) == pool
    assert pool_examples([mixture], 8, 2) != pool


def test_a_small_set_gives_what_it_has_and_says_so(
    mixture: pd.DataFrame, caplog: pytest.LogCaptureFixture
):
    pool = pool_examples([mixture], 20, 1)
    assert {name: len(ids) for name, ids in pool.items()} == {"instruction": 20, "nq": 10}
    assert "nq has only 10 of 20" in caplog.text


def test_a_mixture_without_originals_is_refused(mixture: pd.DataFrame):
    with pytest.raises(InputError, match="nothing to sample"):
        pool_examples([mixture[mixture["copy"] > 0]], 8, 1)
