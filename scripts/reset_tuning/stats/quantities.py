"""Quantities: numbers over seeds and examples, with what is needed to say how sure they are.

A quantity knows its value under every seed and, for every example of every test set, how much the
value moves when that example weighs more. Sums and differences of quantities are quantities, so a
cell of a table, a macro-average and the contrast of two systems are estimated in one way, and
whatever two systems share (examples, seeds) cancels in their difference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from reset_tuning.errors import InputError

Array = npt.NDArray[np.float64]


class Hole(InputError):
    """A number that cannot be given, with the reason in one sentence.

    `failed` is how many outputs per seed have no score, where the reason is that none has.
    """

    def __init__(self, reason: str, failed: float | None = None) -> None:
        super().__init__(reason)
        self.failed = failed


@dataclass(frozen=True)
class Quantity:
    """One number: its value under each seed and the influence of each example on it.

    `seeds` is empty for a number that no training stands behind: it has one value. `influences`
    maps a test set to an array (seeds or 1, examples): if example i weighs 1 + w, the value of seed
    r moves by w * influence[r, i] / examples. Over its test sets a row's means sum to 0: if all
    examples weigh more, nothing moves. `n` and `failed` are outputs per seed that count and that
    have no score; `notes` say what is not as it should be.
    """

    seeds: tuple[int, ...]
    values: Array
    influences: Mapping[str, Array]
    n: float = 0.0
    failed: float = 0.0
    notes: tuple[str, ...] = ()
    within: tuple[float, float] = (-np.inf, np.inf)  # the values that are possible

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return float(self.values.mean())

    @property
    def sd(self) -> float:
        """The sample standard deviation over seeds; not a number below two."""
        return float(self.values.std(ddof=1)) if len(self.values) > 1 else float("nan")


def pooled_mean(
    scores: Mapping[str, Array],
    seeds: Sequence[int] = (),
    within: tuple[float, float] = (-np.inf, np.inf),
) -> Quantity:
    """Return the mean of all scores of some test sets taken together.

    `scores` maps a test set to an array (seeds or 1, examples), not a number where an output does
    not count; `within` are the least and the largest possible score. Raises Hole when under some
    seed no output counts.
    """
    counted = {name: ~np.isnan(array) for name, array in scores.items()}
    n = sum(mask.sum(axis=1) for mask in counted.values()) + np.zeros(max(1, len(seeds)))
    if (n == 0).any():
        raise Hole("no output counts")
    values = sum(np.nansum(array, axis=1) for array in scores.values()) / n
    influences = {}
    for name, array in scores.items():
        share = array.shape[1] / n[:, None]
        influences[name] = np.where(counted[name], (array - values[:, None]) * share, 0.0)
    total = sum(array.shape[1] for array in scores.values())
    n_mean = float(n.mean())
    return Quantity(tuple(seeds), values, influences, n_mean, total - n_mean, (), within)


def combine(terms: Sequence[tuple[float, Quantity]]) -> Quantity:
    """Return the sum of coefficient * quantity, paired by seed and by example.

    A quantity without seeds is the same under every seed. Seeds that one of the terms lacks are
    left out, with a note; Hole when none is left. `n` and `failed` are sums over the terms.
    """
    trained = [set(quantity.seeds) for _, quantity in terms if quantity.seeds]
    seeds = tuple(sorted(set.intersection(*trained))) if trained else ()
    if trained and not seeds:
        raise Hole("no seed has all the scores that are needed")
    left_out = sorted(set.union(*trained) - set(seeds)) if trained else []
    notes = [note for _, quantity in terms for note in quantity.notes]
    if left_out and not notes:
        notes = [f"without seed {', '.join(map(str, left_out))}, which a part lacks"]
    values = np.zeros(max(1, len(seeds)))
    influences: dict[str, Array] = {}
    for coefficient, quantity in terms:
        rows = [quantity.seeds.index(seed) for seed in seeds] if quantity.seeds else [0]
        values = values + coefficient * quantity.values[rows]
        for name, array in quantity.influences.items():
            influences[name] = influences.get(name, 0.0) + coefficient * array[rows]
    shape = len(values)
    influences = {
        name: np.broadcast_to(array, (shape, array.shape[1])) for name, array in influences.items()
    }
    n = sum(quantity.n for _, quantity in terms)
    failed = sum(quantity.failed for _, quantity in terms)
    ends = [sorted((c * low, c * high)) for c, (low, high) in ((c, q.within) for c, q in terms)]
    within = (sum(low for low, _ in ends), sum(high for _, high in ends))
    return Quantity(seeds, values, influences, n, failed, tuple(dict.fromkeys(notes)), within)


def macro_average(quantities: Sequence[Quantity]) -> Quantity:
    """Return the mean of several quantities, each with the same weight; Hole without any."""
    if not quantities:
        raise Hole("no test set of this experiment belongs here")
    return combine([(1 / len(quantities), quantity) for quantity in quantities])


def difference(of: Quantity, minus: Quantity) -> Quantity:
    """Return `of` - `minus`; n is that of the side with fewer outputs, failed that of both."""
    return replace(combine([(1.0, of), (-1.0, minus)]), n=min(of.n, minus.n))
