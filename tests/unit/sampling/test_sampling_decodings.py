"""The draws of an example: arms, rounds, numbers and seeds."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reset_tuning.errors import InputError
from reset_tuning.sampling.decodings import Draw, draws_of

TEMPERATURES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
TOP_KS = [5, 10, 20, 50, 70, 90, 100]
GRID = {"kind": "grid", "max_new_tokens": 8, "temperatures": TEMPERATURES, "top_ks": TOP_KS}

run_seeds = st.integers(0, 10)
example_ids = st.text("abcdef0123456789", min_size=1, max_size=16)


def test_greedy_is_one_draw_that_uses_no_randomness():
    spec = {"kind": "greedy", "max_new_tokens": 8}
    assert draws_of(spec, 3, "x") == (Draw(0, "greedy", 0, 0.0, 0, 0),)


@given(run_seeds, example_ids)
def test_one_round_is_the_seven_values_of_one_arm(run_seed: int, example_id: str):
    draws = draws_of(GRID, run_seed, example_id)
    assert len({draw.arm for draw in draws}) == 1
    settings = [(draw.temperature, draw.top_k) for draw in draws]
    of_temperature = [(value, 0) for value in TEMPERATURES]
    assert settings in (of_temperature, [(1.0, value) for value in TOP_KS])
    assert (settings == of_temperature) == (draws[0].arm == "temperature")


@given(run_seeds, example_ids, st.sampled_from(["random", "other_arm", "both"]))
def test_more_rounds_only_add_draws(run_seed: int, example_id: str, arm: str):
    one = draws_of(GRID | {"arm": arm}, run_seed, example_id)
    two = draws_of(GRID | {"arm": arm, "rounds": 2}, run_seed, example_id)
    assert two[: len(one)] == one
    assert len(two) == 2 * len(one)
    assert len({draw.sample_id for draw in two}) == len(two)
    assert len({draw.sampling_seed for draw in two}) == len(two)
    assert [draw.sample_id for draw in two] == sorted(draw.sample_id for draw in two)


@given(run_seeds, example_ids)
def test_both_arms_hold_the_draws_of_either(run_seed: int, example_id: str):
    both = draws_of(GRID | {"arm": "both"}, run_seed, example_id)
    assert set(draws_of(GRID, run_seed, example_id)) < set(both)


@given(run_seeds, example_ids)
def test_other_arm_takes_the_arm_that_round_zero_left(run_seed: int, example_id: str):
    draws = draws_of(GRID | {"arm": "other_arm", "rounds": 2}, run_seed, example_id)
    assert {draw.arm for draw in draws} == {"temperature", "top_k"}


def test_arms_are_drawn_evenly_and_anew_in_every_round():
    drawn = [draws_of(GRID | {"rounds": 2}, 1, f"example-{n}") for n in range(400)]
    first = [draws[0].arm == "top_k" for draws in drawn]
    second = [draws[7].arm == "top_k" for draws in drawn]
    same = [a == b for a, b in zip(first, second, strict=True)]
    for share in (first, second, same):
        assert 0.4 < sum(share) / 400 < 0.6


@pytest.mark.parametrize(
    ("arm", "drawn"),
    [
        ("random", ["kkk", "ktk", "kkk", "kkk", "tkk", "ktk", "ttk", "ttk"]),
        ("other_arm", ["ktk", "ktk", "ktk", "ktk", "tkt", "ktk", "tkt", "tkt"]),
    ],
)
def test_the_arms_of_a_run_stay_the_ones_that_were_drawn(arm: str, drawn: list[str]):
    """The arms of three rounds of eight examples, t for temperature and k for top-k."""
    spec = GRID | {"arm": arm, "rounds": 3}
    found = [
        "".join("k" if draw.arm == "top_k" else "t" for draw in draws_of(spec, 1, f"example-{n}"))
        for n in range(8)
    ]
    assert [arms[::7] for arms in found] == drawn


def test_the_numbers_and_seeds_of_draws_stay_the_same():
    first = draws_of(GRID | {"rounds": 2}, 1, "example-0")[::7]
    assert [(draw.sample_id, draw.sampling_seed) for draw in first] == [
        (7, 2357515625823089954),
        (21, 7638653865264234953),
    ]


@given(run_seeds, example_ids, st.sampled_from(["random", "other_arm"]))
def test_an_arm_without_values_is_never_drawn(run_seed: int, example_id: str, arm: str):
    """It was drawn for half of the examples, which then had no samples."""
    for empty, values in (("top_ks", TEMPERATURES), ("temperatures", TOP_KS)):
        draws = draws_of(GRID | {empty: [], "arm": arm, "rounds": 2}, run_seed, example_id)
        assert [draw.round for draw in draws] == [0] * len(values) + [1] * len(values)


def test_run_and_example_change_the_seeds():
    seeds = {
        draw.sampling_seed
        for run_seed in (1, 2)
        for example in ("a", "b")
        for draw in draws_of(GRID | {"arm": "both"}, run_seed, example)
    }
    assert len(seeds) == 2 * 2 * 14


@given(run_seeds, example_ids)
def test_top_k_at_temperature_zero_is_one_greedy_answer_drawn_seven_times(
    run_seed: int, example_id: str
):
    draws = draws_of(GRID | {"arm": "both", "top_k_temperature": 0.0}, run_seed, example_id)
    literal = [draw for draw in draws if draw.arm == "top_k"]
    assert len(literal) == 7
    assert {(draw.temperature, draw.top_k, draw.sampling_seed) for draw in literal} == {(0, 0, 0)}


def test_literal_is_the_temperature_zero():
    spec = GRID | {"arm": "both"}
    assert draws_of(spec | {"top_k_temperature": "literal"}, 1, "x") == draws_of(
        spec | {"top_k_temperature": 0}, 1, "x"
    )


@pytest.mark.parametrize(
    ("temperature", "name"), [(0.0, "0"), (math.nan, "nan"), (math.inf, "inf"), (-1, "-1")]
)
def test_a_temperature_at_which_nothing_can_be_drawn_is_named(temperature: float, name: str):
    with pytest.raises(InputError, match=f"the temperature {name}, .* take it out"):
        draws_of(GRID | {"temperatures": [temperature, 0.7]}, 1, "x")


def test_whole_numbers_seed_as_the_same_decimals():
    whole = draws_of(GRID | {"temperatures": [1, 2]} | {"arm": "both"}, 1, "x")
    decimal = draws_of(GRID | {"temperatures": [1.0, 2.0]} | {"arm": "both"}, 1, "x")
    assert whole == decimal


@pytest.mark.parametrize("change", [{"kind": "beam"}, {"arm": "neither"}])
def test_unknown_names_are_refused(change: dict[str, str]):
    with pytest.raises(InputError, match="unknown"):
        draws_of(GRID | change, 1, "x")
