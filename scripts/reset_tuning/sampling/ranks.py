"""Data-parallel generation: several processes on one machine, each with a share of the prompts.

A rank's only output is the sidecar, so what it has finished survives the death of any other, and
the shares need no agreement: a prompt belongs to the rank of its number. The job that started them
then writes the table from the sidecar.
"""

import logging
import os
import shlex
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

from reset_tuning import lifetime
from reset_tuning.sampling.engines import ENDPOINT
from reset_tuning.training.launch import FORWARDED_SIGNALS, run_training, visible_gpus

WORKER = Path(__file__).resolve().parents[2] / "generate_share.py"
Row = TypeVar("Row")


def ranks_of(backend: str, cpu_ranks: int) -> int:
    """Return the number of processes: one for each GPU of the job, else `cpu_ranks`.

    An endpoint is asked by one process, which keeps many requests in flight.
    """
    return 1 if backend == ENDPOINT else visible_gpus() or cpu_ranks


def share_of(rows: Iterable[Row], rank: int, ranks: int) -> Iterator[Row]:
    """Yield a rank's rows: every `ranks`-th one from number `rank` on."""
    return islice(rows, rank, None, ranks)


def share_size(n_rows: int, rank: int, ranks: int) -> int:
    """Return how many rows of `n_rows` a rank has."""
    return len(range(rank, n_rows, ranks))


def threads_of_each(threads: int, ranks: int) -> int:
    """Return how many of a job's threads one of its processes has."""
    return max(1, threads // ranks)


def run_ranks(ranks: int, job: Path, threads: int) -> None:
    """Run the job of a file on `ranks` processes; raise InputError when one of them fails.

    Whatever the ranks had finished by then is in the sidecar. They end with this process, be it
    killed: its next start would share the GPU with them and make their rows again.
    """
    command = [
        *(sys.executable, lifetime.__file__),
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        f"--nproc-per-node={ranks}",
        f"--signals-to-handle={','.join(FORWARDED_SIGNALS)}",
        str(WORKER),
        str(job),
    ]
    per_rank = str(threads_of_each(threads, ranks))
    environment = dict(os.environ) | {
        "OMP_NUM_THREADS": per_rank,
        "MKL_NUM_THREADS": per_rank,
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
    }
    logging.info("%d ranks share the prompts: %s", ranks, shlex.join(command))
    run_training(command, environment, what="the generation")
