"""One rank of a generation; started by torchrun, see reset_tuning/sampling/ranks.py."""

import logging
import os
import signal
import sys
from pathlib import Path

from reset_tuning.errors import InputError
from reset_tuning.lifetime import end_with_parent
from reset_tuning.sampling.generation import generate_share, read_job
from reset_tuning.training.failures import tell


def main(job_file: Path) -> int:
    end_with_parent(signal.SIGKILL)  # torchrun's; every finished batch is on the disk
    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    # torchrun writes pages about a failed rank to stderr; what this rank says goes apart from it.
    os.dup2(sys.stdout.fileno(), sys.stderr.fileno())
    logging.basicConfig(
        level=logging.INFO, format=f"rank {rank}: %(message)s", stream=sys.stdout, force=True
    )
    try:
        generate_share(read_job(job_file), job_file.parent, rank, ranks)
    except InputError as error:
        tell(str(error))
        return 1
    except Exception:
        logging.exception("rank %d failed", rank)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
