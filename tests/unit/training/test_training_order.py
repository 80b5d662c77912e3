"""The order of rows: every row once an epoch, random batches, little padding."""

from hypothesis import given
from hypothesis import strategies as st

from reset_tuning.training.order import RowOrder

LENGTHS = st.lists(st.integers(1, 500), min_size=1, max_size=300)


def batches_of(rows: list[int], size: int) -> list[list[int]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


@given(LENGTHS, st.integers(1, 40), st.integers(0, 2**32), st.booleans())
def test_every_row_comes_once_an_epoch(
    lengths: list[int], batch: int, seed: int, grouped: bool
) -> None:
    order = RowOrder(lengths, batch, seed, grouped=grouped)
    rows = list(order)
    assert sorted(rows) == list(range(len(lengths))) and len(order) == len(lengths)
    assert rows == list(RowOrder(lengths, batch, seed, grouped=grouped))
    for one in batches_of(rows, batch):
        assert [lengths[row] for row in one] == sorted((lengths[row] for row in one), reverse=True)


def test_lengths_do_not_decide_what_a_step_sees() -> None:
    lengths = list(range(64))
    sorted_batches = batches_of(list(RowOrder(lengths, 8, seed=1)), 8)
    equal_batches = batches_of(list(RowOrder([1] * 64, 8, seed=1)), 8)
    assert [set(batch) for batch in sorted_batches] == [set(batch) for batch in equal_batches]


def test_seeds_and_epochs_have_orders_of_their_own() -> None:
    order = RowOrder([1] * 50, 8, seed=1)
    orders = {tuple(order), tuple(RowOrder([1] * 50, 8, seed=2))}
    order.epoch = 1
    assert len({*orders, tuple(order)}) == 3


@given(LENGTHS, st.integers(1, 40), st.integers(1, 20), st.booleans())
def test_the_last_round_of_an_epoch_is_filled_up_behind_its_rows(
    lengths: list[int], batch: int, round_size: int, grouped: bool
) -> None:
    plain = list(RowOrder(lengths, batch, 7, grouped=grouped))
    order = RowOrder(lengths, batch, 7, grouped=grouped, round_size=round_size)
    filled = list(order)
    assert filled[: len(plain)] == plain
    assert set(filled[len(plain) :]) <= {len(lengths)}  # the number of the row that holds nothing
    assert len(filled) == len(order) and len(filled) % round_size == 0
    assert len(filled) - len(plain) < round_size


def padding(lengths: list[int], rows: list[int], size: int) -> float:
    padded = sum(
        len(batch) * max(lengths[row] for row in batch) for batch in batches_of(rows, size)
    )
    return 1 - sum(lengths) / padded


def test_micro_batches_have_less_padding_than_random_ones_and_groups_next_to_none() -> None:
    lengths = [20 + (37 * row) % 181 for row in range(3200)]
    random, grouped = (list(RowOrder(lengths, 32, 1, grouped=choice)) for choice in (False, True))
    assert padding(lengths, random, 32) > 0.4
    assert padding(lengths, random, 8) < 0.2
    assert padding(lengths, grouped, 32) < 0.05
