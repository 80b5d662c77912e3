"""Which draws a decoding makes of an example: the paper's, where that can be done.

A draw is identified by its place in the grid and seeded by what it is for, so that a decoding with
more rounds makes the same first draws, and another example or batch changes nothing.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reset_tuning.errors import InputError
from reset_tuning.sampling.backend import Setting
from reset_tuning.seeds import draw_seed

GREEDY = "greedy"
TEMPERATURE = "temperature"
TOP_K = "top_k"
ARMS = (TEMPERATURE, TOP_K)

# The paper's "top-k, temperature fixed at 0" makes seven equal answers.
DEFAULT_TOP_K_TEMPERATURE = 1.0
LITERAL = "literal"  # the paper's text all the same


@dataclass(frozen=True)
class Draw:
    """One output to be drawn: its number, arm and round, and the settings as the backend uses them.

    `temperature` 0 is greedy decoding and `top_k` 0 is off.
    """

    sample_id: int
    arm: str
    round: int
    temperature: float
    top_k: int
    sampling_seed: int

    @property
    def setting(self) -> Setting:
        """What a backend has to know of this draw."""
        return Setting(self.temperature, self.top_k, self.sampling_seed)


def draws_of(spec: Mapping[str, Any], run_seed: int, example_id: str) -> tuple[Draw, ...]:
    """Return the draws of one example under an entry of `decodings`, in the order of sample_id.

    Raises InputError for a kind or an arm that does not exist.
    """
    kinds: dict[str, Callable[[Mapping[str, Any], int, str], tuple[Draw, ...]]] = {
        "greedy": _greedy,
        "grid": _grid,
    }
    if spec["kind"] not in kinds:
        raise InputError(f"decoding kind {spec['kind']!r} is unknown; use one of: {list(kinds)}")
    return kinds[spec["kind"]](spec, run_seed, example_id)


def _greedy(spec: Mapping[str, Any], run_seed: int, example_id: str) -> tuple[Draw, ...]:
    return (Draw(0, GREEDY, 0, 0.0, 0, 0),)


def _grid(spec: Mapping[str, Any], run_seed: int, example_id: str) -> tuple[Draw, ...]:
    """Enumerate rounds x values; a sample_id names the same setting whichever arms are drawn."""
    temperatures = [float(value) for value in spec["temperatures"]]
    top_ks = [int(value) for value in spec["top_ks"]]
    for temperature in temperatures:
        if not 0 < temperature < math.inf:
            raise InputError(
                f"a decoding of kind grid has the temperature {temperature:g}, at which nothing "
                "can be drawn: take it out of temperatures (a decoding of kind greedy makes the "
                "greedy answer)"
            )
    top_k_temperature = _top_k_temperature(spec)
    settings = [(TEMPERATURE, value, value, 0) for value in temperatures]
    settings += [(TOP_K, value, top_k_temperature, value) for value in top_ks]
    draws = []
    for round, arms in enumerate(_arms_by_round(spec, run_seed, example_id)):
        for place, (arm, value, temperature, top_k) in enumerate(settings):
            if arm in arms:
                sample_id = round * len(settings) + place
                seed = draw_seed(run_seed, example_id, "sample", arm, value, round)
                draws.append(_draw(sample_id, arm, round, temperature, top_k, seed))
    return tuple(draws)


def _top_k_temperature(spec: Mapping[str, Any]) -> float:
    value = spec.get("top_k_temperature", DEFAULT_TOP_K_TEMPERATURE)
    return 0.0 if value == LITERAL else float(value)


def _draw(sample_id: int, arm: str, round: int, temperature: float, top_k: int, seed: int) -> Draw:
    """Return a draw; at temperature 0 nothing is random, so top-k and the seed have no effect.

    Storing them as 0 shows that all such draws are one, which is then decoded only once.
    """
    if temperature == 0:
        return Draw(sample_id, arm, round, 0.0, 0, 0)
    return Draw(sample_id, arm, round, temperature, top_k, seed)


def _arms_by_round(spec: Mapping[str, Any], run_seed: int, example_id: str) -> list[Sequence[str]]:
    """Return the arms of every round: `random` draws one each round, `other_arm` alternates.

    Only arms with values are drawn: with another an example would have no samples.
    """
    rounds, choice = int(spec.get("rounds", 1)), spec.get("arm", "random")
    if choice == "both":
        return [ARMS] * rounds
    if choice not in ("random", "other_arm"):
        raise InputError(f"decoding arm {choice!r} is unknown; use random, other_arm or both")
    values = {TEMPERATURE: spec["temperatures"], TOP_K: spec["top_ks"]}
    arms = [arm for arm in ARMS if values[arm]]
    seeds = [draw_seed(run_seed, example_id, "arm", round=round) for round in range(rounds)]
    if choice == "other_arm":
        seeds = [seeds[0] + round for round in range(rounds)]
    return [(arms[seed % len(arms)],) for seed in seeds]
