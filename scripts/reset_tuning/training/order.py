"""In which order a training reads its rows."""

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler

from reset_tuning.seeds import draw_seed

# Batches of like length are made out of this many batches of random rows. Of the paper's 62,000
# instructions 17 % of a batch of 32 are padding with 50, 4 % with 200.
_BATCHES_PER_POOL = 200


class RowOrder(Sampler[int]):
    """A random order for each (seed, epoch), with little padding in a rank's micro-batches.

    The rows of one global batch follow each other from the longest to the shortest, so the slices
    that ranks and accumulation steps take hold rows of like length; which rows a step sees stays
    random. With `grouped` the global batches themselves hold rows of like length.

    All ranks take part in every round of micro-batches, `round_size` rows. Where rows are lacking
    in the last one of an epoch, the number behind the last row stands for a row without anything to
    learn; accelerate would fill those places with the epoch's first rows, to be learnt twice.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        global_batch_size: int,
        seed: int,
        *,
        grouped: bool = False,
        round_size: int = 1,
    ) -> None:
        self.epoch = 0
        self._lengths = torch.tensor(lengths)
        self._batch = global_batch_size
        self._seed = seed
        self._grouped = grouped
        self._fillers = -len(lengths) % round_size

    def __len__(self) -> int:
        return len(self._lengths) + self._fillers

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(
            draw_seed(self._seed, "", "order", round=self.epoch)
        )
        rows = torch.randperm(len(self._lengths), generator=generator)
        batches: list[torch.Tensor] = []
        for pool in rows.split(self._batch * (_BATCHES_PER_POOL if self._grouped else 1)):
            batches += self._longest_first(pool).split(self._batch)
        if self._grouped:
            # The last batch may be a smaller one, which has to stay where it is.
            shuffled = torch.randperm(len(batches) - 1, generator=generator).tolist()
            batches = [*(batches[index] for index in shuffled), batches[-1]]
        return iter(torch.cat(batches).tolist() + [len(rows)] * self._fillers)

    def _longest_first(self, rows: torch.Tensor) -> torch.Tensor:
        return rows[torch.argsort(self._lengths[rows], descending=True, stable=True)]
